//! [`ClientError`].

use std::error::Error;
use std::fmt;

use http::StatusCode;
use url::Url;

use crate::BoxError;

/// The error of a request.
///
/// # From aiohttp
///
/// aiohttp's `ClientError` and its subclasses are kinds of this one type.
///
/// # Examples
///
/// ```
/// use asyncio_http::{App, ClientErrorKind};
/// use asyncio_http::testing::TestClient;
///
/// asyncio_task::run(async {
///     let client = TestClient::new(App::new());
///     let error = client.get("/nowhere").await.unwrap().raise_for_status().unwrap_err();
///     assert_eq!(error.kind(), ClientErrorKind::Status);
///     assert_eq!(error.status().unwrap(), 404);
///     assert_eq!(error.to_string(), "404 Not Found for http://test.invalid/nowhere");
/// });
/// ```
pub struct ClientError(Box<Inner>);

struct Inner {
    kind: ClientErrorKind,
    text: String,
    url: Option<Url>,
    status: Option<StatusCode>,
    source: Option<BoxError>,
}

/// The kind of a [`ClientError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientErrorKind {
    /// The request is invalid: its URL, a header or its body.
    Request,
    /// The connection failed: an unknown host name, a refused connection, a proxy's refusal, an
    /// invalid certificate.
    Connect,
    /// A time limit has expired.
    Timeout,
    /// The connection broke, or the server broke the protocol.
    Connection,
    /// Too many redirects, or one that cannot be followed.
    Redirect,
    /// The answer has a status of 400 or more, which
    /// [`raise_for_status`](crate::ClientResponse::raise_for_status) makes an error.
    Status,
    /// The body of the answer cannot be decoded: as gzip, as JSON or as text.
    Decode,
    /// The body of the answer is longer than the session allows.
    TooLarge,
    /// The session is closed.
    Closed,
}

impl ClientError {
    pub(crate) fn new(kind: ClientErrorKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self(Box::new(Inner { kind, text, url: None, status: None, source: None }))
    }

    pub(crate) fn request(source: impl Into<BoxError>) -> Self {
        Self::new(ClientErrorKind::Request, "the request cannot be made").with(source)
    }

    pub(crate) fn connect(source: impl Into<BoxError>) -> Self {
        Self::new(ClientErrorKind::Connect, "no connection").with(source)
    }

    pub(crate) fn timeout(what: &str) -> Self {
        Self::new(ClientErrorKind::Timeout, format!("the time for {what} is over"))
    }

    pub(crate) fn connection(source: impl Into<BoxError>) -> Self {
        Self::new(ClientErrorKind::Connection, "the connection failed").with(source)
    }

    pub(crate) fn decode(source: impl Into<BoxError>) -> Self {
        Self::new(ClientErrorKind::Decode, "the answer cannot be decoded").with(source)
    }

    pub(crate) fn status_of(status: StatusCode) -> Self {
        let mut error = Self::new(ClientErrorKind::Status, status.to_string());
        error.0.status = Some(status);
        error
    }

    pub(super) fn with(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn at(mut self, url: &Url) -> Self {
        if self.0.url.is_none() {
            let mut url = url.clone();
            // Keeps the password out of logs.
            let _ = url.set_password(None);
            self.0.url = Some(url);
        }
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> ClientErrorKind {
        self.0.kind
    }

    /// Whether a time limit has expired.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ClientErrorKind::Timeout
    }

    /// Whether the connection failed, so that the server has not received the request.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.0.kind == ClientErrorKind::Connect
    }

    /// The status of the answer, if that is the error.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.0.status
    }

    /// The URL of the request, after redirects, without its password.
    #[must_use]
    pub fn url(&self) -> Option<&str> {
        self.0.url.as_ref().map(Url::as_str)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)?;
        if let Some(url) = &self.0.url {
            write!(f, " for {url}")?;
        }
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("kind", &self.0.kind)
            .field("text", &self.to_string())
            .finish_non_exhaustive()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
