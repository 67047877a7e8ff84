//! [`WebSocketUpgrade`]: the server's side.

use std::fmt;
use std::time::Duration;

use asyncio_loop::ErrorContext;
use asyncio_net::HandlerResult;
use asyncio_task::{create_task, running_loop};
use axum_core::body::Body;
use axum_core::extract::FromRequestParts;
use axum_core::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;

use super::WebSocket;
use super::socket::SocketOptions;

/// A request for a web socket. It is an extractor for an [`App`](crate::App) and for handlers of
/// axum.
///
/// axum's own `WebSocketUpgrade` spawns on tokio's runtime, and panics without one. This one runs a
/// task of the loop, and its function need not be `Send`.
///
/// # Examples
///
/// ```
/// use asyncio_http::websocket::WebSocketUpgrade;
/// use asyncio_http::{IntoResponse, Response};
/// use axum::Router;
/// use axum::routing::get;
///
/// async fn echo(upgrade: WebSocketUpgrade) -> Response {
///     upgrade.on_upgrade(async |socket| {
///         while let Some(message) = socket.receive().await? {
///             socket.send(message).await?;
///         }
///         std::io::Result::Ok(())
///     })
/// }
///
/// let router: Router = Router::new().route("/echo", get(echo));
/// ```
#[must_use = "a web socket is opened by `on_upgrade`"]
pub struct WebSocketUpgrade {
    upgrade: OnUpgrade,
    key: HeaderValue,
    asked: Vec<String>,
    protocol: Option<String>,
    options: SocketOptions,
}

impl WebSocketUpgrade {
    /// The subprotocols that the server supports, the preferred one first. The server selects the
    /// first one that the client also asks for.
    pub fn protocols<'a>(mut self, protocols: impl IntoIterator<Item = &'a str>) -> Self {
        let is_asked = |protocol: &&str| self.asked.iter().any(|asked| asked == protocol);
        self.protocol = protocols.into_iter().find(is_asked).map(str::to_owned);
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

    /// Accepts the request, and runs the function with the open web socket in a task of its own. If
    /// the function fails, the error is reported to the loop's exception handler.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[must_use = "the response has to be returned"]
    pub fn on_upgrade<F, R>(self, serve: F) -> Response
    where
        F: AsyncFnOnce(WebSocket) -> R + 'static,
        R: HandlerResult,
    {
        let Self { upgrade, key, protocol, options, .. } = self;
        let accept = derive_accept_key(key.as_bytes());
        let chosen = protocol.clone();
        drop(create_task(async move {
            let Ok(upgraded) = upgrade.await else { return };
            let socket = WebSocket::new(upgraded, Role::Server, options, chosen, None);
            if let Some(error) = serve(socket).await.failure() {
                let context = ErrorContext::new("unhandled error in the handler of a web socket");
                running_loop().report(&context.with_error(error));
            }
        }));
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        let texts = [
            (header::SEC_WEBSOCKET_ACCEPT, Some(accept)),
            (header::SEC_WEBSOCKET_PROTOCOL, protocol),
        ];
        for (name, text) in texts {
            if let Some(Ok(value)) = text.map(|text| HeaderValue::from_str(&text)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

impl<S: Sync> FromRequestParts<S> for WebSocketUpgrade {
    type Rejection = WebSocketRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, WebSocketRejection> {
        let headers = &parts.headers;
        if parts.method != Method::GET {
            return Err(WebSocketRejection("a web socket is asked for by GET"));
        }
        if !contains(headers, &header::CONNECTION, "upgrade")
            || !contains(headers, &header::UPGRADE, "websocket")
        {
            return Err(WebSocketRejection("this address is for web sockets"));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
            return Err(WebSocketRejection("the version of web sockets is 13"));
        }
        let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY).cloned() else {
            return Err(WebSocketRejection("the key of the web socket is missing"));
        };
        let asked = words(headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect();
        let Some(upgrade) = parts.extensions.remove::<OnUpgrade>() else {
            return Err(WebSocketRejection("the connection cannot become a web socket"));
        };
        Ok(Self { upgrade, key, asked, protocol: None, options: SocketOptions::default() })
    }
}

/// The elements of a header that is a list.
pub(super) fn words<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|text| text.split(',')).map(str::trim)
}

pub(super) fn contains(headers: &HeaderMap, name: &HeaderName, word: &str) -> bool {
    words(headers, name).any(|found| found.eq_ignore_ascii_case(word))
}

impl fmt::Debug for WebSocketUpgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketUpgrade")
            .field("asked", &self.asked)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

/// The request does not ask for a web socket, or asks incorrectly. The answer has status 426 and
/// names the supported version.
#[derive(Debug)]
pub struct WebSocketRejection(&'static str);

impl fmt::Display for WebSocketRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for WebSocketRejection {}

impl IntoResponse for WebSocketRejection {
    fn into_response(self) -> Response {
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        (StatusCode::UPGRADE_REQUIRED, headers, self.0).into_response()
    }
}
