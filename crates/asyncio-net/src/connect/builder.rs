//! The awaitable builder behind every function that connects.

use std::any::TypeId;
use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use super::options::Options;
use super::target::{ClientAddress, Kind};
use super::{race, unix};
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::io::Io;
use crate::layer::{Accepting, Connecting, Layer, Layers};
use crate::network::Network;
use crate::resolve::Family;
use crate::stream::{StreamReader, StreamWriter};
use asyncio_loop::machinery::{AtAwait, at_await};

/// The builder of a connection. Awaiting it opens the connection.
///
/// [`open_connection`](crate::open_connection), [`create_connection`](crate::create_connection) and
/// similar functions return it. Its methods are asyncio's keyword arguments, in any order.
///
/// The builder itself is no future. Where a future is required, call `.into_future()`.
///
/// # Errors
///
/// If the name cannot be resolved, and if none of its addresses connects, with
/// [`ConnectErrors`](crate::ConnectErrors) inside. [`InvalidInput`](io::ErrorKind::InvalidInput) if
/// an option for internet addresses is given together with a socket or a Unix path. The error of a
/// [layer](Self::layer), such as a failed handshake.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_net::{open_connection, start_server};
///
/// asyncio_task::run(async {
///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello\n");
///     let server = start_server("127.0.0.1:0", hello).await?;
///     let (mut reader, _writer) = open_connection(server.local_addr()?)
///         .happy_eyeballs_delay(Duration::from_millis(250))
///         .limit(1024)
///         .await?;
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[must_use = "nothing connects before `.await`"]
pub struct Connect<'a, T, Role = Connecting> {
    address: ClientAddress,
    options: Options,
    layers: Layers<Role>,
    hand_over: HandOver<'a, T>,
    /// The place of the call that made the builder.
    site: &'static Location<'static>,
}

/// Makes streams or a transport of the open connection.
type HandOver<'a, T> = Box<dyn FnOnce(Rc<Connection>, &Options) -> io::Result<T> + 'a>;

