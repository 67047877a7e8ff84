use crate::stream::DEFAULT_LIMIT;

/// Options of a new server.
///
/// # Examples
///
/// ```
/// let options = asyncio_net::ServerOptions::new().backlog(1024).reuse_port(true);
/// # let _ = options;
/// ```
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub(crate) backlog: u32,
    pub(crate) reuse_address: bool,
    pub(crate) reuse_port: bool,
    pub(crate) keep_alive: bool,
    pub(crate) ipv6_only: bool,
    pub(crate) start_serving: bool,
    pub(crate) cleanup_socket: bool,
    pub(crate) limit: usize,
}

impl ServerOptions {
    /// The usual ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new();
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     assert!(server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn new() -> Self {
        Self {
            backlog: 100,
            reuse_address: cfg!(unix),
            reuse_port: false,
            keep_alive: false,
            ipv6_only: true,
            start_serving: true,
            cleanup_socket: true,
            limit: DEFAULT_LIMIT,
        }
    }

    /// How many connections may wait to be accepted, and how many are accepted in one turn. 100, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().backlog(1024);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     assert!(server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether to listen on a port that connections of a former server still linger on. True on Unix.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().reuse_address(false);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     server.with_sockets(|socket| assert!(!socket2::SockRef::from(&socket).reuse_address().unwrap()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn reuse_address(mut self, yes: bool) -> Self {
        self.reuse_address = yes;
        self
    }

    /// Whether other sockets may listen on the same port, which then share the clients. False, unless told.
    ///
    /// It is one way to serve one port from several loops on several threads; the other is
    /// [`create_acceptor`](crate::create_acceptor).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().reuse_port(true);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     let options = ServerOptions::new().reuse_port(true);
    ///     let second = start_server_with(server.local_addr()?, async |_, _| (), options).await?;
    ///     assert_eq!(second.local_addr()?, server.local_addr()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.reuse_port = yes;
        self
    }

    /// Whether dead peers are found out by probes. False, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().keep_alive(true);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     server.with_sockets(|socket| assert!(socket2::SockRef::from(&socket).keepalive().unwrap()));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn keep_alive(mut self, yes: bool) -> Self {
        self.keep_alive = yes;
        self
    }

    /// Whether a socket with an IPv6 address leaves IPv4 alone. True, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().ipv6_only(true);
    ///     // Not every machine has IPv6.
    ///     if let Ok(server) = start_server_with("[::1]:0", async |_, _| (), options).await {
    ///         server.with_sockets(|socket| assert!(socket2::SockRef::from(&socket).only_v6().unwrap()));
    ///     }
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn ipv6_only(mut self, yes: bool) -> Self {
        self.ipv6_only = yes;
        self
    }

    /// Whether to accept at once, rather than from [`Server::start_serving`](crate::Server::start_serving) or
    /// [`Server::serve_forever`](crate::Server::serve_forever) on. True, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let options = ServerOptions::new().start_serving(false);
    ///     let server = start_server_with("127.0.0.1:0", async |_, _| (), options).await?;
    ///     assert!(!server.is_serving());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn start_serving(mut self, yes: bool) -> Self {
        self.start_serving = yes;
        self
    }

    /// Whether a Unix server removes its socket's file when it is closed. True, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, start_unix_server_with};
    ///
    /// asyncio_task::run(async {
    ///     let path = std::env::temp_dir().join(format!("asyncio-example-{}.socket", std::process::id()));
    ///     let options = ServerOptions::new().cleanup_socket(false);
    ///     let server = start_unix_server_with(&path, async |_, _| (), options).await?;
    ///     server.close();
    ///     assert!(path.exists());
    ///     std::fs::remove_file(&path)?;
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn cleanup_socket(mut self, yes: bool) -> Self {
        self.cleanup_socket = yes;
        self
    }

    /// The limit of the clients' stream readers. 64 KiB, unless told.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerOptions, open_connection, start_server_with};
    /// use asyncio_net::{StreamReader, StreamWriter};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |reader: StreamReader, writer: StreamWriter| {
    ///         write!(writer, "{}", reader.limit());
    ///     };
    ///     let options = ServerOptions::new().limit(1000);
    ///     let server = start_server_with("127.0.0.1:0", handler, options).await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).await?;
    ///     assert_eq!(reader.read_to_end().await?, "1000");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self::new()
    }
}
