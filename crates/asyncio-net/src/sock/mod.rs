//! Operations on sockets that the caller keeps: `loop.sock_*`.
//!
//! Each tries at once, and waits with the poller only if that would have blocked. The socket has to be
//! non-blocking. A descriptor that a transport uses is refused.

mod connect;
mod receive;
mod send;

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use asyncio_loop::{Direction, Share, Source, running_loop};

pub use self::connect::{SockTarget, sock_accept, sock_connect};
pub use self::receive::{sock_recv, sock_recv_into, sock_recvfrom, sock_recvfrom_into};
pub use self::send::{sock_sendall, sock_sendto};

/// Puts `socket` into the care of the running loop, for the time of one operation.
pub(crate) fn watch(socket: &impl AsFd) -> io::Result<Source<BorrowedFd<'_>>> {
    let event_loop = running_loop();
    let fd = socket.as_fd();
    if event_loop.is_debug() && is_blocking(fd)? {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the socket must be non-blocking"));
    }
    Source::share(&event_loop, fd)
}

fn is_blocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(!rustix::fs::fcntl_getfl(fd)?.contains(rustix::fs::OFlags::NONBLOCK))
}

/// Tries `operation` on `socket` until it does not block.
async fn operate<R>(
    socket: &impl AsFd,
    direction: Direction,
    mut operation: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<R>,
) -> io::Result<R> {
    let source = watch(socket)?;
    let share = Share::default();
    poll_fn(|cx| share.poll(cx, |cx| source.poll_io(cx, direction, |fd| Ok(operation(*fd)?)))).await
}
