//! The awaitable builder of datagram endpoints.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;

use super::endpoint::{Endpoint, Opened};
use super::options::Options;
use super::{DatagramAddress, DatagramProtocol, DatagramTransport, open};
use crate::network::Network;
use crate::resolve::Family;
use asyncio_loop::machinery::{AtAwait, at_await};

/// The builder of a datagram endpoint. Awaiting it opens the endpoint.
///
/// [`create_datagram_endpoint`](crate::create_datagram_endpoint) returns it. Its methods are
/// asyncio's keyword arguments, in any order. At least an address, a family or a socket is needed.
///
/// The builder itself is no future. Where a future is required, call `.into_future()`.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) if neither an address, a family nor a socket is
/// given, if the addresses have no family in common, for a socket that does not carry datagrams,
/// and for a socket together with options of a new one. The resolver's error if a name cannot be
/// resolved. [`AddrInUse`](io::ErrorKind::AddrInUse) for the path of a Unix socket that is in use.
/// Otherwise the system's errors.
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
/// use asyncio_net::{Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint};
///
/// struct Ignore;
///
/// impl DatagramProtocol for Ignore {
///     fn datagram_received(&mut self, _: &DatagramTransport, _: &[u8], _: &Address) {}
/// }
///
/// asyncio_task::run(async {
///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     let transport = create_datagram_endpoint(|| Ignore)
///         .local_addr("127.0.0.1:0")
///         .remote_addr(peer.local_addr()?)
///         .await?;
///     transport.send(b"hello");
///     assert_eq!(peer.recv(&mut [0; 100])?, 5);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[must_use = "nothing opens before `.await`"]
pub struct CreateDatagramEndpoint<'a> {
    options: Options,
    hand_over: HandOver<'a>,
    /// The place of the call that made the builder.
    site: &'static Location<'static>,
}

/// Starts an endpoint with the protocol that the factory makes.
type HandOver<'a> = Box<dyn FnOnce(&Rc<Network>, Opened) -> io::Result<DatagramTransport> + 'a>;

impl<'a> CreateDatagramEndpoint<'a> {
    #[track_caller]
    pub(super) fn new<P: DatagramProtocol + 'static>(factory: impl FnOnce() -> P + 'a) -> Self {
        let site = Location::caller();
        let hand_over =
            move |network: &Rc<Network>, opened| Endpoint::start(network, opened, factory(), site);
        let options = Options::default();
        Self { options, hand_over: Box::new(hand_over), site }
    }

    /// Sets the address to receive at.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn local_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.options.local = Some(address.into());
        self
    }

    /// Sets the address that [`send`](DatagramTransport::send) sends to. The socket is connected to
    /// it, and receives only datagrams from there, unless the endpoint is [allowed to
    /// broadcast](Self::allow_broadcast).
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn remote_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.options.remote = Some(address.into());
        self
    }

    /// Uses a socket that was made elsewhere: a socket of std or `socket2`, or any that converts
    /// into an [`OwnedFd`]. Its blocking mode is not changed, and the file of a Unix socket is not
    /// removed.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use std::os::unix::net::UnixDatagram;
    /// use asyncio_net::create_datagram_endpoint;
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = UnixDatagram::pair()?;
    ///     let transport = create_datagram_endpoint(|| Ignore).socket(ours).await?;
    ///     transport.send(b"hello");
    ///     assert_eq!(theirs.recv(&mut [0; 100])?, 5);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    #[doc(alias = "sock")]
    pub fn socket(mut self, socket: impl Into<socket2::Socket>) -> Self {
        self.options.socket = Some(OwnedFd::from(socket.into()));
        self
    }

    /// Uses addresses of one family only. Without any address, this is the family of the socket.
    ///
    /// # Examples
    ///
    /// ```
    /// # struct Ignore;
    /// # impl asyncio_net::DatagramProtocol for Ignore {
    /// #     fn datagram_received(
    /// #         &mut self,
    /// #         _: &asyncio_net::DatagramTransport,
    /// #         _: &[u8],
    /// #         _: &asyncio_net::Address,
    /// #     ) {
    /// #     }
    /// # }
    /// use asyncio_net::{Family, create_datagram_endpoint};
    ///
    /// asyncio_task::run(async {
    ///     let peer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    ///     let transport = create_datagram_endpoint(|| Ignore).family(Family::Inet).await?;
    ///     transport.send_to(b"hello", peer.local_addr()?);
    ///     assert_eq!(peer.recv(&mut [0; 100])?, 5);
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn family(mut self, family: Family) -> Self {
        self.options.family = Some(family);
        self
    }

    /// Whether other sockets may receive at the same address. The default is false.
    pub fn reuse_port(mut self, yes: bool) -> Self {
        self.options.reuse_port = yes;
        self
    }

    /// Whether datagrams may be sent to broadcast addresses. The default is false.
    ///
    /// If true, the socket is not connected to the remote address, so that answers from all hosts
    /// arrive.
    pub fn allow_broadcast(mut self, yes: bool) -> Self {
        self.options.allow_broadcast = yes;
        self
    }

    /// Whether the file of a Unix socket's local address is removed when the endpoint ends, if the
    /// file is still the endpoint's. The default is true.
    pub fn cleanup_socket(mut self, yes: bool) -> Self {
        self.options.cleanup_socket = yes;
        self
    }

    /// Whether a Unix socket replaces a living one at the same path, which then receives nothing
    /// more. The default is false: the path of a socket in use is an error, and only the file of a
    /// dead socket is replaced.
    pub fn replace_socket(mut self, yes: bool) -> Self {
        self.options.replace_socket = yes;
        self
    }

    /// Sets the length of the longest datagram that is received. The default is 256 KiB; no
    /// internet datagram is longer.
    ///
    /// A longer datagram is dropped, and [`error_received`](DatagramProtocol::error_received) is
    /// called.
    pub fn limit(mut self, bytes: usize) -> Self {
        self.options.limit = bytes;
        self
    }

    /// Receives up to `most` descriptors with each datagram of a Unix socket, and hands them to
    /// [`descriptors_received`](DatagramProtocol::descriptors_received). The default is 0:
    /// descriptors that come are closed. A datagram with more is dropped, and
    /// [`error_received`](DatagramProtocol::error_received) is called.
    ///
    /// # Examples
    ///
    /// See [`DatagramTransport::send_descriptors`].
    #[doc(alias = "SCM_RIGHTS")]
    pub fn descriptors(mut self, most: usize) -> Self {
        self.options.descriptors = most;
        self
    }

    async fn run(self) -> io::Result<DatagramTransport> {
        let network = Network::running_for(self.site);
        let opened = open::open(&network, self.options).await?;
        (self.hand_over)(&network, opened)
    }
}

/// Boxed once, so that a task that awaits it is small.
impl<'a> IntoFuture for CreateDatagramEndpoint<'a> {
    type Output = io::Result<DatagramTransport>;
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = io::Result<DatagramTransport>> + 'a>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
    }
}

impl fmt::Debug for CreateDatagramEndpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateDatagramEndpoint")
            .field("options", &self.options)
            .field("site", &format_args!("{}", self.site))
            .finish()
    }
}
