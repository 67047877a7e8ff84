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

/// A datagram endpoint that opens when it is awaited.
///
/// [`create_datagram_endpoint`](crate::create_datagram_endpoint) gives it. Its methods are
/// asyncio's keyword arguments, and come in any order. At least an address, a family or a socket is
/// needed.
///
/// It is no future itself. Where one is wanted, say `.into_future()`.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) when neither an address, a family nor a socket is
/// given, when the addresses have no family in common, for a socket that does not carry datagrams,
/// and for a socket together with options of a new one. When a name cannot be resolved;
/// [`AddrInUse`](io::ErrorKind::AddrInUse) for the path of a Unix socket that is in use; the
/// system's.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping it closes the socket.
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
    /// The call that made this.
    site: &'static Location<'static>,
}

/// Starts an endpoint with the protocol of the factory.
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

    /// The address to receive at.
    ///
    /// # Examples
    ///
    /// There is one at the [type](Self).
    pub fn local_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.options.local = Some(address.into());
        self
    }

    /// The address that [`send`](DatagramTransport::send) sends to. The socket is connected to it,
    /// and receives only datagrams from there, unless the endpoint is [allowed to
    /// broadcast](Self::allow_broadcast).
    ///
    /// # Examples
    ///
    /// There is one at the [type](Self).
    pub fn remote_addr(mut self, address: impl Into<DatagramAddress>) -> Self {
        self.options.remote = Some(address.into());
        self
    }

    /// A socket made elsewhere: std's, `socket2`'s, any that can become an [`OwnedFd`]. Its mode is
    /// not changed, and its file stays.
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

    /// Uses addresses of one family only; without any address, the family of the socket.
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

    /// Whether datagrams may be sent to everybody. The default is false.
    ///
    /// The socket is then not connected to the remote address, so that answers from all hosts
    /// arrive.
    pub fn allow_broadcast(mut self, yes: bool) -> Self {
        self.options.allow_broadcast = yes;
        self
    }

    /// Whether the file of a Unix socket's local address is removed in the end, if it is still the
    /// endpoint's. The default is true.
    pub fn cleanup_socket(mut self, yes: bool) -> Self {
        self.options.cleanup_socket = yes;
        self
    }

    /// Whether a Unix socket takes the place of a living one at the same path, which then receives
    /// nothing more. The default is false: the path of a socket in use is an error, and only the
    /// file of a dead socket is replaced.
    pub fn replace_socket(mut self, yes: bool) -> Self {
        self.options.replace_socket = yes;
        self
    }

    /// The length of the longest datagram that is received. The default is 256 KiB; no internet
    /// datagram is longer.
    ///
    /// A longer one is dropped, and told to
    /// [`error_received`](DatagramProtocol::error_received).
    pub fn limit(mut self, bytes: usize) -> Self {
        self.options.limit = bytes;
        self
    }

    /// Receives up to so many descriptors with each datagram of a Unix socket, and hands them to
    /// [`descriptors_received`](DatagramProtocol::descriptors_received). The default is none: those
    /// that come are closed. A datagram with more is dropped, and told as an error.
    ///
    /// # Examples
    ///
    /// There is one at [`DatagramTransport::send_descriptors`].
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
