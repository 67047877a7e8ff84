//! [`WebSocket`].

use std::cell::{Cell, RefCell};
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_loop::machinery::at_await;
use asyncio_task::timeout;
use futures_core::Stream;
use hyper::upgrade::Upgraded;
use tungstenite::Error;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

use super::heartbeat;
use super::io::SocketIo;
use super::message::{Message, Received};
use crate::client::Lease;

/// How long closing waits for the peer's answer.
const CLOSING: Duration = Duration::from_secs(10);

/// The close code that stands for an end without a close frame. It is never sent.
const ABNORMAL: u16 = 1006;

/// An open web socket.
///
/// Clones refer to the same web socket, so one task can receive while others send. Only one task at
/// a time may receive. Dropping all clones closes the connection without a close frame.
///
/// # From aiohttp
///
/// `WebSocketResponse` and `ClientWebSocketResponse` in one type. `receive` returns `None` at the
/// end instead of a message of type `CLOSED`.
///
/// # Examples
///
/// ```
/// use asyncio_http::{App, IntoResponse};
/// use asyncio_http::testing::TestClient;
/// use asyncio_http::websocket::{Message, WebSocketUpgrade};
///
/// asyncio_task::run(async {
///     let app = App::new().get("/echo", async |upgrade: WebSocketUpgrade| {
///         upgrade.on_upgrade(async |socket| {
///             while let Some(message) = socket.receive().await? {
///                 socket.send(message).await?;
///             }
///             std::io::Result::Ok(())
///         })
///     });
///     let client = TestClient::new(app);
///     let socket = client.ws_connect("/echo").await?;
///     socket.send("hello").await.unwrap();
///     assert_eq!(socket.receive().await.unwrap(), Some(Message::from("hello")));
///     socket.close(1000, "good bye").await.unwrap();
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct WebSocket(pub(super) Rc<Inner>);

/// The options of a web socket, on either side.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketOptions {
    pub(super) max_message_size: usize,
    pub(super) heartbeat: Option<Duration>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self { max_message_size: 4 * 1024 * 1024, heartbeat: None }
    }
}

pub(super) struct Inner {
    pub(super) socket: RefCell<tungstenite::WebSocket<SocketIo>>,
    protocol: Option<String>,
    /// A message that the heartbeat has read while no task received.
    found: RefCell<Option<Received>>,
    /// The close code and reason that the peer sent.
    ending: RefCell<Option<(u16, String)>>,
    is_over: Cell<bool>,
    /// The connection's slot in the session's limits.
    _lease: Option<Lease>,
}

impl WebSocket {
    pub(super) fn new(
        upgraded: Upgraded,
        role: Role,
        options: SocketOptions,
        protocol: Option<String>,
        lease: Option<Lease>,
    ) -> Self {
        let config = WebSocketConfig::default()
            .max_message_size(Some(options.max_message_size))
            .max_frame_size(Some(options.max_message_size));
        let io = SocketIo::new(upgraded);
        let socket = tungstenite::WebSocket::from_raw_socket(io, role, Some(config));
        let inner = Rc::new(Inner {
            socket: RefCell::new(socket),
            protocol,
            found: RefCell::default(),
            ending: RefCell::default(),
            is_over: Cell::new(false),
            _lease: lease,
        });
        if let Some(interval) = options.heartbeat {
            heartbeat::start(&inner, interval);
        }
        Self(inner)
    }

