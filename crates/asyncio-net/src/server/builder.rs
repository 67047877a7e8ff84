//! The awaitable builder behind every function that makes a server.

use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;

use super::options::Options;
use super::shared::{Serve, Shared};
use super::{Server, ServerAddress};
use crate::layer::{Accepting, Layer, Layers};
use crate::network::Network;
use asyncio_loop::machinery::{AtAwait, at_await};

/// The builder of a server. Awaiting it makes the server listen.
///
/// [`start_server`](crate::start_server), [`create_server`](crate::create_server) and similar
/// functions return it. Its methods are asyncio's keyword arguments, in any order.
///
/// The builder itself is no future. Where a future is required, call `.into_future()`.
///
/// # Errors
///
/// If the address cannot be resolved or listened on.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the sockets that listen already.
///
/// # Examples
///
/// ```
/// use asyncio_net::start_server;
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |_, writer| writer.write("hello"))
///         .reuse_port(true)
///         .backlog(128)
///         .await?;
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[must_use = "nothing listens before `.await`"]
pub struct StartServer {
    address: ServerAddress,
    options: Options,
    serve: Serve,
    layers: Layers<Accepting>,
    /// The place of the call that made the builder.
    site: &'static Location<'static>,
}

impl StartServer {
    #[track_caller]
    pub(crate) fn new(address: ServerAddress, serve: Serve) -> Self {
        let (options, layers) = (Options::default(), Layers::default());
        Self { address, options, serve, layers, site: Location::caller() }
    }

