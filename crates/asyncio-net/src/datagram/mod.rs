//! Datagrams: UDP and Unix.

mod endpoint;
mod fenced;
mod options;
mod outgoing;
mod protocol;
mod socket;
mod transport;

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::{Domain, Socket, Type};

pub use self::options::{DatagramAddress, DatagramOptions};
pub use self::protocol::DatagramProtocol;
pub use self::transport::DatagramTransport;

use self::endpoint::{Endpoint, Opened};
use crate::address::Address;
use crate::network::Network;
use crate::pool;
use crate::socket_file::{InUse, SocketFile, bind};

/// Makes a socket for datagrams and hands it to the protocol that `factory` makes.
///
/// It is bound to the local address and connected to the remote one, as far as the options give them. The file of a Unix
/// socket is removed in the end.
///
/// # Errors
///
/// When neither an address nor a family is given, when the addresses have no family in common, when a name cannot be
/// resolved, and the system's.
///
/// # Panics
///
/// Where no loop runs.
///
/// # From asyncio
///
/// `loop.create_datagram_endpoint`. A socket of your own goes to [`connect_datagram_socket`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{
///     Address, DatagramOptions, DatagramProtocol, DatagramTransport, create_datagram_endpoint, sock_recv,
///     sock_sendto,
/// };
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address) {
///         transport.send_to(data, sender.clone());
///     }
/// }
///
/// asyncio_task::run(async {
///     let options = DatagramOptions::new().local_addr("127.0.0.1:0");
///     let transport = create_datagram_endpoint(|| Echo, options).await?;
///     let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     client.set_nonblocking(true)?;
///     sock_sendto(&client, b"hello", transport.local_addr().unwrap()).await?;
///     assert_eq!(sock_recv(&client, 100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "UdpSocket")]
pub async fn create_datagram_endpoint<P: DatagramProtocol + 'static>(
    factory: impl FnOnce() -> P,
    options: DatagramOptions,
) -> io::Result<DatagramTransport> {
    let network = Network::running();
    let pairs = options.pairs(network.event_loop()).await?;
    let mut refused = None;
    for (local, remote) in pairs {
        match open(local.as_ref(), remote, &options) {
            Ok(opened) => return Endpoint::start(&network, opened, factory()),
            Err(error) => refused = Some(refused.unwrap_or(error)),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address family in common");
    Err(refused.unwrap_or_else(none))
}

/// Hands a datagram socket of yours to the protocol that `factory` makes: std's, `socket2`'s, any that can become an
/// [`OwnedFd`]. Its mode is not changed, and its file stays.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket that does not carry datagrams; the system's.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::DatagramProtocol for Echo {
/// #     fn datagram_received(
/// #         &mut self,
/// #         transport: &asyncio_net::DatagramTransport,
/// #         data: &[u8],
/// #         sender: &asyncio_net::Address,
/// #     ) {
/// #         transport.send_to(data, sender.clone());
/// #     }
/// # }
/// use std::net::UdpSocket;
/// use asyncio_net::{connect_datagram_socket, sock_recv, sock_sendto};
///
/// asyncio_task::run(async {
///     let transport = connect_datagram_socket(UdpSocket::bind("127.0.0.1:0")?, || Echo)?;
///     let client = UdpSocket::bind("127.0.0.1:0")?;
///     client.set_nonblocking(true)?;
///     sock_sendto(&client, b"hello", transport.local_addr().unwrap()).await?;
///     assert_eq!(sock_recv(&client, 100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn connect_datagram_socket<P: DatagramProtocol + 'static>(
    socket: impl Into<OwnedFd>,
    factory: impl FnOnce() -> P,
) -> io::Result<DatagramTransport> {
    let socket = socket::Socket::adopt(socket.into())?;
    let peer = socket.peer();
    let opened = Opened { socket, file: None, peer, destination: None, limit: pool::LENGTH };
    Endpoint::start(&Network::running(), opened, factory())
}

fn open(
    local: Option<&Address>,
    remote: Option<Address>,
    options: &DatagramOptions,
) -> io::Result<Opened> {
    let domain = match local.or(remote.as_ref()) {
        Some(Address::Inet(address)) => Domain::for_address(*address),
        Some(_) => Domain::UNIX,
        None => options.domain(),
    };
    let socket = Socket::new(domain, Type::DGRAM, None)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if options.allow_broadcast {
        socket.set_broadcast(true)?;
    }
    let mut file = None;
    if let Some(local) = local {
        let in_use = InUse::replaced_if(options.replace_socket);
        bind(&socket, local, in_use).map_err(|error| named("bind to", local, error))?;
        if options.cleanup_socket {
            file = SocketFile::of(local)?;
        }
    }
    // A broadcast is answered by many.
    let (peer, destination) = if options.allow_broadcast { (None, remote) } else { (remote, None) };
    if let Some(peer) = &peer {
        let connected = peer.to_sock_addr().and_then(|address| socket.connect(&address));
        connected.map_err(|error| named("connect to", peer, error))?;
    }
    socket.set_nonblocking(true)?;
    let socket = socket::Socket::adopt(socket.into())?;
    Ok(Opened { socket, file, peer, destination, limit: options.limit })
}

fn named(what: &str, address: &Address, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {address}: {error}"))
}

/// Whether a datagram can go from one to the other.
fn fit(local: &SocketAddr, remote: &SocketAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
}
