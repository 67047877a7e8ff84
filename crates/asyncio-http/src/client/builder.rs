//! [`ClientSessionBuilder`].

use std::fmt;
use std::net::SocketAddr;
use std::panic::Location;
use std::path::Path;
use std::time::Duration;

use asyncio_net::JoinedStream;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

use super::connect::{Connector, Destination};
use super::error::ClientError;
use super::header::parse_header;
use super::pool::{Pool, PoolLimits};
use super::session::ClientSession;
use super::shared::Shared;
use super::timeouts::Timeouts;

/// The options of a [`ClientSession`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_http::{ClientSession, Timeouts};
///
/// let session = ClientSession::builder()
///     .base_url("https://api.example.org/v1/")
///     .header("user-agent", "crawler/1.0")
///     .limit(20)
///     .limit_per_host(4)
///     .timeouts(Timeouts::default().total(Duration::from_secs(20)))
///     .build()?;
/// # let _ = session;
/// # Ok::<(), asyncio_http::ClientError>(())
/// ```
#[must_use = "`build` makes the session"]
pub struct ClientSessionBuilder {
    connector: Connector,
    limits: PoolLimits,
    headers: HeaderMap,
    base_url: Option<Url>,
    timeouts: Timeouts,
    max_redirects: usize,
    max_body: usize,
    decompresses: bool,
    raises: bool,
    #[cfg(feature = "cookies")]
    keeps_cookies: bool,
    #[cfg(feature = "tls")]
    tls: Option<asyncio_tls::TlsClient>,
    failure: Option<ClientError>,
}

impl Default for ClientSessionBuilder {
    fn default() -> Self {
        let mut headers = HeaderMap::new();
        let agent = concat!("asyncio-http/", env!("CARGO_PKG_VERSION"));
        headers.insert(http::header::USER_AGENT, HeaderValue::from_static(agent));
        headers.insert(http::header::ACCEPT, HeaderValue::from_static("*/*"));
        Self {
            connector: Connector { http2: true, ..Connector::default() },
            limits: PoolLimits::default(),
            headers,
            base_url: None,
            timeouts: Timeouts::default(),
            max_redirects: 10,
            max_body: 256 * 1024 * 1024,
            decompresses: true,
            raises: false,
            #[cfg(feature = "cookies")]
            keeps_cookies: true,
            #[cfg(feature = "tls")]
            tls: None,
            failure: None,
        }
    }
}

impl ClientSessionBuilder {
    /// The URL that relative URLs of requests are resolved against, like links of a page: end it
    /// with `/`.
    pub fn base_url(mut self, url: &str) -> Self {
        match Url::parse(url) {
            Ok(url) => self.base_url = Some(url),
            Err(error) => self.fail(ClientError::request(error)),
        }
        self
    }

