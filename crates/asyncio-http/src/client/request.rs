//! [`ClientRequest`].

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::time::Duration;

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::{AtAwait, at_await, poll_noted};
use asyncio_task::{running_loop, timeout_at};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use url::Url;

use super::content::Content;
use super::error::{ClientError, ClientErrorKind};
use super::exchange::exchange;
use super::header::parse_header;
use super::multipart::Multipart;
use super::redirect::Hop;
use super::response::{ClientResponse, Rules};
use super::session::ClientSession;
use super::shared::Shared;
use super::timeouts::Timeouts;

/// A request, which is sent when it is awaited.
///
/// Builder methods do not fail: awaiting the request returns the error of a malformed part.
///
/// # Errors
///
/// A [`ClientError`] if the request is malformed, no connection can be opened, the connection
/// breaks, a time limit expires, or there are too many redirects. An answer with a status of 400 or
/// more is an error only if the session or [`raise_for_status`](Self::raise_for_status) says so.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future while it waits for a connection passes its turn to the next request.
/// Dropping it later closes the connection; over HTTP/2 only the request is reset.
///
/// # Examples
///
/// ```
/// use asyncio_http::App;
/// use asyncio_http::testing::TestClient;
/// use axum::Json;
///
/// asyncio_task::run(async {
///     let app = App::new().post("/upper", async |Json(text): Json<String>| text.to_uppercase());
///     let client = TestClient::new(app);
///     let answer = client.post("/upper").header("x-request-id", "7").json("hello").await?;
///     assert_eq!(answer.raise_for_status()?.text().await?, "HELLO");
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[must_use = "nothing is sent before `.await`"]
pub struct ClientRequest {
    session: ClientSession,
    method: Method,
    /// The URL, or the first error of a builder method.
    url: Result<Url, ClientError>,
    headers: HeaderMap,
    content: Content,
    timeouts: Timeouts,
    max_redirects: usize,
    raises: bool,
    upgrades: bool,
}

impl ClientRequest {
    pub(super) fn new(session: ClientSession, method: Method, url: &str) -> Self {
        let url = session.url(url).map_err(|error| {
            ClientError::new(ClientErrorKind::Request, format!("unfit URL {url:?}: {error}"))
        });
        let (timeouts, max_redirects) = (session.0.timeouts, session.0.max_redirects);
        let raises = session.0.raises;
        let (headers, content) = (HeaderMap::new(), Content::default());
        let upgrades = false;
        Self { session, method, url, headers, content, timeouts, max_redirects, raises, upgrades }
    }

    fn fail(&mut self, error: ClientError) {
        if let Ok(url) = &self.url {
            self.url = Err(error.at(&url.clone()));
        }
    }

    fn set(&mut self, name: HeaderName, value: &str) {
        match HeaderValue::from_str(value) {
            Ok(value) => drop(self.headers.insert(name, value)),
            Err(error) => self.fail(ClientError::request(error)),
        }
    }

    /// Adds a header. Several headers with one name are all sent. It replaces the session's header
    /// with that name.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        match parse_header(name, value) {
            Ok((name, value)) => drop(self.headers.append(name, value)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// Adds headers.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        let mut last = None;
        for (name, value) in headers {
            last = name.or(last);
            if let Some(name) = &last {
                self.headers.append(name.clone(), value);
            }
        }
        self
    }

