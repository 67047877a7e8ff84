//! Addresses that clients connect to, and sockets that are connected already.

use std::fmt;
use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use asyncio_loop::LoopRef;
use socket2::{Domain, Socket, Type};

use crate::address::Address;
use crate::endpoint::Endpoint;
use crate::io::{ByteStream, Io, SocketStream};

/// The target that a client connects to: an [`Endpoint`] or a value that converts into one, a Unix
/// path, or a socket that is connected already.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{ClientAddress, open_connection};
///
/// asyncio_task::run(async {
///     let (ours, _theirs) = UnixStream::pair()?;
///     open_connection(ours).await?;
///     assert!(open_connection(ClientAddress::unix("/no/such/socket")).await.is_err());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct ClientAddress(pub(super) Kind);

#[derive(Debug)]
pub(super) enum Kind {
    /// An endpoint to resolve and connect to.
    Endpoint(Endpoint),
    Unix(Address),
    /// A socket that is connected already.
    Socket(ConnectedSocket),
    Stream(OtherStream),
}

/// A stream that is not a socket.
pub(super) struct OtherStream(Box<dyn FnOnce(&LoopRef) -> Io>);

impl OtherStream {
    pub(super) fn open(self, event_loop: &LoopRef) -> Io {
        (self.0)(event_loop)
    }
}

impl fmt::Debug for OtherStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OtherStream")
    }
}

impl ClientAddress {
    /// A Unix socket at `path`; a path that begins with a zero byte is an abstract name.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self(Kind::Unix(Address::from(path.as_ref())))
    }

    /// Uses an existing stream of any kind as the connection: a stream in memory, a channel of SSH,
    /// a tunnel. Layers and protocols can be put over it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ClientAddress, memory_pair, open_connection, stream_over};
    ///
    /// asyncio_task::run(async {
    ///     let (ours, theirs) = memory_pair(1024);
    ///     let (mut reader, _writer) = open_connection(ClientAddress::over(ours)).await?;
    ///     let (_, peer) = stream_over(theirs);
    ///     peer.write("hello\n");
    ///     assert_eq!(reader.read_line().await?, "hello\n");
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn over(stream: impl ByteStream + 'static) -> Self {
        Self(Kind::Stream(OtherStream(Box::new(|event_loop| Io::other(event_loop, stream)))))
    }

    /// The host to connect to, by its name or address, if there is exactly one.
    pub(super) fn host(&self) -> Option<String> {
        match &self.0 {
            Kind::Endpoint(endpoint) => endpoint.only_host(),
            _ => None,
        }
    }
}

/// A connected stream socket.
///
/// It can be sent to another thread, for example to a thread with a loop that serves it.
///
/// # Examples
///
/// ```
/// use std::os::fd::OwnedFd;
/// use std::os::unix::net::{UnixDatagram, UnixStream};
/// use asyncio_net::ConnectedSocket;
///
/// // A descriptor that was inherited, say.
/// let (ours, _theirs) = UnixStream::pair()?;
/// let socket = ConnectedSocket::try_from(OwnedFd::from(ours))?;
/// assert!(matches!(socket, ConnectedSocket::Unix(_)));
///
/// let (no_stream, _) = UnixDatagram::pair()?;
/// assert!(ConnectedSocket::try_from(OwnedFd::from(no_stream)).is_err());
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectedSocket {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
}

impl<E: Into<Endpoint>> From<E> for ClientAddress {
    fn from(endpoint: E) -> Self {
        Self(Kind::Endpoint(endpoint.into()))
    }
}

/// Converts the address of a server, or of the other end of a connection.
impl From<Address> for ClientAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(address) => address.into(),
            name => Self(Kind::Unix(name)),
        }
    }
}

impl From<&Address> for ClientAddress {
    fn from(address: &Address) -> Self {
        address.clone().into()
    }
}

impl From<ConnectedSocket> for ClientAddress {
    fn from(socket: ConnectedSocket) -> Self {
        Self(Kind::Socket(socket))
    }
}

impl From<TcpStream> for ClientAddress {
    fn from(socket: TcpStream) -> Self {
        ConnectedSocket::from(socket).into()
    }
}

impl From<UnixStream> for ClientAddress {
    fn from(socket: UnixStream) -> Self {
        ConnectedSocket::from(socket).into()
    }
}

impl From<TcpStream> for ConnectedSocket {
    fn from(socket: TcpStream) -> Self {
        Self::Tcp(socket)
    }
}

impl From<UnixStream> for ConnectedSocket {
    fn from(socket: UnixStream) -> Self {
        Self::Unix(socket)
    }
}

/// Converts a descriptor, for example one that was inherited or came with a message. Unix only.
impl TryFrom<OwnedFd> for ConnectedSocket {
    type Error = io::Error;

    /// As the conversion of [`Socket`].
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        Socket::from(fd).try_into()
    }
}

impl TryFrom<Socket> for ConnectedSocket {
    type Error = io::Error;

    /// Fails for anything that is not a TCP or Unix stream socket.
    fn try_from(socket: Socket) -> io::Result<Self> {
        let domain = socket.local_addr()?.domain();
        let is_stream = socket.r#type()? == Type::STREAM;
        match domain {
            Domain::IPV4 | Domain::IPV6 if is_stream => Ok(Self::Tcp(socket.into())),
            Domain::UNIX if is_stream => Ok(Self::Unix(socket.into())),
            _ => {
                Err(io::Error::new(io::ErrorKind::InvalidInput, "not a TCP or Unix stream socket"))
            }
        }
    }
}

impl From<ConnectedSocket> for Socket {
    fn from(socket: ConnectedSocket) -> Self {
        match socket {
            ConnectedSocket::Tcp(socket) => socket.into(),
            ConnectedSocket::Unix(socket) => socket.into(),
        }
    }
}

/// Unix only.
impl From<ConnectedSocket> for OwnedFd {
    fn from(socket: ConnectedSocket) -> Self {
        match socket {
            ConnectedSocket::Tcp(socket) => socket.into(),
            ConnectedSocket::Unix(socket) => socket.into(),
        }
    }
}

impl AsFd for ConnectedSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}

impl ConnectedSocket {
    /// The address of the other end; [`Unnamed`](Address::Unnamed) if the socket is not connected
    /// any more.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{TcpListener, TcpStream};
    /// use asyncio_net::ConnectedSocket;
    ///
    /// let listener = TcpListener::bind("127.0.0.1:0")?;
    /// let socket = ConnectedSocket::from(TcpStream::connect(listener.local_addr()?)?);
    /// assert_eq!(socket.peer_address(), listener.local_addr()?.into());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn peer_address(&self) -> Address {
        let address = match self {
            Self::Tcp(socket) => socket.peer_addr().map(Address::from),
            Self::Unix(socket) => socket.peer_addr().map(Address::from),
        };
        address.unwrap_or(Address::Unnamed)
    }

    pub(crate) fn set_nonblocking(&self, yes: bool) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(yes),
            Self::Unix(socket) => socket.set_nonblocking(yes),
        }
    }

    /// Makes a stream of the socket. The peer's address is read now, because the system may have
    /// forgotten it later.
    pub(crate) fn open(self, event_loop: &LoopRef) -> io::Result<SocketStream> {
        let peer = Some(self.peer_address()).filter(|peer| *peer != Address::Unnamed);
        self.set_nonblocking(true)?;
        if let Self::Tcp(socket) = &self {
            socket.set_nodelay(true)?;
        }
        Ok(SocketStream::new(event_loop, self, peer))
    }
}
