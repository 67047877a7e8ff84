//! A datagram socket. Its blocking mode is not changed: every call has a flag not to wait.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{SendFlags, SocketType, getpeername, getsockname, sockopt};

use crate::address::Address;
use crate::control;
use crate::message::receive_message;
use crate::sigpipe::{self, NO_SIGPIPE};

pub(super) struct Socket(OwnedFd);

impl Socket {
    /// Takes a socket that carries datagrams; a stream socket is refused.
    pub(super) fn adopt(socket: OwnedFd) -> io::Result<Self> {
        match sockopt::socket_type(&socket)? {
            SocketType::DGRAM | SocketType::RAW => {
                sigpipe::never(&socket);
                Ok(Self(socket))
            }
            _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a datagram socket")),
        }
    }

    /// Receives one datagram; returns its length and its sender.
    pub(super) fn receive(&self, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
        receive_message(&self.0, buffer)
    }

    /// Receives one datagram, and up to `most` descriptors.
    pub(super) fn receive_descriptors(
        &self,
        buffer: &mut [u8],
        most: usize,
    ) -> io::Result<(usize, Address, Vec<OwnedFd>)> {
        let arrived = control::receive(&self.0, buffer, most)?;
        let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        let sender = arrived.sender;
        if arrived.is_cut {
            let room = buffer.len();
            let text = format!("a datagram from {sender} is longer than the limit of {room} bytes");
            return Err(invalid(text));
        }
        if arrived.lost_descriptors {
            let text = format!("more than {most} descriptors came with a datagram from {sender}");
            return Err(invalid(text));
        }
        Ok((arrived.length, sender, arrived.descriptors))
    }

    /// Sends one datagram with descriptors.
    pub(super) fn send_descriptors(
        &self,
        data: &[u8],
        descriptors: &[OwnedFd],
        address: Option<&Address>,
    ) -> io::Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        control::send(&self.0, &[IoSlice::new(data)], &descriptors, address).map(drop)
    }

    /// Sends one datagram; without an address to the peer that the socket is connected to.
    pub(super) fn send(&self, data: &[u8], address: Option<&Address>) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | NO_SIGPIPE;
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