    /// Adds parameters to the query of the URL, from a list of pairs, a map or a struct.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::{App, Request};
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().get("/", async |request: Request| request.uri().to_string());
    ///     let client = TestClient::new(app);
    ///     let answer = client.get("/?page=1").query(&[("sort", "name & age")]).await?;
    ///     assert_eq!(answer.text().await?, "/?page=1&sort=name+%26+age");
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "params")]
    pub fn query<T: Serialize + ?Sized>(mut self, query: &T) -> Self {
        let Ok(url) = &mut self.url else { return self };
        let mut pairs = url.query_pairs_mut();
        let added = query.serialize(serde_urlencoded::Serializer::new(&mut pairs)).map(drop);
        drop(pairs);
        if url.query() == Some("") {
            url.set_query(None);
        }
        if let Err(error) = added {
            self.fail(ClientError::request(error));
        }
        self
    }

    /// Sends a value as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.typed("application/json", bytes.into()),
            Err(error) => self.fail(ClientError::request(error)),
        }
        self
    }

    /// Sends a form (`application/x-www-form-urlencoded`) from a list of pairs, a map or a struct.
    #[doc(alias = "data")]
    pub fn form<T: Serialize + ?Sized>(mut self, form: &T) -> Self {
        match serde_urlencoded::to_string(form) {
            Ok(text) => self.typed("application/x-www-form-urlencoded", text.into()),
            Err(error) => self.fail(ClientError::request(error)),
        }
        self
    }

    /// Sends a form with files.
    pub fn multipart(mut self, form: Multipart) -> Self {
        self.typed(&form.content_type(), form.into_content());
        self
    }

    fn typed(&mut self, content_type: &str, content: Content) {
        if !self.headers.contains_key(header::CONTENT_TYPE) {
            self.set(header::CONTENT_TYPE, content_type);
        }
        self.content = content;
    }

    /// Sends a text, bytes, or a [stream](Content::stream) of them.
    pub fn body(mut self, content: impl Into<Content>) -> Self {
        self.content = content.into();
        self
    }

    /// Sends a name and a password (RFC 7617). Redirects to other hosts do not get them.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        self.secret(&format!("Basic {credentials}"));
        self
    }

    /// Sends a token (RFC 6750). Redirects to other hosts do not get it.
    pub fn bearer_auth(mut self, token: &str) -> Self {
        self.secret(&format!("Bearer {token}"));
        self
    }

    fn secret(&mut self, value: &str) {
        self.set(header::AUTHORIZATION, value);
        if let Some(value) = self.headers.get_mut(header::AUTHORIZATION) {
            value.set_sensitive(true);
        }
    }

    /// The time limit for the whole request, including the answer's body.
    pub fn timeout(mut self, total: Duration) -> Self {
        self.timeouts.total = Some(total);
        self
    }

    /// All time limits.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How many redirects are followed; 0 for none, so that the redirect itself is the answer.
    #[doc(alias = "allow_redirects")]
    pub fn max_redirects(mut self, count: usize) -> Self {
        self.max_redirects = count;
        self
    }

    /// Whether an answer with a status of 400 or more is an error.
    pub fn raise_for_status(mut self, yes: bool) -> Self {
        self.raises = yes;
        self
    }

    /// Asks for an upgrade of the connection, which HTTP/2 does not have.
    #[cfg(feature = "websocket")]
    pub(crate) fn upgrading(mut self) -> Self {
        self.upgrades = true;
        self
    }

    async fn run(self) -> Result<ClientResponse, ClientError> {
        let deadline = self.timeouts.total.map(|limit| running_loop().time() + limit);
        let raises = self.raises;
        let url = self.url.as_ref().ok().cloned();
        let answer = match deadline {
            None => self.chain(None).await,
            Some(when) => match timeout_at(when, self.chain(deadline)).await {
                Ok(answer) => answer,
                Err(_) => Err(ClientError::timeout("the request")),
            },
        };
        let answer = match url {
            Some(url) => answer.map_err(|error| error.at(&url))?,
            None => answer?,
        };
        if raises { answer.raise_for_status() } else { Ok(answer) }
    }

    /// The request, and those that redirects ask for.
    async fn chain(
        self,
        deadline: Option<asyncio_loop::LoopTime>,
    ) -> Result<ClientResponse, ClientError> {
        let session = &*self.session.0;
        let mut hop = first_hop(session, self.method, self.url?, self.headers, self.content)?;
        hop.upgrades = self.upgrades;
        let mut history = Vec::new();
        let rules = Rules {
            decompresses: session.decompresses,
            deadline,
            read: self.timeouts.read,
            max_body: session.max_body,
        };
        loop {
            let exchanged = exchange(session, &mut hop, &self.timeouts)
                .await
                .map_err(|error| error.at(&hop.url))?;
            let (status, headers) = (exchanged.response.status(), exchanged.response.headers());
            #[cfg(feature = "cookies")]
            if let Some(jar) = &session.cookies {
                jar.store(&hop.url, headers);
            }
            let url = hop.url.clone();
            if self.max_redirects == 0 || !hop.follow(status, headers)? {
                return Ok(ClientResponse::new(exchanged, url, history, &rules));
            }
            history.push(url.clone());
            if history.len() > self.max_redirects {
                let text = format!("more than {} redirects", self.max_redirects);
                return Err(ClientError::new(ClientErrorKind::Redirect, text).at(&url));
            }
            // A short body is read to its end, so that the connection can be kept.
            ClientResponse::new(exchanged, url, Vec::new(), &rules).skip_short().await;
        }
    }
}

/// The request with everything that the session adds.
fn first_hop(
    session: &Shared,
    method: Method,
    mut url: Url,
    mut headers: HeaderMap,
    content: Content,
) -> Result<Hop, ClientError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(ClientError::new(ClientErrorKind::Request, "neither http nor https").at(&url));
    }
    for name in session.headers.keys() {
        if !headers.contains_key(name) {
            for value in session.headers.get_all(name) {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        if !headers.contains_key(header::AUTHORIZATION) {
            let decode = |text: &str| percent_decoded(text);
            let (user, password) = (decode(url.username()), decode(url.password().unwrap_or("")));
            let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
            let mut value = HeaderValue::from_str(&format!("Basic {credentials}"))
                .map_err(ClientError::request)?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Ok(Hop { method, url, headers, content, upgrades: false })
}

/// Unescapes the credentials of a URL.
fn percent_decoded(text: &str) -> String {
    // Forms use the same escapes, except for the plus sign.
    let text = format!("={}", text.replace('+', "%2B"));
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs.next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

/// Boxed, so that futures that await it stay small.
impl IntoFuture for ClientRequest {
    type Output = Result<ClientResponse, ClientError>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = Self::Output>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(noted(self.run())))
    }
}

/// hyper's futures do not tell the task what they wait for, so this note does.
async fn noted<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| poll_noted(cx, WaitsFor::Connection, |cx| future.as_mut().poll(cx))).await
}

impl fmt::Debug for ClientRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientRequest")
            .field("method", &self.method)
            .field("url", &self.url.as_ref().map(Url::as_str))
            .finish_non_exhaustive()
    }
}
