//! Servers under test: the same services by every runtime, and by hand on epoll.

mod asyncio;
mod floor;
mod monoio;
mod smol;
mod tokio;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::str::FromStr;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

/// What a server does with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// Echoes each read through a buffer of a given size.
    Echo(usize),
    /// Sends back each line by one write of its own, without regard to system calls.
    Lines,
    /// Closes each connection at once.
    Close,
    /// Sends back each UDP datagram that arrives at the listener's port.
    Datagrams,
}

impl Service {
    /// Whether the server of this name has code of its own for the service.
    #[must_use]
    pub fn suits(self, server: &str) -> bool {
        match server {
            "tokio+BufWriter" => self == Self::Lines,
            "floor+watch" => self == Self::Close,
            "asyncio streams" => self != Self::Datagrams,
            "asyncio read(n)" => matches!(self, Self::Echo(_)),
            _ => true,
        }
    }
}

/// The command line's spelling: `echo:65536`, `lines`, `close`, `datagrams`.
impl fmt::Display for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo(buffer) => write!(formatter, "echo:{buffer}"),
            Self::Lines => formatter.write_str("lines"),
            Self::Close => formatter.write_str("close"),
            Self::Datagrams => formatter.write_str("datagrams"),
        }
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let buffer = || text.strip_prefix("echo:")?.parse().ok();
        match text {
            "lines" => Ok(Self::Lines),
            "close" => Ok(Self::Close),
            "datagrams" => Ok(Self::Datagrams),
            _ => buffer().map(Self::Echo).ok_or_else(|| format!("no service {text}")),
        }
    }
}

/// Serves forever.
type Serve = fn(TcpListener, Service) -> io::Result<()>;

/// Every server, by name.
pub const SERVERS: &[(&str, Serve)] = &[
    ("floor", floor::serve),
    ("floor+watch", floor::serve_watching),
    ("asyncio protocol", asyncio::serve_protocol),
    ("asyncio streams", asyncio::serve_streams),
    ("asyncio read(n)", asyncio::serve_reads),
    ("tokio", tokio::serve),
    ("tokio+BufWriter", tokio::serve_buffered),
    ("smol", smol::serve),
    ("monoio", monoio::serve),
];

/// The server of this name.
pub fn find(name: &str) -> Option<Serve> {
    SERVERS.iter().find(|(known, _)| *known == name).map(|(_, serve)| *serve)
}

/// A listener on a free port of the loopback, the same for all: a long backlog, and TCP_NODELAY,
/// which accepted sockets inherit.
///
/// # Errors
///
/// When the system refuses.
pub fn listen() -> io::Result<TcpListener> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0))?;
    rustix::net::listen(&socket, 4096)?;
    Ok(TcpListener::from(socket))
}

/// The longest datagram of [`Service::Datagrams`].
const DATAGRAM: usize = 2048;

/// A socket for datagrams with the listener's address.
fn datagram_socket(listener: &TcpListener) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(listener.local_addr()?)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The lines in `data`, with their line ends; the last one may lack it.
fn lines_of(mut data: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let length = memchr::memchr(b'\n', data).map_or(data.len(), |newline| newline + 1);
        let (line, rest) = data.split_at(length);
        data = rest;
        (!line.is_empty()).then_some(line)
    })
}
