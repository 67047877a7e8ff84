//! Opening connections: to the host or through a proxy, with or without TLS.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    JoinedStream, StreamReader, StreamWriter, open_connection, open_unix_connection,
};
use asyncio_task::{TaskOptions, create_task_with};
use bytes::Bytes;
use http::{HeaderValue, Method, header};
use http_body_util::Empty;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};

use super::pool::Key;
use crate::rt::LoopStream;

/// How connections are opened.
#[derive(Default)]
pub(crate) struct Connector {
    pub(super) to: Destination,
    /// Whether to use HTTP/2 without negotiation.
    pub(super) http2_only: bool,
    /// Whether to offer HTTP/2.
    pub(super) http2: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: std::cell::OnceCell<asyncio_tls::TlsClient>,
    pub(super) local_addr: Option<std::net::SocketAddr>,
}

/// Where connections go.
#[derive(Default)]
pub(super) enum Destination {
    /// To the host of the URL.
    #[default]
    Host,
    /// To the proxy for the URL, if there is one.
    Proxies(Box<Matcher>),
    /// To a Unix socket.
    Unix(PathBuf),
    /// To the connection that a function opens.
    Function(Box<dyn Fn() -> JoinedStream>),
}

/// An open connection and its protocol.
pub(super) struct Opened {
    pub(super) stream: JoinedStream,
    pub(super) is_http2: bool,
}

/// The Connection Attempt Delay of RFC 8305.
const HAPPY_EYEBALLS: Duration = Duration::from_millis(250);

type Streams = (StreamReader, StreamWriter);

impl Connector {
    /// Whether it is one of a test client.
    pub(super) fn is_test(&self) -> bool {
        matches!(self.to, Destination::Function(_))
    }

    /// The proxy for a URL, if there is one.
    pub(super) fn proxy(&self, uri: &http::Uri) -> Option<Rc<Intercept>> {
        match &self.to {
            Destination::Proxies(matcher) => matcher.intercept(uri).map(Rc::new),
            _ => None,
        }
    }

    /// Whether the version is not known before a connection is open.
    pub(super) fn asks_version(&self, key: &Key) -> bool {
        key.is_tls && self.http2 && !self.http2_only && !key.upgrades
    }

    pub(super) async fn open(&self, key: &Key) -> io::Result<Opened> {
        let (reader, writer) = match (&self.to, &key.proxy) {
            (Destination::Unix(path), _) => open_unix_connection(path).await?,
            (Destination::Function(open), _) => open().split(),
            (_, Some(proxy)) => self.through(proxy, key).await?,
            (_, None) => self.dial(&key.host, key.port).await?,
        };
        if !key.is_tls {
            return Ok(Opened {
                stream: reader.join(writer),
                is_http2: self.http2_only && !key.upgrades,
            });
        }
        self.secure((reader, writer), key).await
    }

    async fn dial(&self, host: &str, port: u16) -> io::Result<Streams> {
        let open = open_connection((host, port)).happy_eyeballs_delay(HAPPY_EYEBALLS);
        match self.local_addr {
            Some(address) => open.local_addr(address).await,
            None => open.await,
        }
    }

    /// Connects to a proxy, and for HTTPS through it (RFC 9110, section 9.3.6).
    async fn through(&self, proxy: &Intercept, key: &Key) -> io::Result<Streams> {
        let uri = proxy.uri();
        let scheme = uri.scheme_str().unwrap_or("http");
        if scheme != "http" {
            let text = format!("a proxy that is spoken to by {scheme} instead of http");
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let (reader, writer) = self.dial(host, uri.port_u16().unwrap_or(80)).await?;
        if !key.is_tls {
            return Ok((reader, writer));
        }
        tunnel(reader.join(writer), &key.authority(), proxy.basic_auth()).await
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, (mut reader, mut writer): Streams, key: &Key) -> io::Result<Opened> {
        let tls = self.tls()?;
        let http1 = key.upgrades.then(|| tls.with_alpn(["http/1.1"]));
        let tls = http1.as_ref().unwrap_or(tls);
        let info = asyncio_tls::start_tls(&mut reader, &mut writer, tls, &key.host).await?;
        let is_http2 = info.alpn_protocol() == Some(b"h2");
        Ok(Opened { stream: reader.join(writer), is_http2 })
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unused_async, reason = "as with the feature")]
    async fn secure(&self, _: Streams, _: &Key) -> io::Result<Opened> {
        let text = "HTTPS needs the feature `tls`";
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    }

    /// The program's TLS client, or one that trusts the system's roots. It offers the protocols
    /// that the session supports.
    #[cfg(feature = "tls")]
    fn tls(&self) -> io::Result<&asyncio_tls::TlsClient> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = self.offering(&asyncio_tls::TlsClient::builder().build()?);
        Ok(self.tls.get_or_init(|| tls))
    }

    #[cfg(feature = "tls")]
    pub(super) fn offering(&self, tls: &asyncio_tls::TlsClient) -> asyncio_tls::TlsClient {
        match (self.http2_only, self.http2) {
            (true, _) => tls.with_alpn(["h2"]),
            (false, true) => tls.with_alpn(["h2", "http/1.1"]),
            (false, false) => tls.with_alpn(["http/1.1"]),
        }
    }
}

/// Asks a proxy for a tunnel to `authority`.
async fn tunnel(
    stream: JoinedStream,
    authority: &str,
    credentials: Option<&HeaderValue>,
) -> io::Result<Streams> {
    let io = LoopStream::new(stream);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(io).await.map_err(io::Error::other)?;
    let options = TaskOptions::new().hidden();
    let driver = Driver(create_task_with(connection.with_upgrades(), options));
    let mut request = http::Request::builder()
        .method(Method::CONNECT)
        .uri(authority)
        .header(header::HOST, authority)
        .body(Empty::<Bytes>::new())
        .map_err(io::Error::other)?;
    if let Some(credentials) = credentials {
        request.headers_mut().insert(header::PROXY_AUTHORIZATION, credentials.clone());
    }
    let response = sender.send_request(request).await.map_err(io::Error::other)?;
    if !response.status().is_success() {
        let text = format!("the proxy refuses a tunnel: {}", response.status());
        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, text));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    drop(driver);
    let stream = upgraded.downcast::<LoopStream>().ok();
    let stream = stream.filter(|parts| parts.read_buf.is_empty());
    let stream = stream.and_then(|parts| parts.io.into_inner());
    stream
        .map(JoinedStream::split)
        .ok_or_else(|| io::Error::other("the proxy sent data before the tunnel was open"))
}

/// The task that drives the connection. It ends with the request.
struct Driver(asyncio_task::Task<hyper::Result<()>>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
