use std::io;

use asyncio_loop::machinery::at_await;
use asyncio_loop::{Direction, Pollable};
use bytes::Bytes;
use rustix::net::{RecvFlags, recv, recvfrom};

use super::operation::operate;
use crate::address::Address;

/// Receives the available bytes, up to `count`, and waits if there are none. The result is empty at
/// the end of the stream.
///
/// Further bytes of a stream stay in the socket. The rest of a longer datagram is lost.
///
/// # Errors
///
/// The system's errors. An error if a transport uses the socket, if the future is polled in another
/// loop than before, and in debug mode, if the socket is blocking.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future loses no bytes: those that were not received stay in the socket.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{sock_recv, sock_sendall};
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     theirs.set_nonblocking(true)?;
///     sock_sendall(&theirs, b"hello").await?;
///     assert_eq!(sock_recv(&ours, 100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_recv(socket: &impl Pollable, count: usize) -> impl Future<Output = io::Result<Bytes>> {
    at_await(async move {
        let mut buffer = vec![0; count];
        let received = sock_recv_into(socket, &mut buffer).await?;
        buffer.truncate(received);
        Ok(buffer.into())
    })
}

/// Receives into `buffer` and returns the number of bytes; 0 at the end of the stream. The rest of
/// a longer datagram is lost.
///
/// # Errors
///
/// As [`sock_recv`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// As [`sock_recv`].
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{sock_recv_into, sock_sendall};
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     ours.set_nonblocking(true)?;
///     theirs.set_nonblocking(true)?;
///     sock_sendall(&theirs, b"hello").await?;
///     let mut buffer = [0; 100];
///     assert_eq!(sock_recv_into(&ours, &mut buffer).await?, 5);
///     assert_eq!(&buffer[..5], b"hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_recv_into(
    socket: &impl Pollable,
    buffer: &mut [u8],
) -> impl Future<Output = io::Result<usize>> {
    at_await(async move {
        operate(socket, Direction::Read, |fd| {
            recv(fd, &mut *buffer, RecvFlags::empty()).map(|(received, _)| received)
        })
        .await
    })
}

/// Receives one datagram. Returns it with its sender. The rest of a datagram longer than `count`
/// bytes is lost.
///
/// # Errors
///
/// As [`sock_recv`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// As [`sock_recv`].
///
/// # Examples
///
/// ```
/// use std::net::UdpSocket;
/// use asyncio_net::{sock_recvfrom, sock_sendto};
///
/// asyncio_task::run(async {
///     let [one, other] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
///     one.set_nonblocking(true)?;
///     other.set_nonblocking(true)?;
///     sock_sendto(&one, b"hello", other.local_addr()?).await?;
///     let (data, sender) = sock_recvfrom(&other, 100).await?;
///     assert_eq!(data, "hello");
///     assert_eq!(sender.as_inet(), one.local_addr().ok());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "sock_recv_from")]
pub fn sock_recvfrom(
    socket: &impl Pollable,
    count: usize,
) -> impl Future<Output = io::Result<(Bytes, Address)>> {
    at_await(async move {
        let mut buffer = vec![0; count];
        let (received, sender) = sock_recvfrom_into(socket, &mut buffer).await?;
        buffer.truncate(received);
        Ok((buffer.into(), sender))
    })
}

/// Receives one datagram into `buffer`, and returns its length there and its sender. The rest of a
/// longer datagram is lost.
///
/// # Errors
///
/// As [`sock_recv`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// As [`sock_recv`].
///
/// # Examples
///
/// ```
/// use std::net::UdpSocket;
/// use asyncio_net::{sock_recvfrom_into, sock_sendto};
///
/// asyncio_task::run(async {
///     let [one, other] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
///     one.set_nonblocking(true)?;
///     other.set_nonblocking(true)?;
///     sock_sendto(&one, b"hello", other.local_addr()?).await?;
///     let mut buffer = [0; 100];
///     let (length, sender) = sock_recvfrom_into(&other, &mut buffer).await?;
///     assert_eq!(&buffer[..length], b"hello");
///     assert_eq!(sender.as_inet(), one.local_addr().ok());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_recvfrom_into(
    socket: &impl Pollable,
    buffer: &mut [u8],
) -> impl Future<Output = io::Result<(usize, Address)>> {
    at_await(async move {
        operate(socket, Direction::Read, |fd| {
            let (received, _, sender) = recvfrom(fd, &mut *buffer, RecvFlags::empty())?;
            Ok((received, Address::from_any(sender)))
        })
        .await
    })
}
