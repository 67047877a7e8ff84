//! TLS as a layer over connections of clients and servers: the `.tls(…)` of their builders.

use std::io;

use asyncio_net::{Accepting, Connecting, Layer, PlainStream};

use crate::handshake::shake_hands;
use crate::{TlsClient, TlsServer, TlsStream};

impl Layer<Connecting> for TlsClient {
    type Stream = TlsStream<PlainStream>;

    fn check(&self, host: Option<&str>) -> io::Result<()> {
        self.name_for(host).map(drop)
    }

    async fn wrap(&self, host: Option<&str>, plain: PlainStream) -> io::Result<Self::Stream> {
        shake_hands(self.session(host)?, plain, self.limits).await
    }
}

impl Layer<Accepting> for TlsServer {
    type Stream = TlsStream<PlainStream>;

    async fn wrap(&self, _: Option<&str>, plain: PlainStream) -> io::Result<Self::Stream> {
        shake_hands(self.session()?, plain, self.limits).await
    }
}
