//! [`TlsServer`]: the certificates that a server presents, and the clients that it accepts.

mod asked;
mod certificates;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::server::{NoServerSessionStorage, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};

use self::asked::Noting;
pub(crate) use self::asked::take_name_asked_for;
use self::certificates::{Certificates, Table};
use crate::handshake::Limits;
use crate::identity::{Identity, certificates as read_certificates, invalid, read};
use crate::provider::{provider, ticketer};
use crate::session::Session;

/// The server's side of TLS: its certificates, and the clients that it accepts.
///
/// # Examples
///
/// ```no_run
/// use asyncio_net::start_server;
/// use asyncio_tls::TlsServer;
///
/// # async fn example() -> std::io::Result<()> {
/// let tls = TlsServer::from_pem_files("fullchain.pem", "privkey.pem")?;
/// let handler = async |_, writer: asyncio_net::StreamWriter| {
///     writer.write("hello\n");
///     writer.close().await
/// };
/// let server = start_server("0.0.0.0:8443", handler).tls(&tls).await?;
/// server.serve_forever().await
/// # }
/// ```
///
/// The client's side takes a [`TlsClient`](crate::TlsClient):
///
/// ```compile_fail,E0277
/// # fn example(tls: asyncio_tls::TlsServer) {
/// asyncio_net::open_connection("example.org:443").tls(&tls);
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    /// The same configuration for sessions, with a resolver that notes the names.
    noting: Arc<ServerConfig>,
    /// `None` for a configuration that the caller built.
    certificates: Option<Arc<Certificates>>,
    files: Arc<Vec<Files>>,
    pub(crate) limits: Limits,
}

/// The PEM files to read again.
#[derive(Debug)]
struct Files {
    /// `None` for the default.
    name: Option<String>,
    chain: PathBuf,
    key: PathBuf,
}

impl TlsServer {
    /// A server with one certificate, from PEM files with the chain (its own certificate first) and
    /// the key.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem_files`].
    pub fn from_pem_files(chain: impl AsRef<Path>, key: impl AsRef<Path>) -> io::Result<Self> {
        Self::builder().identity_files(chain, key)?.build()
    }

    /// A server with options.
    pub fn builder() -> TlsServerBuilder {
        TlsServerBuilder {
            table: Table::default(),
            files: Vec::new(),
            clients: None,
            clients_may_be_unknown: false,
            alpn: Vec::new(),
            resumes: true,
            limits: Limits::default(),
        }
    }

    /// A server with a rustls configuration.
    #[must_use]
    pub fn from_config(config: impl Into<Arc<ServerConfig>>) -> Self {
        let config = config.into();
        Self {
            noting: noting(&config),
            config,
            certificates: None,
            files: Arc::default(),
            limits: Limits::default(),
        }
    }

    /// The rustls configuration, for crates that need one.
    #[must_use]
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// The same server, but it accepts these protocols, the preferred one first (ALPN, RFC 7301).
    /// When one of the two reloads its certificates, both get the new ones.
    #[must_use]
    pub fn with_alpn<P: AsRef<[u8]>>(&self, protocols: impl IntoIterator<Item = P>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        let config = Arc::new(config);
        Self { noting: noting(&config), config, ..self.clone() }
    }

    /// Reads again the PEM files that the server was built with. Later handshakes get the new
    /// certificates, on every loop; open connections are unchanged.
    ///
    /// It reads files and so blocks: on a loop, call it by `to_thread`.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem_files`]; `InvalidInput` if the server was built without files. On an
    /// error the server keeps its certificates.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use asyncio_tls::TlsServer;
    ///
    /// let tls = TlsServer::from_pem_files("fullchain.pem", "privkey.pem")?;
    /// // Later, on SIGHUP or every few hours:
    /// tls.reload()?;
    /// # std::io::Result::Ok(())
    /// ```
    pub fn reload(&self) -> io::Result<()> {
        let Some(certificates) = self.certificates.as_ref().filter(|_| !self.files.is_empty())
        else {
            let text = "this server was not made with PEM files";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let mut table = (*certificates.table()).clone();
        for files in &*self.files {
            let identity = Identity::from_pem_files(&files.chain, &files.key)?;
            set(&mut table, files.name.as_deref(), identity);
        }
        certificates.replace(table);
        Ok(())
    }

    /// Replaces the certificate for clients that ask for no name, or for one that has no
    /// certificate of its own. Open connections are unchanged.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if the server was built by [`from_config`](Self::from_config).
    pub fn set_identity(&self, identity: Identity) -> io::Result<()> {
        let Some(certificates) = &self.certificates else {
            let text = "the certificates of this server are in a configuration of rustls";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        };
        let mut table = (*certificates.table()).clone();
        set(&mut table, None, identity);
        certificates.replace(table);
        Ok(())
    }

    pub(crate) fn session(&self) -> io::Result<Session> {
        let session = UnbufferedServerConnection::new(Arc::clone(&self.noting));
        session.map(Session::from).map_err(io::Error::other)
    }
}

/// A configuration whose sessions note the names that clients ask for.
fn noting(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = ServerConfig::clone(config);
    config.cert_resolver = Arc::new(Noting(config.cert_resolver));
    // No code would read the name.
    config.max_early_data_size = 0;
    Arc::new(config)
}

fn set(table: &mut Table, name: Option<&str>, identity: Identity) {
    match name {
        Some(name) => drop(table.by_name.insert(name.to_ascii_lowercase(), identity)),
        None => table.default = Some(identity),
    }
}

/// The options of a [`TlsServer`].
#[derive(Debug)]
#[must_use = "`build` makes the server"]
pub struct TlsServerBuilder {
    table: Table,
    files: Vec<Files>,
    /// The roots of clients' certificates; `None` if clients are not asked for certificates.
    clients: Option<RootCertStore>,
    clients_may_be_unknown: bool,
    alpn: Vec<Vec<u8>>,
    resumes: bool,
    limits: Limits,
}

impl TlsServerBuilder {
    /// The certificate for clients that ask for no name, or for one that has no certificate of its
    /// own.
    #[doc(alias = "load_cert_chain")]
    pub fn identity(mut self, identity: Identity) -> Self {
        set(&mut self.table, None, identity);
        self
    }