impl<'a, T, Role: 'static> Connect<'a, T, Role> {
    #[track_caller]
    pub(super) fn new(
        address: ClientAddress,
        hand_over: impl FnOnce(Rc<Connection>, &Options) -> io::Result<T> + 'a,
    ) -> Self {
        Self {
            address,
            options: Options::default(),
            layers: Layers::default(),
            hand_over: Box::new(hand_over),
            site: Location::caller(),
        }
    }

    /// Sets the address of the local end. By default the system chooses one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let address = server.local_addr()?;
    ///     let (_reader, writer) = open_connection(address).local_addr("127.0.0.2:0").await?;
    ///     assert_eq!(writer.local_addr().unwrap().ip().to_string(), "127.0.0.2");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn local_addr(mut self, address: impl Into<Endpoint>) -> Self {
        self.options.local = Some(address.into());
        self
    }

    /// Uses addresses of one family only.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::ErrorKind;
    /// use asyncio_net::{Family, open_connection};
    ///
    /// asyncio_task::run(async {
    ///     let error = open_connection("127.0.0.1:80").family(Family::Inet6).await.unwrap_err();
    ///     assert_eq!(error.kind(), ErrorKind::AddrNotAvailable);
    /// });
    /// ```
    pub fn family(mut self, family: Family) -> Self {
        self.options.family = Some(family);
        self
    }

    /// Starts an attempt with the next address when the previous attempt has not connected within
    /// `delay`. All attempts go on, and the first that connects wins (RFC 8305, which recommends
    /// 250 ms). By default the next attempt starts only when the previous one has failed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::TcpListener;
    /// use std::time::Duration;
    /// use asyncio_net::open_connection;
    ///
    /// asyncio_task::run(async {
    ///     let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    ///     let open = TcpListener::bind("127.0.0.1:0")?;
    ///     let (_reader, writer) = open_connection(vec![closed, open.local_addr()?])
    ///         .happy_eyeballs_delay(Duration::from_millis(250))
    ///         .await?;
    ///     assert_eq!(writer.peer_addr()?, open.local_addr()?);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn happy_eyeballs_delay(mut self, delay: Duration) -> Self {
        self.options.delay = Some(delay);
        self
    }

    /// Alternates between the address families, after `first_family_count` addresses of the first
    /// family; 0 keeps the resolver's order. The default is 1 with a happy-eyeballs delay and 0
    /// without.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{SocketAddr, TcpListener};
    /// use asyncio_net::{ConnectErrors, open_connection};
    ///
    /// asyncio_task::run(async {
    ///     // Nobody listens there any more, so all are tried.
    ///     let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    ///     let hosts = ["127.0.0.1", "127.0.0.2", "::1"];
    ///     let addresses: Vec<_> =
    ///         hosts.iter().map(|host| SocketAddr::new(host.parse().unwrap(), port)).collect();
    ///     let error = open_connection(addresses).interleave(1).await.unwrap_err();
    ///     let errors: &ConnectErrors = error.get_ref().unwrap().downcast_ref().unwrap();
    ///     let tried = errors.attempts().iter().map(|(address, _)| address.is_ipv6());
    ///     assert!(tried.eq([false, true, false]));
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn interleave(mut self, first_family_count: usize) -> Self {
        self.options.interleave = Some(first_family_count);
        self
    }

    /// Puts TLS over the connection: asyncio's `ssl=`. `tls` is `TlsClient` of asyncio-tls, or
    /// `TlsServer` for an accepted socket. Any other [`Layer`] that can be cloned is accepted too.
    ///
    /// The layer checks the certificate against the host to connect to, if a single host was named.
    pub fn tls(self, tls: &(impl Layer<Role> + Clone)) -> Self {
        self.layer(tls.clone())
    }

    /// Puts a layer over the connection, before streams or a protocol get it. With several layers,
    /// each is put over the previous one.
    ///
    /// # Examples
    ///
    /// See [`Layer`].
    pub fn layer(mut self, layer: impl Layer<Role>) -> Self {
        self.layers.push(layer);
        self
    }

    async fn run(self) -> io::Result<T> {
        let network = Network::running_for(self.site);
        let host = if self.layers.is_empty() { None } else { self.address.host() };
        self.layers.check(host.as_deref())?;
        let mut io = open(&network, self.address, &self.options).await?;
        if !self.layers.is_empty() {
            let is_server_side = TypeId::of::<Role>() == TypeId::of::<Accepting>();
            let wrapped = self.layers.wrap(host.as_deref(), &network, io, is_server_side);
            io = Box::pin(wrapped).await?;
        }
        let connection = Connection::new(&network, io);
        connection.made_at(self.site);
        (self.hand_over)(connection, &self.options)
    }
}

impl<Role> Connect<'_, (StreamReader, StreamWriter), Role> {
    /// Sets the stream reader's limit, in bytes. The default is 64 KiB.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let handler = async |_, writer: asyncio_net::StreamWriter| writer.write("too long\n");
    ///     let server = start_server("127.0.0.1:0", handler).await?;
    ///     let (mut reader, _writer) = open_connection(server.local_addr()?).limit(5).await?;
    ///     assert!(reader.read_line().await.is_err());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn limit(mut self, bytes: usize) -> Self {
        self.options.limit = bytes;
        self
    }
}

async fn open(network: &Rc<Network>, address: ClientAddress, options: &Options) -> io::Result<Io> {
    let internet_only = || {
        let text = "options of internet addresses given with a socket or a Unix path";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    };
    Ok(match address.0 {
        Kind::Endpoint(endpoint) => race::connect(network, &endpoint, options).await?,
        _ if options.has_internet_ones() => return Err(internet_only()),
        Kind::Unix(address) => unix::connect(network, address).await?,
        Kind::Socket(socket) => socket.open(network.event_loop())?.into(),
        Kind::Stream(stream) => stream.open(network.event_loop()),
    })
}

/// Boxed once, so that futures which await it stay small.
impl<'a, T: 'a, Role: 'static> IntoFuture for Connect<'a, T, Role> {
    type Output = io::Result<T>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<T>> + 'a>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl<T, Role> fmt::Debug for Connect<'_, T, Role> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("address", &self.address)
            .field("options", &self.options)
            .field("layers", &self.layers)
            .field("site", &format_args!("{}", self.site))
            .finish()
    }
}
