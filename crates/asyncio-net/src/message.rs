//! Receives datagrams and other messages with boundaries, and reports a message that was cut.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::RecvFlags;

use crate::address::Address;

/// Receives one message without waiting; returns its length and its sender.
///
/// # Errors
///
/// [`InvalidData`](io::ErrorKind::InvalidData) for a message that is longer than the buffer, which
/// is lost; the system's.
pub(crate) fn receive_message(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Address)> {
    let room = buffer.len();
    let (length, sender) = receive(socket, buffer)?;
    if length > room { Err(too_long(length, room, &sender)) } else { Ok((length, sender)) }
}

/// For a message that was cut, the length is greater than the buffer's.
///
/// On Linux, `recvfrom` can report that, and is a fifth cheaper than `recvmsg`.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<(usize, Address)> {
    let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
    let (_, length, sender) = rustix::net::recvfrom(socket, buffer, flags)?;
    Ok((length, Address::from_any(sender)))
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> rustix::io::Result<(usize, Address)> {
    use rustix::net::{RecvAncillaryBuffer, ReturnFlags, recvmsg};
    let mut parts = [io::IoSliceMut::new(buffer)];
    let mut control = RecvAncillaryBuffer::default();
    let message = recvmsg(socket, &mut parts, &mut control, RecvFlags::DONTWAIT)?;
    let cut = message.flags.contains(ReturnFlags::TRUNC);
    Ok((message.bytes + usize::from(cut), Address::from_any(message.address)))
}

#[cold]
pub(crate) fn too_long(length: usize, room: usize, sender: &Address) -> io::Error {
    let text = format!(
        "a datagram of {length} bytes from {sender} is longer than the limit of {room} bytes"
    );
    io::Error::new(io::ErrorKind::InvalidData, text)
}
