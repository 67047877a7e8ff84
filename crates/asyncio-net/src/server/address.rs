//! Addresses that servers listen on.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::rc::Rc;

use rustix::net::{SocketType, sockopt};
use socket2::Socket;

use super::accept::{Listener, Listening};
use super::options::Options;
use super::{bind, simulated, unix};
use crate::address::Address;
use crate::connect::ConnectedSocket;
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::resolve::resolve_passive;
use crate::socket_file::SocketFile;

/// The address that a server listens on: an [`Endpoint`] or a value that converts into one, a
/// socket that listens already, or [`nothing`](Self::nothing).
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::Protocol for Echo {
/// #     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// use asyncio_net::{ServerAddress, create_server};
///
/// asyncio_task::run(async {
///     create_server("127.0.0.1:0", || Echo).await?;
///     create_server(("localhost", 0), || Echo).await?;
///     let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
///     let address = listener.local_addr()?;
///     assert_eq!(create_server(listener, || Echo).await?.local_addr()?, address);
///     assert!(create_server(ServerAddress::nothing(), || Echo).await?.addresses().is_empty());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct ServerAddress(Kind);

#[derive(Debug)]
enum Kind {
    Endpoint(Endpoint),
    Tcp(TcpListener),
    /// A Unix socket, by its path or abstract name.
    Named(Address),
    Unix(UnixListener),
    Nothing,
}

impl<E: Into<Endpoint>> From<E> for ServerAddress {
    fn from(endpoint: E) -> Self {
        Self(Kind::Endpoint(endpoint.into()))
    }
}

/// Converts the address of another server or transport.
impl From<Address> for ServerAddress {
    fn from(address: Address) -> Self {
        match address {
            Address::Inet(address) => address.into(),
            name => Self(Kind::Named(name)),
        }
    }
}

impl From<&Address> for ServerAddress {
    fn from(address: &Address) -> Self {
        address.clone().into()
    }
}

impl From<TcpListener> for ServerAddress {
    fn from(socket: TcpListener) -> Self {
        Self(Kind::Tcp(socket))
    }
}

impl From<UnixListener> for ServerAddress {
    fn from(socket: UnixListener) -> Self {
        Self(Kind::Unix(socket))
    }
}

/// Converts any listening socket of `socket2`, and so those of other crates.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ServerAddress, start_server};
/// use socket2::{Domain, Socket, Type};
///
/// asyncio_task::run(async {
///     let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
///     socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into())?;
///     socket.listen(16)?;
///     let address = ServerAddress::try_from(socket)?;
///     let server = start_server(address, async |_, _| ()).await?;
///     assert_ne!(server.local_addr()?.port(), 0);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
impl TryFrom<Socket> for ServerAddress {
    type Error = io::Error;

    /// Fails unless the socket is a TCP or Unix stream socket.
    fn try_from(socket: Socket) -> io::Result<Self> {
        Ok(match ConnectedSocket::try_from(socket)? {
            ConnectedSocket::Tcp(socket) => TcpListener::from(OwnedFd::from(socket)).into(),
            ConnectedSocket::Unix(socket) => UnixListener::from(OwnedFd::from(socket)).into(),
        })
    }
}

/// Converts a descriptor, for example one that was inherited or came with a message. Unix only.
impl TryFrom<OwnedFd> for ServerAddress {
    type Error = io::Error;

    /// As the conversion of [`Socket`].
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        Socket::from(fd).try_into()
    }
}

impl ServerAddress {
    /// No address: the server serves only sockets that are handed to its [`Intake`](crate::Intake).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerAddress, start_server};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server(ServerAddress::nothing(), async |_, _| ()).await?;
    ///     assert!(server.is_serving());
    ///     assert!(server.addresses().is_empty());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn nothing() -> Self {
        Self(Kind::Nothing)
    }

    /// A Unix socket at `path`, for functions that have no variant for Unix sockets.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{ServerAddress, create_acceptor};
    ///
    /// # let name = format!("asyncio-net-doc-address-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// asyncio_task::run(async {
    ///     let address = ServerAddress::unix(&path);
    ///     let acceptor = create_acceptor(address, |socket| drop(socket)).await?;
    ///     assert_eq!(acceptor.addresses()[0].as_path(), Some(path.as_path()));
    ///     acceptor.close();
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self(Kind::Named(Address::from(path.as_ref())))
    }

    pub(super) async fn listen(
        self,
        network: &Rc<Network>,
        options: &Options,
    ) -> io::Result<Vec<Rc<dyn Listening>>> {
        match self.0 {
            Kind::Endpoint(endpoint) => {
                let addresses = resolve_passive(network.event_loop(), &endpoint).await?;
                if let Some(sockets) = network.sockets() {
                    let listen =
                        |address| simulated::listen(&*sockets, &Address::Inet(address), options);
                    return bind::listen_on(&addresses, listen);
                }
                let sockets = bind::listen_on(&addresses, |at| bind::listen(at, options))?;
                sockets.into_iter().map(|socket| tcp(network, socket)).collect()
            }
            Kind::Tcp(socket) => {
                check_listening(&socket)?;
                Ok(vec![tcp(network, socket)?])
            }
            Kind::Named(address) => {
                if let Some(sockets) = network.sockets() {
                    return Ok(vec![simulated::listen_named(&*sockets, &address, options)?]);
                }
                let (socket, file) = unix::listen_on(&address, options)?;
                Ok(vec![unix(network, socket, file)?])
            }
            Kind::Unix(socket) => {
                check_listening(&socket)?;
                let file = file_to_remove(&socket, options)?;
                Ok(vec![unix(network, socket, file)?])
            }
            Kind::Nothing => Ok(Vec::new()),
        }
    }
}

/// Refuses a given socket that cannot accept.
fn check_listening(socket: impl AsFd) -> io::Result<()> {
    let refuse = |text| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    if sockopt::socket_type(&socket)? != SocketType::STREAM {
        return refuse("a server needs a stream socket");
    }
    #[cfg(target_os = "linux")]
    if !sockopt::socket_acceptconn(&socket)? {
        return refuse("the socket for a server does not listen");
    }
    Ok(())
}

fn tcp(network: &Network, socket: TcpListener) -> io::Result<Rc<dyn Listening>> {
    socket.set_nonblocking(true)?;
    Listener::open(network, mio::net::TcpListener::from_std(socket), None)
}

fn unix(
    network: &Network,
    socket: UnixListener,
    file: Option<SocketFile>,
) -> io::Result<Rc<dyn Listening>> {
    socket.set_nonblocking(true)?;
    Listener::open(network, mio::net::UnixListener::from_std(socket), file)
}

/// The file of a socket that was made elsewhere stays by default, because its maker may use it
/// again.
fn file_to_remove(socket: &UnixListener, options: &Options) -> io::Result<Option<SocketFile>> {
    match options.cleanup_socket {
        Some(true) => SocketFile::of(&Address::from(socket.local_addr()?)),
        _ => Ok(None),
    }
}
