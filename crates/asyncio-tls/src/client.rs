//! [`TlsClient`]: the roots that a client trusts, and the protocols that it offers.

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;

use crate::danger::{AnyName, NoVerification};
use crate::handshake::Limits;
use crate::identity::{Identity, certificates, invalid, read};
use crate::provider::provider;
use crate::session::Session;

/// The client's side of TLS: the roots that it trusts, and the protocols that it offers.
///
/// All connections of one `TlsClient` and its clones resume sessions if the server allows it.
///
/// # Examples
///
/// ```no_run
/// use asyncio_tls::TlsClient;
///
/// let public = TlsClient::new()?;
/// let internal = TlsClient::builder().roots_pem_file("company-ca.pem")?.build()?;
/// # std::io::Result::Ok(())
/// ```
#[derive(Clone, Debug)]
#[doc(alias = "create_default_context")]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    checks_names: bool,
    pub(crate) limits: Limits,
}

impl TlsClient {
    /// A client that trusts the roots of the operating system.
    ///
    /// # Errors
    ///
    /// If the operating system has no roots.
    #[cfg(feature = "platform-verifier")]
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// A client with options.
    pub fn builder() -> TlsClientBuilder {
        TlsClientBuilder {
            roots: None,
            verifies: true,
            checks_names: true,
            identity: None,
            alpn: Vec::new(),
            server_name: None,
            resumes: true,
            limits: Limits::default(),
        }
    }

    /// A client with a rustls configuration.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ClientConfig>>) -> Self {
        Self {
            config: config.into(),
            server_name: None,
            checks_names: true,
            limits: Limits::default(),
        }
    }

    /// The rustls configuration, for crates that need one.
    #[must_use]
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// The same client, but it asks for this name and checks it, regardless of the host that it
    /// connects to. Both clients share their sessions.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is neither a DNS name nor an IP address.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::net::UnixStream;
    /// use asyncio_net::open_connection;
    /// use asyncio_tls::TlsClient;
    ///
    /// # async fn example(tls: TlsClient, socket: UnixStream) -> std::io::Result<()> {
    /// // A Unix socket has no host whose name could be checked.
    /// let (reader, writer) =
    ///     open_connection(socket).tls(&tls.with_server_name("db.example")?).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[doc(alias = "server_hostname")]
    pub fn with_server_name(&self, name: &str) -> io::Result<Self> {
        Ok(Self { server_name: Some(parse_name(name)?), ..self.clone() })
    }

    /// The name to ask for and check when connecting to `host`.
    pub(crate) fn name_for(&self, host: Option<&str>) -> io::Result<ServerName<'static>> {
        match (&self.server_name, host) {
            (Some(name), _) => Ok(name.clone()),
            (None, Some(host)) => match parse_name(host) {
                Err(_) if !self.checks_names => Ok(no_name()),
                name => name,
            },
            (None, None) if !self.checks_names => Ok(no_name()),
            (None, None) => Err(name_missing()),
        }
    }

    /// The same client, but it offers these protocols, the preferred one first (ALPN, RFC 7301).
    #[must_use]
    pub fn with_alpn<P: AsRef<[u8]>>(&self, protocols: impl IntoIterator<Item = P>) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        Self { config: Arc::new(config), ..self.clone() }
    }

    /// A new session with the server `host`, or with the name that was set.
    pub(crate) fn session(&self, host: Option<&str>) -> io::Result<Session> {
        let name = self.name_for(host)?;
        let session = UnbufferedClientConnection::new(Arc::clone(&self.config), name);
        session.map(Session::from).map_err(io::Error::other)
    }
}

/// The options of a [`TlsClient`].
#[derive(Debug)]
#[must_use = "`build` makes the client"]
pub struct TlsClientBuilder {
    /// `None` for the operating system's roots.
    roots: Option<RootCertStore>,
    verifies: bool,
    checks_names: bool,
    identity: Option<Identity>,
    alpn: Vec<Vec<u8>>,
    server_name: Option<ServerName<'static>>,
    resumes: bool,
    limits: Limits,
}

impl TlsClientBuilder {
    /// Trusts only the certificates of this PEM file. May be called several times.
    ///
    /// # Errors
    ///
    /// If the file cannot be read; `InvalidData` if it contains no certificate.
    #[doc(alias = "cafile")]
    #[doc(alias = "load_verify_locations")]
    pub fn roots_pem_file(self, path: impl AsRef<Path>) -> io::Result<Self> {
        let pem = read(path.as_ref())?;
        self.roots_pem(&pem)
    }

