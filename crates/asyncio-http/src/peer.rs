//! [`Peer`]: who sent a request.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum_core::extract::FromRequestParts;
use http::request::Parts;

/// The other end of the connection that a request came over: an extractor of axum, and, by
/// [`current`](Self::current), at hand wherever the request is answered.
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
    /// Of the connection whose requests are answered. An extension of each request would cost it
    /// three allocations.
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

    /// The peer of the request that is answered here: by the current task, or one that it was
    /// started by. Elsewhere it is a peer without an address.
    #[must_use]
    pub fn current() -> Self {
        PEER.get()
    }

    /// Has the current task, and those that it starts, answer requests of this peer.
    pub(crate) fn enter(self) {
        PEER.set(self);
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

/// It is [`Peer::current`], unless the request has another one as an extension.
impl<S: Sync> FromRequestParts<S> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_else(Self::current))
    }
}