    /// The subprotocol that both sides agreed on.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.0.protocol.as_deref()
    }

    /// The close code and reason of the peer, once it has closed the web socket: 1006 and no text
    /// if it has ended the connection without a close frame (RFC 6455, section 7.1.5).
    #[must_use]
    #[doc(alias = "close_code")]
    pub fn close_reason(&self) -> Option<(u16, String)> {
        self.0.ending.borrow().clone()
    }

    /// The next message; `None` when either side has closed the web socket, or the peer has ended
    /// the connection without a word. [`close_reason`](Self::close_reason) tells the two apart.
    ///
    /// # Errors
    ///
    /// If the connection breaks, or if the peer breaks the protocol or sends a message that is too
    /// long.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses no message.
    pub fn receive(&self) -> impl Future<Output = io::Result<Option<Message>>> {
        at_await(async move { poll_fn(|cx| self.poll_receive(cx)).await.transpose() })
    }

    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Message>>> {
        if self.0.is_over.get() {
            return Poll::Ready(None);
        }
        let mut socket = self.0.socket.borrow_mut();
        socket.get_ref().register(cx, true);
        loop {
            let found = self.0.found.take();
            match found.map_or_else(|| socket.read().map(Received::from), Ok) {
                Ok(Received::Message(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(Received::Sign) => {}
                Ok(Received::Closing(reason)) => {
                    *self.0.ending.borrow_mut() = reason;
                    // The next read, which finds the end, sends the answer.
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Pending;
                }
                Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => {
                    *self.0.ending.borrow_mut() = Some((ABNORMAL, String::new()));
                    self.0.is_over.set(true);
                    return Poll::Ready(None);
                }
                Err(error) => {
                    self.0.is_over.set(true);
                    return Poll::Ready(ended(error).err().map(Err));
                }
            }
        }
    }

    /// Sends a message, and waits until the operating system has taken it.
    ///
    /// # Errors
    ///
    /// If the web socket is closed or the connection fails.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the message may be sent later, as a whole.
    pub fn send(&self, message: impl Into<Message>) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let frame = message.into().into_frame();
            self.write(frame).await
        })
    }

    /// Sends a ping, and does not wait for the answer.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn ping(&self) -> impl Future<Output = io::Result<()>> {
        at_await(async move { self.write(tungstenite::Message::Ping(bytes::Bytes::new())).await })
    }

    async fn write(&self, frame: tungstenite::Message) -> io::Result<()> {
        let mut frame = Some(frame);
        poll_fn(|cx| {
            let mut socket = self.0.socket.borrow_mut();
            socket.get_ref().register(cx, false);
            if let Some(message) = frame.take() {
                match socket.write(message) {
                    Err(Error::WriteBufferFull(message)) => frame = Some(*message),
                    written => ready!(taken(written).map_err(closed)?),
                }
            }
            ready!(flushed(socket.flush()).map_err(closed)?);
            if frame.is_some() {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Closes the web socket: sends a close frame and waits up to 10 s for the peer's. Drops the
    /// messages that arrive meanwhile.
    ///
    /// # Errors
    ///
    /// If the connection fails, or if `code` may not be sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the close frame may not have been sent.
    pub fn close(&self, code: u16, reason: &str) -> impl Future<Output = io::Result<()>> {
        at_await(async move {
            let code = CloseCode::from(code);
            if !code.is_allowed() {
                let text = format!("{code} is not a code to end a web socket with");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            let frame = CloseFrame { code, reason: reason.into() };
            let closing = async {
                poll_fn(|cx| {
                    let mut socket = self.0.socket.borrow_mut();
                    socket.get_ref().register(cx, false);
                    match socket.close(Some(frame.clone())) {
                        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                        closed => return Poll::Ready(ended_ok(closed)),
                    }
                    flushed(socket.flush()).map(|flushed| flushed.or_else(ended))
                })
                .await?;
                while self.receive().await?.is_some() {}
                let _ = poll_fn(|cx| self.0.socket.borrow_mut().get_mut().poll_shutdown(cx)).await;
                Ok(())
            };
            timeout(CLOSING, closing).await.unwrap_or(Ok(()))
        })
    }
}

impl Inner {
    /// Whether the web socket is closed.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Whether a received message waits for a call of `receive`.
    pub(super) fn has_found(&self) -> bool {
        self.found.borrow().is_some()
    }

    /// Reads a message if none waits already for a call of `receive`.
    pub(super) fn read_ahead(&self) {
        let mut found = self.found.borrow_mut();
        if found.is_none() {
            // The receiving task gets the error.
            *found = self.socket.borrow_mut().read().ok().map(Received::from);
        }
    }
}

/// A message that cannot be sent at once is kept, and flushing sends it.
fn taken(written: Result<(), Error>) -> Poll<Result<(), Error>> {
    match written {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Ready(Ok(())),
        written => Poll::Ready(written),
    }
}

fn flushed(flushed: Result<(), Error>) -> Poll<Result<(), Error>> {
    match flushed {
        Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        flushed => Poll::Ready(flushed),
    }
}

/// The regular end of the protocol is no error.
fn ended(error: Error) -> io::Result<()> {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => Ok(()),
        error => Err(failed(error)),
    }
}

fn ended_ok(result: Result<(), Error>) -> io::Result<()> {
    result.or_else(ended)
}

fn closed(error: Error) -> io::Error {
    match error {
        Error::ConnectionClosed | Error::AlreadyClosed => {
            io::Error::new(io::ErrorKind::BrokenPipe, "the web socket is closed")
        }
        Error::Protocol(error @ ProtocolError::SendAfterClosing) => {
            io::Error::new(io::ErrorKind::BrokenPipe, error)
        }
        error => failed(error),
    }
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error @ (Error::Protocol(_) | Error::Utf8(_) | Error::Capacity(_)) => {
            io::Error::new(io::ErrorKind::InvalidData, error)
        }
        error => io::Error::other(error),
    }
}

/// The received messages.
impl Stream for WebSocket {
    type Item = io::Result<Message>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_receive(cx)
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("protocol", &self.0.protocol).finish_non_exhaustive()
    }
}
