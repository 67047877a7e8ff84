use std::io;
use std::os::fd::AsFd;

use asyncio_loop::Direction;
use rustix::net::{SendFlags, send, sendto};

use super::operate;
use crate::address::Address;

/// Sends all of `bytes`, however often the socket would block.
///
/// # Errors
///
/// The system's; nobody knows then how much was sent. If a transport uses the socket; in debug mode, if the
/// socket is blocking.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropped while it waits, it has sent an unknown part of the bytes.
pub async fn sock_sendall(socket: &impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut sent = 0;
    while sent < bytes.len() {
        let rest = &bytes[sent..];
        sent += operate(socket, Direction::Write, |fd| send(fd, rest, SendFlags::NOSIGNAL)).await?;
    }
    Ok(())
}

/// Sends one datagram to `address`, and returns how much of it was sent.
///
/// # Errors
///
/// As [`sock_sendall`].
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropped while it waits, it has sent nothing.
#[doc(alias = "sock_send_to")]
pub async fn sock_sendto(
    socket: &impl AsFd,
    bytes: &[u8],
    address: impl Into<Address>,
) -> io::Result<usize> {
    let address = address.into().to_any()?;
    let flags = SendFlags::NOSIGNAL;
    operate(socket, Direction::Write, |fd| sendto(fd, bytes, flags, &address)).await
}
