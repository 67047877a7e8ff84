//! [`Peer`]: who sent a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use http::request::Parts;

/// The other end of the connection that a request came over: an extractor of axum, and an extension
/// of every request that a server of this crate serves.
///
/// Behind a reverse proxy it is the proxy.
///
/// # From aiohttp
///
/// `request.remote` and `request.secure`.
///
/// # Examples
///
/// ```
/// use asyncio_http::{Peer, Request};
///
/// async fn hello(request: Request) -> String {
///     let peer: &Peer = request.extensions().get().expect("a server was asked");
///     format!("hello {:?}\n", peer.addr())
/// }
///
/// async fn handler_of_axum(peer: Peer) -> String {
///     format!("hello {:?}\n", peer.addr())
/// }
/// # let _ = (hello, axum::Router::<()>::new().route("/", axum::routing::get(handler_of_axum)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer(Arc<Ends>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    addr: Option<SocketAddr>,
    is_tls: bool,
}

impl Peer {
    pub(crate) fn new(addr: Option<SocketAddr>, is_tls: bool) -> Self {
        Self(Arc::new(Ends { addr, is_tls }))
    }

    /// The host and port; `None` over a Unix socket, and for a
    /// [`TestClient`](crate::testing::TestClient).
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.0.addr
    }

    /// Whether the request came over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.is_tls
    }
}

/// For a request that no server of this crate has received it is a peer without an address.
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}
