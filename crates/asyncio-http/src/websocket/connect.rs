//! [`WebSocketConnect`]: the client's side.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use asyncio_loop::machinery::{AtAwait, at_await};

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::Upgraded;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::WebSocket;
use super::accept::contains;
use super::socket::SocketOptions;
use crate::client::{ClientError, ClientErrorKind, ClientRequest, ClientSession};

impl ClientSession {
    /// Opens a web socket. The URL begins with `ws:` or `wss:`, or with `http:` or `https:`.
    ///
    /// The session's headers, cookies, proxies and limits apply. The connection counts towards the
    /// limits while the web socket is open.
    ///
    /// # Examples
    ///
    /// See [`WebSocket`].
    pub fn ws_connect(&self, url: impl AsRef<str>) -> WebSocketConnect {
        let url = url.as_ref();
        let url = match url.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("ws") => format!("http:{rest}"),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("wss") => format!("https:{rest}"),
            _ => url.to_owned(),
        };
        let key = generate_key();
        let request = self
            .request(Method::GET, url)
            .header(header::CONNECTION, "upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, key.as_str())
            .max_redirects(0)
            .upgrading();
        WebSocketConnect { request, key, protocols: Vec::new(), options: SocketOptions::default() }
    }
}

/// A web socket that opens when it is awaited. [`ClientSession::ws_connect`] returns it.
///
/// # Errors
///
/// A [`ClientError`], also if the server does not accept the web socket.
///
/// # Cancel safety
///
/// Dropping the future closes the connection.
///
/// # Examples
///
/// See [`WebSocket`].
#[must_use = "nothing is opened before `.await`"]
pub struct WebSocketConnect {
    request: ClientRequest,
    key: String,
    protocols: Vec<String>,
    options: SocketOptions,
}

impl WebSocketConnect {
    /// Asks for one of these subprotocols.
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        self.protocols = protocols.into_iter().map(str::to_owned).collect();
        self
    }

    /// Adds a header to the request.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.request = self.request.header(name, value);
        self
    }

    /// How long a message may be, in bytes. [`receive`](WebSocket::receive) fails if a message is
    /// longer. The default is 4 MiB, as in aiohttp.
    pub fn max_message_size(mut self, bytes: usize) -> Self {
        self.options.max_message_size = bytes;
        self
    }

    /// Sends a ping when nothing was received for this time. If nothing arrives within half of it
    /// after the ping, the connection is closed, and [`receive`](WebSocket::receive) and
    /// [`send`](WebSocket::send) fail with `TimedOut`. The default is no heartbeat, as in aiohttp.
    ///
    /// Use it behind proxies that close idle connections, and to detect peers that have vanished.
    /// While a received message waits for the program, the peer is not checked.
    ///
    /// # Panics
    ///
    /// If the interval is zero.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        assert!(!interval.is_zero(), "pings need some time between them");
        self.options.heartbeat = Some(interval);
        self
    }

    async fn run(mut self) -> Result<WebSocket, ClientError> {
        if !self.protocols.is_empty() {
            let protocols = self.protocols.join(", ");
            self.request = self.request.header(header::SEC_WEBSOCKET_PROTOCOL, protocols);
        }
        let answer = self.request.await?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let text = format!("{} instead of a web socket", answer.status());
            return Err(ClientError::new(ClientErrorKind::Status, text));
        }
        let headers = answer.headers();
        let accept = derive_accept_key(self.key.as_bytes());
        let is_agreed = contains(headers, &header::UPGRADE, "websocket")
            && contains(headers, &header::CONNECTION, "upgrade")
            && headers.get(header::SEC_WEBSOCKET_ACCEPT).is_some_and(|value| *value == accept);
        let protocol = headers.get(header::SEC_WEBSOCKET_PROTOCOL);
        let protocol = protocol.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
        let is_asked = protocol.as_ref().is_none_or(|chosen| self.protocols.contains(chosen));
        if !is_agreed || !is_asked {
            let text = "the server has not agreed to the web socket that was asked for";
            return Err(ClientError::new(ClientErrorKind::Connection, text));
        }
        let (upgrade, lease) = answer.into_upgrade()?;
        let upgraded: Upgraded = upgrade.await.map_err(ClientError::connection)?;
        Ok(WebSocket::new(upgraded, Role::Client, self.options, protocol, Some(lease)))
    }
}

/// Boxed, so that futures that await it stay small.
impl IntoFuture for WebSocketConnect {
    type Output = Result<WebSocket, ClientError>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = Self::Output>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl fmt::Debug for WebSocketConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnect")
            .field("request", &self.request)
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}