    /// A header for every request that does not set this header itself.
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        match parse_header(name, value) {
            Ok((name, value)) => drop(self.headers.insert(name, value)),
            Err(error) => self.fail(error),
        }
        self
    }

    /// How many connections may be open. Further requests wait. The default is 100.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn limit(mut self, connections: usize) -> Self {
        assert!(connections > 0, "a session needs a connection");
        self.limits.total = connections;
        self
    }

    /// How many connections may be open to one host and port. Further requests wait. By default
    /// only [`limit`](Self::limit) applies.
    ///
    /// # Panics
    ///
    /// If it is zero.
    pub fn limit_per_host(mut self, connections: usize) -> Self {
        assert!(connections > 0, "a host needs a connection");
        self.limits.per_host = connections;
        self
    }

    /// How long an idle connection is kept. The default is 15 s.
    pub fn keep_alive_timeout(mut self, limit: Duration) -> Self {
        self.limits.idle = limit;
        self
    }

    /// The time limits for every request without limits of its own.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// How many redirects are followed; 0 for none. More redirects are an error. The default is 10.
    pub fn max_redirects(mut self, count: usize) -> Self {
        self.max_redirects = count;
        self
    }

    /// How long the decompressed body may be that `bytes`, `text` or `json` read. The default is
    /// 256 MiB.
    ///
    /// [`chunk`](super::ClientResponse::chunk) has no limit, and returns at most 64 KiB of a
    /// compressed answer at once.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }

    /// Whether to ask for compressed answers, and to decompress them. The default is true.
    pub fn decompress(mut self, yes: bool) -> Self {
        self.decompresses = yes;
        self
    }

    /// Whether an answer with a status of 400 or more is an error. The default is false.
    pub fn raise_for_status(mut self, yes: bool) -> Self {
        self.raises = yes;
        self
    }

    /// Whether cookies are kept and sent back. The default is true. With the feature `cookies`.
    ///
    /// The session has no list of public suffixes: a server can set cookies for its whole registry,
    /// such as `co.uk`, but not for a name without a dot.
    #[cfg(feature = "cookies")]
    pub fn cookies(mut self, yes: bool) -> Self {
        self.keeps_cookies = yes;
        self
    }

    /// Sends all requests through a proxy, for instance `"http://user:password@host:3128"`.
    /// Requests for `https` go through a tunnel.
    pub fn proxy(mut self, url: &str) -> Self {
        match Url::parse(url) {
            Ok(_) => {
                let matcher = Matcher::builder().all(url.to_owned()).build();
                self.connector.to = Destination::Proxies(Box::new(matcher));
            }
            Err(error) => self.fail(ClientError::request(error)),
        }
        self
    }

    /// Uses the proxies that the environment names: `http_proxy`, `https_proxy`, `all_proxy` and
    /// `no_proxy`.
    #[doc(alias = "trust_env")]
    pub fn proxies_from_env(mut self) -> Self {
        self.connector.to = Destination::Proxies(Box::new(Matcher::from_env()));
        self
    }

    /// Sends all requests to a Unix socket.
    #[doc(alias = "UnixConnector")]
    pub fn unix_socket(mut self, path: impl AsRef<Path>) -> Self {
        self.connector.to = Destination::Unix(path.as_ref().to_owned());
        self
    }

    /// The local address of connections.
    pub fn local_addr(mut self, address: SocketAddr) -> Self {
        self.connector.local_addr = Some(address);
        self
    }

    pub(crate) fn connect_by(mut self, open: impl Fn() -> JoinedStream + 'static) -> Self {
        self.connector.to = Destination::Function(Box::new(open));
        self
    }

    /// Whether the session offers HTTP/2 over TLS. The default is true.
    pub fn http2(mut self, yes: bool) -> Self {
        self.connector.http2 = yes;
        self
    }

    /// Uses only HTTP/2, also without TLS.
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.connector.http2_only = true;
        self
    }

    /// The trusted roots and the client certificate. By default the session trusts the operating
    /// system's roots and has no certificate. With the feature `tls`.
    #[cfg(feature = "tls")]
    #[doc(alias = "ssl")]
    pub fn tls(mut self, tls: &asyncio_tls::TlsClient) -> Self {
        self.tls = Some(tls.clone());
        self
    }

    fn fail(&mut self, error: ClientError) {
        self.failure.get_or_insert(error);
    }

    /// Builds the session.
    ///
    /// # Errors
    ///
    /// If the base URL, a header or the URL of the proxy is malformed.
    #[track_caller]
    pub fn build(mut self) -> Result<ClientSession, ClientError> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(self.build_unchecked()),
        }
    }

    /// Builds a session whose options cannot be malformed.
    #[track_caller]
    pub(crate) fn build_unchecked(mut self) -> ClientSession {
        #[cfg(feature = "tls")]
        if let Some(tls) = &self.tls {
            self.connector.tls = self.connector.offering(tls).into();
        }
        if self.decompresses {
            let accepted = super::decode::accepted();
            if let Some(accepted) = accepted {
                self.headers.entry(http::header::ACCEPT_ENCODING).or_insert(accepted);
            }
        }
        ClientSession(std::rc::Rc::new(Shared {
            site: Location::caller(),
            pool: Pool::new(self.connector, self.limits),
            headers: self.headers,
            base_url: self.base_url,
            timeouts: self.timeouts,
            max_redirects: self.max_redirects,
            max_body: self.max_body,
            decompresses: self.decompresses,
            raises: self.raises,
            #[cfg(feature = "cookies")]
            cookies: self.keeps_cookies.then(super::cookies::Jar::default),
        }))
    }
}

impl fmt::Debug for ClientSessionBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSessionBuilder")
            .field("base_url", &self.base_url.as_ref().map(Url::as_str))
            .field("limits", &self.limits)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}
