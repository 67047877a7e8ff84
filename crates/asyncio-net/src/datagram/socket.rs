use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixDatagram;

use socket2::SockRef;

use crate::address::Address;

/// A datagram socket made elsewhere.
///
/// # Examples
///
/// ```
/// use asyncio_net::DatagramSocket;
///
/// let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// assert!(matches!(DatagramSocket::from(socket), DatagramSocket::Udp(_)));
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum DatagramSocket {
    /// UDP.
    Udp(UdpSocket),
    /// A Unix socket.
    Unix(UnixDatagram),
}

impl From<UdpSocket> for DatagramSocket {
    fn from(socket: UdpSocket) -> Self {
        Self::Udp(socket)
    }
}

impl From<UnixDatagram> for DatagramSocket {
    fn from(socket: UnixDatagram) -> Self {
        Self::Unix(socket)
    }
}

impl DatagramSocket {
    pub(super) fn into_inner(self) -> io::Result<Socket> {
        match self {
            Self::Udp(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Socket::Udp(mio::net::UdpSocket::from_std(socket)))
            }
            Self::Unix(socket) => {
                socket.set_nonblocking(true)?;
                Ok(Socket::Unix(mio::net::UnixDatagram::from_std(socket)))
            }
        }
    }
}

/// A non-blocking datagram socket.
pub(super) enum Socket {
    Udp(mio::net::UdpSocket),
    Unix(mio::net::UnixDatagram),
}

impl Socket {
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        match self {
            Self::Udp(socket) => {
                socket.recv_from(buffer).map(|(length, sender)| (length, sender.into()))
            }
            Self::Unix(socket) => {
                socket.recv_from(buffer).map(|(length, sender)| (length, sender.into()))
            }
        }
    }

    /// Sends one datagram; without an address to where the socket is connected.
    pub(super) fn send(&self, data: &[u8], address: Option<&Address>) -> io::Result<()> {
        let sent = match (self, address) {
            (Self::Udp(socket), None) => socket.send(data),
            (Self::Udp(socket), Some(Address::Inet(address))) => socket.send_to(data, *address),
            (Self::Unix(socket), None) => socket.send(data),
            (socket, Some(address)) => {
                SockRef::from(socket).send_to(data, &address.to_sock_addr()?)
            }
        };
        sent.map(drop)
    }

    pub(super) fn local(&self) -> Option<Address> {
        match self {
            Self::Udp(socket) => socket.local_addr().ok().map(Address::from),
            Self::Unix(socket) => socket.local_addr().ok().map(Address::from),
        }
    }

    pub(super) fn peer(&self) -> Option<Address> {
        match self {
            Self::Udp(socket) => socket.peer_addr().ok().map(Address::from),
            Self::Unix(socket) => socket.peer_addr().ok().map(Address::from),
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
        }
    }
}
