use std::io;
use std::net::TcpListener;
use std::rc::Rc;

use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::resolve::resolve_passive;
use crate::server::{ServerOptions, listen_on};

/// What a server listens on: an [`Endpoint`] (and whatever can be one), or a socket that listens already.
#[derive(Debug)]
pub struct ServerAddress(Kind);

#[derive(Debug)]
enum Kind {
    Endpoint(Endpoint),
    Socket(TcpListener),
}

impl<E: Into<Endpoint>> From<E> for ServerAddress {
    fn from(endpoint: E) -> Self {
        Self(Kind::Endpoint(endpoint.into()))
    }
}

impl From<TcpListener> for ServerAddress {
    fn from(socket: TcpListener) -> Self {
        Self(Kind::Socket(socket))
    }
}

impl ServerAddress {
    pub(crate) async fn into_listeners(
        self,
        network: &Rc<Network>,
        options: &ServerOptions,
    ) -> io::Result<Vec<TcpListener>> {
        match self.0 {
            Kind::Endpoint(endpoint) => {
                let addresses = resolve_passive(network.event_loop(), &endpoint).await?;
                listen_on(&addresses, options)
            }
            Kind::Socket(socket) => Ok(vec![socket]),
        }
    }
}
