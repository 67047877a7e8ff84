//! [`ClientSession`].

use std::fmt;
use std::rc::Rc;

use http::Method;
use url::Url;

use super::builder::ClientSessionBuilder;
#[cfg(feature = "cookies")]
use super::error::{ClientError, ClientErrorKind};
use super::request::ClientRequest;
use super::shared::Shared;

/// An HTTP/1 and HTTP/2 client. Its requests share a pool of connections, cookies, headers and
/// limits.
///
/// Create one session for the program (on each loop that needs one) and clone it. A session belongs
/// to the loop that it is used on. Cancelling a request, or dropping its future or its answer,
/// closes its connection unless the answer was read to the end, so the rest of one answer never
/// becomes a part of the next.
///
/// # From aiohttp
///
/// `ClientSession`, without `async with`: dropping an answer releases its connection. `limit` and
/// `limit_per_host` also count idle connections.
///
/// # Examples
///
/// ```no_run
/// use asyncio_http::ClientSession;
///
/// asyncio_task::run(async {
///     let session = ClientSession::new();
///     let answer = session.get("https://example.org/").query(&[("page", 1)]).await?;
///     println!("{} {:?}", answer.status(), answer.headers().get("content-type"));
///     println!("{}", answer.text().await?);
///     Ok::<_, asyncio_http::ClientError>(())
/// }).unwrap();
/// ```
#[derive(Clone)]
pub struct ClientSession(pub(super) Rc<Shared>);

impl Default for ClientSession {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

macro_rules! methods {
    ($($name:ident $method:ident)*) => {$(
        #[doc = concat!("A request of the method `", stringify!($method), "`.")]
        ///
        /// The URL may be relative to the session's base URL.
        pub fn $name(&self, url: impl AsRef<str>) -> ClientRequest {
            self.request(Method::$method, url)
        }
    )*};
}

impl ClientSession {
    /// A session with the default options.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::builder().build_unchecked()
    }

    /// A session with options.
    pub fn builder() -> ClientSessionBuilder {
        ClientSessionBuilder::default()
    }

    methods! { get GET head HEAD post POST put PUT patch PATCH delete DELETE options OPTIONS }

    /// A request with any method.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::{App, Method};
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().any("/", async |method: Method| method.to_string());
    ///     let client = TestClient::new(app);
    ///     let answer = client.request(Method::from_bytes(b"PURGE").unwrap(), "/").await?;
    ///     assert_eq!(answer.text().await?, "PURGE");
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> ClientRequest {
        ClientRequest::new(self.clone(), method, url.as_ref())
    }

    /// Puts a cookie into the session, in the syntax of the header `Set-Cookie`, as if the server
    /// of `url` had set it. With the feature `cookies`.
    ///
    /// # Errors
    ///
    /// An error of the kind [`Request`](ClientErrorKind::Request) if the URL or the cookie is
    /// malformed, if the server may not set it (a `Domain` of others), or if the session keeps no
    /// cookies.
    ///
    /// # From aiohttp
    ///
    /// `session.cookie_jar.update_cookies(…)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_http::{App, HeaderMap};
    /// use asyncio_http::testing::TestClient;
    ///
    /// asyncio_task::run(async {
    ///     let app = App::new().get("/", async |headers: HeaderMap| {
    ///         headers["cookie"].as_bytes().to_vec()
    ///     });
    ///     let client = TestClient::new(app);
    ///     client.set_cookie("/", "token=7; Path=/")?;
    ///     assert_eq!(client.get("/").await?.text().await?, "token=7");
    ///     assert_eq!(client.cookie("/", "token").as_deref(), Some("7"));
    ///     Ok::<_, asyncio_http::ClientError>(())
    /// }).unwrap();
    /// ```
    #[cfg(feature = "cookies")]
    #[doc(alias = "cookie_jar")]
    #[doc(alias = "update_cookies")]
    pub fn set_cookie(&self, url: impl AsRef<str>, cookie: &str) -> Result<(), ClientError> {
        let url = self.url(url.as_ref()).map_err(ClientError::request)?;
        let refused = |source| {
            let text = format!("the cookie {cookie:?} cannot be kept");
            ClientError::new(ClientErrorKind::Request, text).with(source).at(&url)
        };
        match &self.0.cookies {
            Some(jar) => jar.set(&url, cookie).map_err(refused),
            None => Err(refused("the session keeps no cookies".into())),
        }
    }

    /// The value of a cookie that a request for `url` would carry. With the feature `cookies`.
    ///
    /// # From aiohttp
    ///
    /// `session.cookie_jar.filter_cookies(url)`.
    ///
    /// # Examples
    ///
    /// See [`set_cookie`](Self::set_cookie).
    #[cfg(feature = "cookies")]
    #[must_use]
    #[doc(alias = "filter_cookies")]
    pub fn cookie(&self, url: impl AsRef<str>, name: &str) -> Option<String> {
        self.0.cookies.as_ref()?.get(&self.url(url.as_ref()).ok()?, name)
    }

    /// How many connections are open or being opened.
    #[must_use]
    pub fn connection_count(&self) -> usize {
        self.0.pool.open_count()
    }

    /// Closes idle connections now, and the others when their requests are done. Later requests
    /// fail.
    ///
    /// Dropping the last clone of a session does the same; debug mode reports it, with the place
    /// where the session was made, if connections were open.
    pub fn close(&self) {
        self.0.pool.close();
    }

    pub(super) fn url(&self, text: &str) -> Result<Url, url::ParseError> {
        match &self.0.base_url {
            Some(base) => base.join(text),
            None => Url::parse(text),
        }
    }
}

impl fmt::Debug for ClientSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSession")
            .field("connections", &self.connection_count())
            .finish_non_exhaustive()
    }
}
