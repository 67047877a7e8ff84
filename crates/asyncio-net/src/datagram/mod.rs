//! Datagrams: UDP and Unix.

mod endpoint;
mod options;
mod protocol;
mod socket;
mod transport;

use std::io;
use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

pub use self::options::{DatagramAddress, DatagramOptions};
pub use self::protocol::DatagramProtocol;
pub use self::socket::DatagramSocket;
pub use self::transport::DatagramTransport;

use self::endpoint::Endpoint;
use crate::address::Address;
use crate::network::Network;
use crate::server::{SocketFile, remove_stale};

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
        match open(local.as_ref(), remote.as_ref(), &options) {
            Ok((socket, file)) => {
                return Endpoint::start(&network, socket, file, remote, Box::new(factory()));
            }
            Err(error) => refused = Some(refused.unwrap_or(error)),
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "no address family in common");
    Err(refused.unwrap_or_else(none))
}

/// Hands a datagram socket of yours to the protocol that `factory` makes.
///
/// # Errors
///
/// The system's, if the socket is of no use.
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
    socket: impl Into<DatagramSocket>,
    factory: impl FnOnce() -> P,
) -> io::Result<DatagramTransport> {
    let socket = socket.into().into_inner()?;
    let remote = socket.peer();
    Endpoint::start(&Network::running(), socket, None, remote, Box::new(factory()))
}

fn open(
    local: Option<&Address>,
    remote: Option<&Address>,
    options: &DatagramOptions,
) -> io::Result<(socket::Socket, Option<SocketFile>)> {
    let domain = match local.or(remote) {
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
        let bound = remove_stale(local)
            .and_then(|()| local.to_sock_addr())
            .and_then(|address| socket.bind(&address));
        bound.map_err(|error| named("bind to", local, error))?;
        if options.cleanup_socket {
            file = SocketFile::of(local)?;
        }
    }
    if let Some(remote) = remote {
        let connected = remote.to_sock_addr().and_then(|address| socket.connect(&address));
        connected.map_err(|error| named("connect to", remote, error))?;
    }
    socket.set_nonblocking(true)?;
    let socket = if domain == Domain::UNIX {
        socket::Socket::Unix(mio::net::UnixDatagram::from_std(socket.into()))
    } else {
        socket::Socket::Udp(mio::net::UdpSocket::from_std(socket.into()))
    };
    Ok((socket, file))
}

fn named(what: &str, address: &Address, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot {what} {address}: {error}"))
}

/// Whether a datagram can go from one to the other.
fn fit(local: &SocketAddr, remote: &SocketAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
}
