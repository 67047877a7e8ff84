//! [`ClientResponse`].

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_loop::machinery::{at_await, poll_noted};
use asyncio_loop::{LoopTime, WaitsFor};
use asyncio_task::{Sleep, running_loop, sleep_until};
use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use http::{HeaderMap, StatusCode, Version, header};
use http_body::Body as _;
use hyper::body::Incoming;
#[cfg(feature = "websocket")]
use hyper::upgrade::OnUpgrade;
use serde::de::DeserializeOwned;
use url::Url;

use super::content::Progress;
use super::decode::Decoder;
use super::error::{ClientError, ClientErrorKind};
use super::exchange::Exchanged;
use super::pool::Lease;

/// The answer to a request: its head, and the body as it arrives.
///
/// When the body has been read to its end, the connection is kept for the next request. If the
/// answer is dropped before, the connection is closed; over HTTP/2 only the request is reset.
///
/// It is also a stream of the pieces of its body.
///
/// # From aiohttp
///
/// `ClientResponse`. Unlike there, the body can be read only once, since it is not kept.
///
/// # Examples
///
/// ```
/// use asyncio_http::App;
/// use asyncio_http::testing::TestClient;
///
/// asyncio_task::run(async {
///     let client = TestClient::new(App::new().get("/", async || "hello"));
///     let mut answer = client.get("/").await?;
///     assert_eq!(answer.status(), 200);
///     let mut length = 0;
///     while let Some(piece) = answer.chunk().await? {
///         length += piece.len();
///     }
///     assert_eq!(length, 5);
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
pub struct ClientResponse {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    url: Url,
    history: Vec<Url>,
    body: Reading,
    #[cfg(feature = "websocket")]
    upgrade: Option<OnUpgrade>,
}

/// The body of an answer.
struct Reading {
    incoming: Incoming,
    decoder: Decoder,
    lease: Option<(Lease, Rc<Progress>)>,
    is_over: bool,
    deadline: Option<LoopTime>,
    read: Option<Duration>,
    timer: Option<Sleep>,
    max_body: usize,
}

/// The session's options for the body of an answer.
pub(super) struct Rules {
    pub(super) decompresses: bool,
    pub(super) deadline: Option<LoopTime>,
    pub(super) read: Option<Duration>,
    pub(super) max_body: usize,
}

impl ClientResponse {
    pub(super) fn new(exchanged: Exchanged, url: Url, history: Vec<Url>, rules: &Rules) -> Self {
        let Exchanged { mut response, lease, progress } = exchanged;
        let changes = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        #[cfg(feature = "websocket")]
        let upgrade = changes.then(|| hyper::upgrade::on(&mut response));
        #[cfg(not(feature = "websocket"))]
        let _ = &mut response;
        let (head, incoming) = response.into_parts();
        let mut headers = head.headers;
        let has_body = !incoming.is_end_stream();
        let decoder = if rules.decompresses && has_body {
            Decoder::for_headers(&mut headers)
        } else {
            Decoder::identity()
        };
        let mut body = Reading {
            incoming,
            decoder,
            lease: Some((lease, progress)),
            is_over: false,
            deadline: rules.deadline,
            read: rules.read,
            timer: None,
            max_body: rules.max_body,
        };
        if !has_body && !changes {
            body.end();
        }
        Self {
            status: head.status,
            version: head.version,
            headers,
            url,
            history,
            body,
            #[cfg(feature = "websocket")]
            upgrade,
        }
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether the status is below 400.
    #[must_use]
    #[doc(alias = "ok")]
    pub fn is_ok(&self) -> bool {
        self.status.as_u16() < 400
    }

    /// The HTTP version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The headers. If the body is decompressed, the headers describe the decompressed body.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The URL that answered, after redirects.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The URLs of the redirects that led here, in order.
    pub fn history(&self) -> impl ExactSizeIterator<Item = &str> {
        self.history.iter().map(Url::as_str)
    }

    /// The length of the body, if the server sent it.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The answer itself, or an error if its status is 400 or more.
    ///
    /// # Errors
    ///
    /// An error of the kind [`Status`](ClientErrorKind::Status).
    ///
    /// # Examples
    ///
    /// See [`ClientError`].
    pub fn raise_for_status(self) -> Result<Self, ClientError> {
        if self.is_ok() {
            return Ok(self);
        }
        Err(ClientError::status_of(self.status).at(&self.url))
    }

    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    ///
    /// If the connection fails, the body cannot be decompressed, or a time limit expires. The
    /// connection is closed then.
    ///
    /// # Cancel safety
    ///
    /// A dropped future loses nothing: the next call continues.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>, ClientError>> {
        at_await(async move {
            let piece =
                poll_fn(|cx| poll_noted(cx, WaitsFor::Connection, |cx| self.poll_chunk(cx)));
            piece.await.transpose()
        })
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        let piece = ready!(self.body.poll_chunk(cx));
        Poll::Ready(piece.map(|piece| {
            piece.map_err(|error| {
                self.body.fail();
                error.at(&self.url)
            })
        }))
    }

