use std::io;

use asyncio_loop::machinery::at_await;
use asyncio_loop::{Direction, Pollable};
use rustix::net::{send, sendto};

use super::operation::operate;
use crate::address::Address;
use crate::sigpipe::{self, NO_SIGPIPE};

/// Sends all of `bytes`, and waits whenever the socket would block.
///
/// # Errors
///
/// The system's errors; the number of sent bytes is unknown then. An error if a transport uses the
/// socket, and in debug mode, if the socket is blocking.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// A dropped future while it waits has sent an unknown part of the bytes.
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
///     let sent = vec![7; 1_000_000];
///     let receive = async {
///         let mut received = 0;
///         while received < sent.len() {
///             received += sock_recv(&theirs, 100_000).await?.len();
///         }
///         std::io::Result::Ok(received)
///     };
///     let (sending, received) = asyncio_task::gather((sock_sendall(&ours, &sent), receive)).await;
///     sending?;
///     assert_eq!(received?, sent.len());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn sock_sendall(socket: &impl Pollable, bytes: &[u8]) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        sigpipe::never(socket);
        let mut sent = 0;
        while sent < bytes.len() {
            sent += send_some(socket, &bytes[sent..]).await?;
        }
        Ok(())
    })
}

/// Sends at least one of `bytes` over a socket without SIGPIPE, and returns the number of bytes
/// sent. A dropped future has sent nothing.
pub(crate) async fn send_some(socket: &impl Pollable, bytes: &[u8]) -> io::Result<usize> {
    operate(socket, Direction::Write, |fd| send(fd, bytes, NO_SIGPIPE)).await
}

/// Sends one datagram to `address`, and returns the number of bytes sent.
///
/// # Errors
///
/// As [`sock_sendall`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// A dropped future while it waits has sent nothing.
///
/// # Examples
///
/// ```
/// use std::net::UdpSocket;
/// use asyncio_net::{sock_recv, sock_sendto};
///
/// asyncio_task::run(async {
///     let [one, other] = [UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?];
///     one.set_nonblocking(true)?;
///     other.set_nonblocking(true)?;
///     assert_eq!(sock_sendto(&one, b"hello", other.local_addr()?).await?, 5);
///     assert_eq!(sock_recv(&other, 100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "sock_send_to")]
pub fn sock_sendto(
    socket: &impl Pollable,
    bytes: &[u8],
    address: impl Into<Address>,
) -> impl Future<Output = io::Result<usize>> {
    at_await(async move {
        let address = address.into().to_any()?;
        sigpipe::never(socket);
        operate(socket, Direction::Write, |fd| sendto(fd, bytes, NO_SIGPIPE, &address)).await
    })
}