    /// Trusts only the certificates of this PEM text. May be called several times.
    ///
    /// # Errors
    ///
    /// `InvalidData` if the text contains no certificate.
    #[doc(alias = "cadata")]
    pub fn roots_pem(mut self, pem: &[u8]) -> io::Result<Self> {
        let roots = self.roots.get_or_insert_with(RootCertStore::empty);
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(invalid)?;
        }
        Ok(self)
    }

    /// The client shows this certificate to servers that ask for one.
    #[doc(alias = "load_cert_chain")]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Offers these protocols, the preferred one first (ALPN, RFC 7301).
    #[doc(alias = "set_alpn_protocols")]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// Asks for this name and checks it, regardless of the host that the client connects to.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if `name` is neither a DNS name nor an IP address.
    #[doc(alias = "server_hostname")]
    pub fn server_name(mut self, name: &str) -> io::Result<Self> {
        self.server_name = Some(parse_name(name)?);
        Ok(self)
    }

    /// Whether sessions are resumed. Default: `true`.
    pub fn resumption(mut self, yes: bool) -> Self {
        self.resumes = yes;
        self
    }

    /// How long a handshake may take before it fails. Default: 60 s.
    #[doc(alias = "ssl_handshake_timeout")]
    pub fn handshake_timeout(mut self, limit: Duration) -> Self {
        self.limits.handshake = limit;
        self
    }

    /// How long closing waits for the peer's closing alert. Then the connection is aborted, and
    /// closing fails with `TimedOut`. Default: 30 s.
    #[doc(alias = "ssl_shutdown_timeout")]
    pub fn shutdown_timeout(mut self, limit: Duration) -> Self {
        self.limits.shutdown = limit;
        self
    }

    /// Accepts a certificate for any name, as long as a trusted root has signed it. Anyone with a
    /// certificate from that root can impersonate the server, so this is for private roots that
    /// sign for one service. The client needs no host name then.
    #[doc(alias = "check_hostname")]
    pub fn danger_accept_any_name(mut self) -> Self {
        self.checks_names = false;
        self
    }

    /// Accepts any certificate of any server. Anyone on the network path can read and change the
    /// bytes, so this is for tests only.
    pub fn danger_accept_any_certificate(mut self) -> Self {
        self.verifies = false;
        self.checks_names = false;
        self
    }

    /// Makes the client.
    ///
    /// # Errors
    ///
    /// If no roots were given and the operating system has none.
    pub fn build(self) -> io::Result<TlsClient> {
        let provider = provider();
        let verifier = self.verifier()?;
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            Some(identity) => {
                let key = rustls::sign::SingleCertAndKey::from(Arc::clone(identity.key()));
                config.with_client_cert_resolver(Arc::new(key))
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        if !self.resumes {
            config.resumption = Resumption::disabled();
        }
        Ok(TlsClient {
            config: Arc::new(config),
            server_name: self.server_name,
            checks_names: self.checks_names,
            limits: self.limits,
        })
    }

    fn verifier(&self) -> io::Result<Arc<dyn ServerCertVerifier>> {
        if !self.verifies {
            return Ok(Arc::new(NoVerification(provider())));
        }
        let verifier = self.full_verifier()?;
        Ok(if self.checks_names { verifier } else { Arc::new(AnyName(verifier)) })
    }

    fn full_verifier(&self) -> io::Result<Arc<dyn ServerCertVerifier>> {
        let Some(roots) = &self.roots else { return platform_verifier() };
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots.clone()), provider());
        Ok(verifier.build().map_err(io::Error::other)?)
    }
}

#[cfg(feature = "platform-verifier")]
fn platform_verifier() -> io::Result<Arc<dyn ServerCertVerifier>> {
    let verifier = rustls_platform_verifier::Verifier::new(provider());
    Ok(Arc::new(verifier.map_err(io::Error::other)?))
}

#[cfg(not(feature = "platform-verifier"))]
fn platform_verifier() -> io::Result<Arc<dyn ServerCertVerifier>> {
    let text = "no roots: give some, or use the feature `platform-verifier`";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

fn parse_name(name: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).map_err(|_| {
        let text = format!("not a name that TLS could check: {name:?}");
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// An IP address is not sent to the server; it stands for a client without a name.
fn no_name() -> ServerName<'static> {
    ServerName::IpAddress(Ipv4Addr::UNSPECIFIED.into())
}

fn name_missing() -> io::Error {
    let text = "TLS needs the name of the server: give it by `server_name`";
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
