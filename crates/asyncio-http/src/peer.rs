//! [`Peer`]: the sender of a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use http::request::Parts;

/// The other end of the connection that a request arrived on. It is an axum extractor;
/// [`current`](Self::current) returns it anywhere in the code that answers the request.
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
/// async fn hello(_: Request) -> String {
///     format!("hello {:?}\n", Peer::current().addr())
/// }
///
/// async fn handler_of_axum(peer: Peer) -> String {
///     format!("hello {:?}\n", peer.addr())
/// }
/// # let _ = (hello, axum::Router::<()>::new().route("/", axum::routing::get(handler_of_axum)));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer(Arc<Ends>);

asyncio_loop::context_var! {
    /// The peer of the current request. An extension of each request would cost three allocations.
    static PEER: Peer = Peer::default();
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Ends {
    addr: Option<SocketAddr>,
    is_tls: bool,
}

impl Peer {
    pub(crate) fn new(addr: Option<SocketAddr>, is_tls: bool) -> Self {
        Self(Arc::new(Ends { addr, is_tls }))
    }

    /// The peer of the request that the current task answers, or that an ancestor of the task
    /// answers. In other tasks, a peer without an address.
    #[must_use]
    pub fn current() -> Self {
        PEER.get()
    }

    /// Sets the peer for the current task and the tasks that it starts.
    pub(crate) fn enter(self) {
        PEER.set(self);
    }

    /// The host and port; `None` over a Unix socket, and for a
    /// [`TestClient`](crate::testing::TestClient).
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.0.addr
    }

    /// Whether the connection uses TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.is_tls
    }
}

/// The request's extension of this type if it has one, otherwise [`Peer::current`].
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::current))
    }
}