    /// Sets how many connections may wait to be accepted (`listen(2)`). The default is 100.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn backlog(mut self, connections: u32) -> Self {
        self.options.backlog = connections;
        self
    }

    /// Whether to listen on a port on which connections of an earlier server still linger
    /// (`SO_REUSEADDR`). The default is true on Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    /// use socket2::SockRef;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).reuse_address(false).await?;
    ///     server.with_sockets(|socket| assert!(!socket.reuse_address().unwrap()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn reuse_address(mut self, yes: bool) -> Self {
        self.options.reuse_address = yes;
        self
    }

    /// Whether other sockets may listen on the same port (`SO_REUSEPORT`), which then share the
    /// clients. The default is false.
    ///
    /// This is one way to serve one port from several loops on several threads; the other is
    /// [`create_acceptor`](crate::create_acceptor).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let first = start_server("127.0.0.1:0", async |_, _| ()).reuse_port(true).await?;
    ///     let address = first.local_addr()?;
    ///     let second = start_server(address, async |_, _| ()).reuse_port(true).await?;
    ///     assert_eq!(second.local_addr()?, address);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.options.reuse_port = yes;
        self
    }

    /// Whether the system finds dead peers by probes (`SO_KEEPALIVE`). The default is false.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    /// use socket2::SockRef;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).keep_alive(true).await?;
    ///     server.with_sockets(|socket| assert!(socket.keepalive().unwrap()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn keep_alive(mut self, yes: bool) -> Self {
        self.options.keep_alive = yes;
        self
    }

    /// Whether a socket with an IPv6 address accepts IPv6 only (`IPV6_V6ONLY`). The default is
    /// true.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    /// use socket2::SockRef;
    ///
    /// asyncio_task::run(async {
    ///     // Not every machine has IPv6.
    ///     if let Ok(server) = start_server("[::1]:0", async |_, _| ()).ipv6_only(true).await {
    ///         server.with_sockets(|socket| assert!(socket.only_v6().unwrap()));
    ///     }
    /// });
    /// ```
    pub fn ipv6_only(mut self, yes: bool) -> Self {
        self.options.ipv6_only = yes;
        self
    }

    /// Whether to accept at once. With `false` the server begins to accept at
    /// [`Server::start_serving`] or [`Server::serve_forever`]. The default is true.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_server;
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).start_serving(false).await?;
    ///     assert!(!server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn start_serving(mut self, yes: bool) -> Self {
        self.options.start_serving = yes;
        self
    }

    /// Whether a Unix server removes the file of its socket when it is closed, if the file is still
    /// its own. The default is true for a path, and false for a socket that listens already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::start_unix_server;
    ///
    /// # let name = format!("asyncio-net-doc-cleanup-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// asyncio_task::run(async {
    ///     let server = start_unix_server(&path, async |_, _| ()).cleanup_socket(false).await?;
    ///     server.close();
    ///     assert!(path.exists());
    ///     std::fs::remove_file(&path)
    /// }).unwrap();
    /// ```
    pub fn cleanup_socket(mut self, yes: bool) -> Self {
        self.options.cleanup_socket = Some(yes);
        self
    }

    /// Whether a Unix server replaces a living one at the same path, which then goes on without new
    /// clients. The default is false: the path of a socket in use is an error, and only the file of
    /// a dead socket is replaced.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use asyncio_net::start_unix_server;
    ///
    /// # let name = format!("asyncio-net-doc-replace-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// asyncio_task::run(async {
    ///     let old = start_unix_server(&path, async |_, _| ()).await?;
    ///     let error = start_unix_server(&path, async |_, _| ()).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::AddrInUse);
    ///     let new = start_unix_server(&path, async |_, _| ()).replace_socket(true).await?;
    ///     old.close();
    ///     assert!(path.exists(), "it is the new server's");
    ///     new.close();
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn replace_socket(mut self, yes: bool) -> Self {
        self.options.replace_socket = yes;
        self
    }

    /// Sets the permissions of the file of a Unix server's socket, such as `0o600`: clients need
    /// write permission. They are set before the socket listens, so no client can connect earlier.
    /// The default follows the process's umask. The option does nothing for other sockets, and for
    /// a socket that listens already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::os::unix::fs::PermissionsExt;
    /// use asyncio_net::start_unix_server;
    ///
    /// # let name = format!("asyncio-net-doc-mode-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// asyncio_task::run(async {
    ///     let _server = start_unix_server(&path, async |_, _| ()).socket_mode(0o600).await?;
    ///     let mode = std::fs::metadata(&path)?.permissions().mode();
    ///     assert_eq!(mode & 0o777, 0o600);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "umask")]
    pub fn socket_mode(mut self, mode: u32) -> Self {
        self.options.socket_mode = Some(mode);
        self
    }

    /// Sets the limit of the clients' stream readers, in bytes; protocols have no limit. The
    /// default is 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |mut reader: StreamReader, writer: StreamWriter| {
    ///         write!(writer, "too long: {}", reader.read_line().await.is_err());
    ///     };
    ///     let server = start_server("127.0.0.1:0", handler).limit(10).await?;
    ///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
    ///     writer.write("eleven bytes\n");
    ///     assert_eq!(reader.read_to_end().await?, "too long: true");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn limit(mut self, bytes: usize) -> Self {
        self.options.limit = bytes;
        self
    }

    /// Sets how many clients may be connected at once. When the number is reached, the server
    /// accepts no more until one of them disconnects; new clients wait in the
    /// [`backlog`](Self::backlog). The default is no limit. Connections that are handed over by an
    /// [`Intake`](crate::Intake) count, but do not wait.
    ///
    /// # Panics
    ///
    /// If `count` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |_: StreamReader, writer: StreamWriter| writer.write("hello");
    ///     let server = start_server("127.0.0.1:0", handler).max_connections(1).await?;
    ///     for _ in 0..3 {
    ///         let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///         assert_eq!(reader.read_to_end().await?, "hello");
    ///     }
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn max_connections(mut self, count: usize) -> Self {
        assert!(count > 0, "a server needs a connection");
        self.options.max_connections = count;
        self
    }

    /// Puts TLS over each connection that is accepted: asyncio's `ssl=`. `tls` is `TlsServer` of
    /// asyncio-tls. Any other [`Layer`] that can be cloned is accepted too.
    ///
    /// Each handshake runs in a task of its own, so a slow client delays no other. A handshake that
    /// fails is logged at debug level, and no handler or protocol is made for it. During the
    /// handshake the client counts as one of the server's: [`Server::close_clients`] and the end of
    /// [`Server::shutdown`]'s grace period end it.
    pub fn tls(self, tls: &(impl Layer<Accepting> + Clone)) -> Self {
        self.layer(tls.clone())
    }

    /// Puts a layer over each accepted connection, before its handler or protocol gets it. With
    /// several layers, each is put over the previous one.
    ///
    /// # Examples
    ///
    /// See [`Layer`].
    pub fn layer(mut self, layer: impl Layer<Accepting>) -> Self {
        self.layers.push(layer);
        self
    }

    async fn run(self) -> io::Result<Server> {
        let network = Network::running_for(self.site);
        self.check_layers()?;
        if matches!(self.serve, Serve::Acceptor(_)) && network.sockets().is_some() {
            let text = "an acceptor hands over sockets of the system: a simulated network has none";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        }
        let listeners = self.address.listen(&network, &self.options).await?;
        let start = self.options.start_serving;
        let parts = (self.options, self.serve, self.layers);
        let server = Server(Shared::new(network, parts, listeners, self.site));
        if start {
            server.start_serving();
        }
        Ok(server)
    }

    fn check_layers(&self) -> io::Result<()> {
        if matches!(self.serve, Serve::Acceptor(_)) && !self.layers.is_empty() {
            let text = "an acceptor hands sockets over: the layers are for the server that serves";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        self.layers.check(None)
    }
}

/// Boxed once, so that futures which await it stay small.
impl IntoFuture for StartServer {
    type Output = io::Result<Server>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<Server>>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl fmt::Debug for StartServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StartServer")
            .field("address", &self.address)
            .field("options", &self.options)
            .field("layers", &self.layers)
            .field("site", &format_args!("{}", self.site))
            .finish()
    }
}
