//! A datagram socket, used without changing its mode: every call says that it does not wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{RecvFlags, SendFlags, SocketType, getpeername, getsockname, sockopt};

use crate::address::Address;

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
        let room = buffer.len();
        let (length, sender) = receive(&self.0, buffer)?;
        if length > room { Err(too_long(length, room, &sender)) } else { Ok((length, sender)) }
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

/// Receives one datagram. The length is greater than the buffer's for a datagram that was cut.
///
/// `recvfrom` tells so on Linux, and is a fifth cheaper than `recvmsg`.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<(usize, Address)> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let (_, length, sender) = rustix::net::recvfrom(socket, buffer, flags)?;
    Ok((length, Address::from_any(sender)))
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<(usize, Address)> {
    use rustix::net::{RecvAncillaryBuffer, ReturnFlags, recvmsg};
    let mut parts = [io::IoSliceMut::new(buffer)];
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::DONTWAIT)?;
    let cut = message.flags.contains(ReturnFlags::TRUNC);
    Ok((message.bytes + usize::from(cut), Address::from_any(message.address)))
}

fn too_long(length: usize, room: usize, sender: &Address) -> io::Error {
    let text = format!(
        "a datagram of {length} bytes from {sender} is longer than the limit of {room} bytes"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
