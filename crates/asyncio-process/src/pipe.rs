//! This program's ends of the pipes to a child.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::{Direction, LoopRef, Source};
use asyncio_net::{ByteSource, ByteStream};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;

/// The length of the longest packet of a pipe. A child can write packets (`O_DIRECT`, `pipe(7)`).
/// Then a read ends with a packet, and bytes that do not fit the buffer are lost.
const PIPE_BUF: usize = 4096;

/// One end of a pipe, non-blocking, until it is closed. A short read does not mean that the pipe is
/// empty: there may be more packets.
pub(crate) struct Pipe {
    source: RefCell<Option<Source<OwnedFd>>>,
    /// The rest of a packet for which a reader had no room.
    left: RefCell<VecDeque<u8>>,
}

/// This program's ends of a process's pipes.
pub(crate) struct Pipes {
    pub(crate) stdin: Option<Rc<Pipe>>,
    pub(crate) stdout: Option<Rc<Pipe>>,
    pub(crate) stderr: Option<Rc<Pipe>>,
}

impl Pipe {
    pub(crate) fn new(event_loop: &LoopRef, fd: OwnedFd) -> io::Result<Rc<Self>> {
        ioctl_fionbio(&fd, true)?;
        let source = RefCell::new(Some(Source::new(event_loop, fd)));
        Ok(Rc::new(Pipe { source, left: RefCell::default() }))
    }

    /// Closes this end. A waiting read gets the end of the stream, and a write fails.
    pub(crate) fn close(&self) {
        if let Some(source) = self.source.take() {
            source.wake_waiters();
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.source.borrow().is_none()
    }

    /// Returns the descriptor, blocking as it was before.
    pub(crate) fn into_fd(self: Rc<Self>) -> Option<OwnedFd> {
        let fd = self.source.take()?.into_inner();
        ioctl_fionbio(&fd, false).ok()?;
        Some(fd)
    }

    /// Appends the available bytes to `bytes`, which has room for a packet. `Ok(0)` is the end.
    pub(crate) fn poll_append(
        &self,
        cx: &Context<'_>,
        bytes: &mut Vec<u8>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(bytes.capacity() - bytes.len() >= PIPE_BUF);
        let mut left = self.left.borrow_mut();
        if !left.is_empty() {
            return Poll::Ready(left.read_to_end(bytes));
        }
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        source.poll_io(cx, Direction::Read, |fd| {
            let count = rustix::io::read(fd, spare_capacity(bytes))?;
            source.count(Direction::Read, count);
            Ok(count)
        })
    }

    /// Writes from the beginning of `bytes`.
    pub(crate) fn poll_write(&self, cx: &Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Err(closed())) };
        source.poll_transfer(cx, Direction::Write, bytes.len(), |fd| {
            Ok(rustix::io::write(fd, bytes)?)
        })
    }

    /// Waits until the reading end is gone or this end is closed. Returns true in the second case.
    pub(crate) fn poll_broken(&self, cx: &Context<'_>) -> Poll<bool> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(true) };
        // The poller reports a broken pipe as readable, which a writing end never is otherwise.
        while let Poll::Ready(result) = source.poll_ready(cx, Direction::Read) {
            if result.is_err() || is_broken(source.get_ref()) {
                return Poll::Ready(false);
            }
            source.clear_ready(Direction::Read);
        }
        Poll::Pending
    }
}

fn is_broken(fd: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut fds, Some(&now)).is_ok() && fds[0].revents().contains(PollFlags::ERR)
}

fn closed() -> io::Error {
    io::ErrorKind::BrokenPipe.into()
}

/// The end that this program reads.
impl ByteSource for Pipe {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut left = self.left.borrow_mut();
        if !left.is_empty() {
            return Poll::Ready(left.read(buffer));
        }
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        if buffer.len() >= PIPE_BUF {
            return source.poll_io(cx, Direction::Read, |fd| {
                let count = rustix::io::read(fd, &mut *buffer)?;
                source.count(Direction::Read, count);
                Ok(count)
            });
        }
        let mut packet = [0; PIPE_BUF];
        let read = |fd: &OwnedFd| Ok(rustix::io::read(fd, &mut packet[..])?);
        let count = ready!(source.poll_io(cx, Direction::Read, read))?;
        source.count(Direction::Read, count);
        left.extend(&packet[..count]);
        Poll::Ready(left.read(buffer))
    }
}

/// The end that this program writes to; reads return the end of the stream.
pub(crate) struct Input(pub(crate) Rc<Pipe>);

impl ByteSource for Input {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(0))
    }
}

impl ByteStream for Input {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Err(closed()) };
        let length = slices.iter().map(|slice| slice.len()).sum();
        source.try_transfer(Direction::Write, length, |fd| Ok(rustix::io::writev(fd, slices)?))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &*self.0.source.borrow() {
            Some(source) => source.poll_ready(cx, Direction::Write),
            None => Poll::Ready(Err(closed())),
        }
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Poll::Pending };
        let failed = source.poll_failure(cx, |fd| is_broken(fd).then(closed));
        failed.map(|failed| failed.unwrap_or_else(|refused| refused))
    }

    fn can_read(&self) -> bool {
        false
    }

    fn write_eof(&self) -> io::Result<()> {
        self.0.close();
        Ok(())
    }

    fn close(&self) {
        self.0.close();
    }
}