    /// The whole body.
    ///
    /// # Errors
    ///
    /// As [`chunk`](Self::chunk); [`TooLarge`](ClientErrorKind::TooLarge) if the body is longer
    /// than the session's [`max_body`](super::ClientSessionBuilder::max_body).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the answer.
    #[doc(alias = "read")]
    pub fn bytes(mut self) -> impl Future<Output = Result<Bytes, ClientError>> {
        at_await(async move {
            let max = self.body.max_body;
            let too_large = |url: &Url| {
                let text = format!("the answer is longer than {max} bytes");
                ClientError::new(ClientErrorKind::TooLarge, text).at(url)
            };
            if self.content_length().is_some_and(|length| length > max as u64) && !self.body.is_over
            {
                return Err(too_large(&self.url));
            }
            let Some(first) = self.chunk().await? else { return Ok(Bytes::new()) };
            let Some(second) = self.chunk().await? else {
                return if first.len() > max { Err(too_large(&self.url)) } else { Ok(first) };
            };
            let mut all = BytesMut::from(first);
            all.extend_from_slice(&second);
            while all.len() <= max {
                match self.chunk().await? {
                    Some(piece) => all.extend_from_slice(&piece),
                    None => return Ok(all.freeze()),
                }
            }
            Err(too_large(&self.url))
        })
    }

    /// The whole body as UTF-8 text. Invalid bytes become `U+FFFD`.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    pub fn text(self) -> impl Future<Output = Result<String, ClientError>> {
        at_await(async move {
            let bytes = self.bytes().await?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    /// The whole body as JSON, regardless of its content type.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes); [`Decode`](ClientErrorKind::Decode) if the body is not JSON or
    /// does not match the type `T`.
    pub fn json<T: DeserializeOwned>(self) -> impl Future<Output = Result<T, ClientError>> {
        at_await(async move {
            let url = self.url.clone();
            let bytes = self.bytes().await?;
            serde_json::from_slice(&bytes).map_err(|error| ClientError::decode(error).at(&url))
        })
    }

    /// Reads the body of a redirect if it is short.
    pub(super) async fn skip_short(mut self) {
        let mut left = 16 * 1024;
        if self.content_length().is_some_and(|length| length > left) {
            return;
        }
        while let Ok(Some(piece)) = self.chunk().await {
            left = left.saturating_sub(piece.len() as u64);
            if left == 0 {
                return;
            }
        }
    }

    /// The upgraded connection.
    #[cfg(feature = "websocket")]
    pub(crate) fn into_upgrade(mut self) -> Result<(OnUpgrade, Lease), ClientError> {
        match (self.upgrade.take(), self.body.lease.take()) {
            (Some(upgrade), Some((lease, _))) => Ok((upgrade, lease)),
            _ => Err(ClientError::new(ClientErrorKind::Connection, "no change of protocol")),
        }
    }
}

impl Reading {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, ClientError>>> {
        if self.deadline.is_some_and(|deadline| running_loop().time() >= deadline) && !self.is_over
        {
            return Poll::Ready(Some(Err(ClientError::timeout("the request"))));
        }
        loop {
            if self.is_over {
                return Poll::Ready(None);
            }
            match self.decoder.next() {
                Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(ClientError::decode(error)))),
            }
            let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(cx) else {
                return self.poll_limits(cx).map(|error| Some(Err(error)));
            };
            self.timer = None;
            match frame {
                Some(Ok(frame)) => {
                    // Trailers are skipped.
                    if let Ok(data) = frame.into_data() {
                        self.decoder.feed(data);
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(ClientError::connection(error)))),
                None => match self.decoder.end() {
                    Ok(Some(piece)) => return Poll::Ready(Some(Ok(piece))),
                    Ok(None) => self.end(),
                    Err(error) => return Poll::Ready(Some(Err(ClientError::decode(error)))),
                },
            }
        }
    }

    fn poll_limits(&mut self, cx: &mut Context<'_>) -> Poll<ClientError> {
        let timer = match &mut self.timer {
            Some(timer) => timer,
            none => {
                let read = self.read.map(|limit| running_loop().time() + limit);
                let Some(when) = read.into_iter().chain(self.deadline).min() else {
                    return Poll::Pending;
                };
                none.insert(sleep_until(when))
            }
        };
        Pin::new(timer).poll(cx).map(|()| ClientError::timeout("the answer's body"))
    }

    /// Marks the body as received to its end.
    fn end(&mut self) {
        self.is_over = true;
        self.timer = None;
        if let Some((lease, progress)) = self.lease.take() {
            if progress.is_done() {
                lease.finish();
            }
        }
    }

    /// Closes the connection, since the rest of the body will not be read.
    fn fail(&mut self) {
        self.is_over = true;
        self.lease = None;
    }
}

impl Stream for ClientResponse {
    type Item = Result<Bytes, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_chunk(cx)
    }
}

impl fmt::Debug for ClientResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientResponse")
            .field("status", &self.status)
            .field("url", &self.url.as_str())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
