//! A datagram socket, used without changing its mode: every call says that it does not wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{SendFlags, SocketType, getpeername, getsockname, sockopt};

use crate::address::Address;
use crate::message::receive_message;

pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Takes a socket that carries datagrams; a stream socket is refused.
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        match sockopt::socket_type(&socket)? {
            SocketType::DGRAM | SocketType::RAW => Ok(Self(socket)),
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a datagram socket")),
        }
    }

    /// Receives one datagram: its length and its sender.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        receive_message(&self.0, buffer)
    }

    /// Sends one datagram; without an address to the peer that the socket is connected to.
    pub(super) fn send(&self, data: &[u8], address: Option<&Address>) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let sent = match address {
            None => rustix::net::send(&self.0, data, flags),
            Some(Address::Inet(address)) => rustix::net::sendto(&self.0, data, flags, address),
            Some(address) => rustix::net::sendto(&self.0, data, flags, &address.to_any()?),
        };
        Ok(sent.map(drop)?)
    }

    pub(super) fn local(&self) -> Option<Address> {
        getsockname(&self.0).ok().map(|address| Address::from_any(Some(address)))
    }

    /// The address that the socket is connected to.
    pub(super) fn peer(&self) -> Option<Address> {
        let address = getpeername(&self.0).ok()?;
        Some(Address::from_any(address))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
