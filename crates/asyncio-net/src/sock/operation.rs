//! One operation on a socket of the caller.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use asyncio_loop::machinery::Share;
use asyncio_loop::{Direction, LoopRef, Pollable, Source, running_loop, try_running_loop};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl};

use super::line::Place;

/// A socket that the running loop watches for the time of one operation.
pub(crate) struct Operation<'fd> {
    event_loop: LoopRef,
    direction: Direction,
    source: Source<BorrowedFd<'fd>>,
    place: Place,
}

impl<'fd> Operation<'fd> {
    pub(crate) fn new(socket: &'fd impl Pollable, direction: Direction) -> io::Result<Self> {
        let event_loop = running_loop();
        let fd = socket.as_fd();
        if event_loop.is_debug() && is_blocking(fd)? {
            let text = "the socket must be non-blocking";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let source = Source::share(&event_loop, fd)?;
        let place = Place::new(&event_loop, fd.as_raw_fd(), direction);
        Ok(Self { event_loop, direction, source, place })
    }

    /// Tries `call` until it does not block, waiting in between.
    pub(crate) fn poll<R>(
        &mut self,
        cx: &Context<'_>,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        loop {
            match self.source.try_io(self.direction, |fd| call(*fd)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => return Poll::Ready(result),
            }
            ready!(self.poll_ready(cx))?;
        }
    }

    /// Waits until the poller says that a call may succeed.
    fn poll_ready(&mut self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if try_running_loop().is_ok_and(|running| running != self.event_loop) {
            let text = "an operation on a socket that was begun in another loop";
            return Poll::Ready(Err(io::Error::other(text)));
        }
        if self.place.stand(cx) {
            return self.source.poll_ready(cx, self.direction);
        }
        let waker = self.place.waker_of_all();
        self.source.poll_ready(&Context::from_waker(&waker), self.direction)
    }

    /// Waits until the system says that a write would not block: the end of a `connect`.
    pub(super) async fn writable(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            loop {
                if is_writable(*self.source.get_ref())? {
                    return Poll::Ready(Ok(()));
                }
                self.source.clear_ready(Direction::Write);
                ready!(self.poll_ready(cx))?;
            }
        })
        .await
    }
}

/// Tries `call` on `socket` until it does not block.
pub(super) async fn operate<R>(
    socket: &impl Pollable,
    direction: Direction,
    mut call: impl FnMut(BorrowedFd<'_>) -> rustix::io::Result<R>,
) -> io::Result<R> {
    let mut operation = Operation::new(socket, direction)?;
    let share = Share::default();
    poll_fn(|cx| share.poll(cx, |cx| operation.poll(cx, |fd| Ok(call(fd)?)))).await
}

fn is_blocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(!fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

fn is_writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&Timespec::default()))? > 0)
}