    /// [`identity`](Self::identity) from PEM files, which [`TlsServer::reload`] reads again.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem_files`].
    pub fn identity_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        self.read_files(None, chain.as_ref(), key.as_ref())
    }

    /// The certificate for clients that ask for `name`. The `*` of `*.example.org` stands for one
    /// label.
    pub fn identity_for(mut self, name: &str, identity: Identity) -> Self {
        set(&mut self.table, Some(name), identity);
        self
    }

    /// [`identity_for`](Self::identity_for) from PEM files, which [`TlsServer::reload`] reads
    /// again.
    ///
    /// # Errors
    ///
    /// As [`Identity::from_pem_files`].
    pub fn identity_files_for(
        self,
        name: &str,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> io::Result<Self> {
        self.read_files(Some(name.to_owned()), chain.as_ref(), key.as_ref())
    }

    fn read_files(mut self, name: Option<String>, chain: &Path, key: &Path) -> io::Result<Self> {
        set(&mut self.table, name.as_deref(), Identity::from_pem_files(chain, key)?);
        self.files.push(Files { name, chain: chain.to_owned(), key: key.to_owned() });
        Ok(self)
    }

    /// Accepts only clients that present a certificate signed by one of these roots (PEM text).
    ///
    /// # Errors
    ///
    /// `InvalidData` if the text contains no certificate.
    #[doc(alias = "CERT_REQUIRED")]
    pub fn client_roots_pem(mut self, pem: &[u8]) -> io::Result<Self> {
        let roots = self.clients.get_or_insert_with(RootCertStore::empty);
        for certificate in read_certificates(pem)? {
            roots.add(certificate).map_err(invalid)?;
        }
        Ok(self)
    }

    /// [`client_roots_pem`](Self::client_roots_pem) from a file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read; `InvalidData` if it contains no certificate.
    pub fn client_roots_pem_file(self, path: impl AsRef<Path>) -> io::Result<Self> {
        let pem = read(path.as_ref())?;
        self.client_roots_pem(&pem)
    }

    /// Accepts clients without a certificate as well. If a client presents one, the server still
    /// checks it.
    #[doc(alias = "CERT_OPTIONAL")]
    pub fn client_certificates_optional(mut self) -> Self {
        self.clients_may_be_unknown = true;
        self
    }

    /// Accepts these protocols, the preferred one first (ALPN, RFC 7301). A client that offers only
    /// other protocols is refused; a client that offers none is accepted.
    #[doc(alias = "set_alpn_protocols")]
    pub fn alpn<P: AsRef<[u8]>>(mut self, protocols: impl IntoIterator<Item = P>) -> Self {
        self.alpn = protocols.into_iter().map(|name| name.as_ref().to_vec()).collect();
        self
    }

    /// Whether clients may resume their sessions with tickets. Default: `true`.
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

    /// Builds the server.
    ///
    /// # Errors
    ///
    /// `InvalidInput` if no certificate was given.
    pub fn build(self) -> io::Result<TlsServer> {
        if self.table.is_empty() {
            let text = "a TLS server needs a certificate";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = match self.clients {
            Some(roots) => {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let verifier = if self.clients_may_be_unknown {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                config.with_client_cert_verifier(verifier.build().map_err(io::Error::other)?)
            }
            None => config.with_no_client_auth(),
        };
        let certificates = Arc::new(Certificates::new(self.table));
        let mut config = config.with_cert_resolver(Arc::clone(&certificates) as _);
        config.alpn_protocols = self.alpn;
        match ticketer().filter(|_| self.resumes) {
            Some(ticketer) => config.ticketer = ticketer,
            None => config.send_tls13_tickets = 0,
        }
        if !self.resumes {
            config.session_storage = Arc::new(NoServerSessionStorage {});
        }
        let config = Arc::new(config);
        Ok(TlsServer {
            noting: noting(&config),
            config,
            certificates: Some(certificates),
            files: Arc::new(self.files),
            limits: self.limits,
        })
    }
}
