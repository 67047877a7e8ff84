//! One end of a pipe that the poller watches.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::fs::{FileType, fstat};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, SocketType, recv, sendmsg, sockopt};
use socket2::SockRef;

use super::End;
use super::left::Left;
use crate::io::buffer_pool;
use crate::io::failure;
use crate::io::{ByteSource, ByteStream};
use crate::message::receive_message;
use crate::sigpipe::{self, NO_SIGPIPE};

/// The length of the longest packet of a pipe.
const PIPE_BUF: usize = 4096;

/// The end until it is closed. A short read does not mean that no more bytes are there: terminals
/// and packet pipes cause short reads.
pub(super) struct PipeStream {
    source: RefCell<Option<Source<OwnedFd>>>,
    end: End,
    calls: Calls,
    left: Left,
}

/// The system calls that move bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    /// `read` and `writev`, for a pipe whose open file is non-blocking. The poller reports to its
    /// writing end that the reading end is closed.
    Pipe,
    /// The same for a terminal or another device.
    Device,
    /// The calls for sockets, with a flag not to wait, for a stream socket.
    Stream,
    /// The same for a socket of messages.
    Messages,
}

impl PipeStream {
    /// An end whose open file is non-blocking.
    pub(super) fn pipe(event_loop: &LoopRef, fd: OwnedFd, end: End) -> io::Result<Self> {
        let is_pipe = FileType::from_raw_mode(fstat(&fd)?.st_mode) == FileType::Fifo;
        let calls = if is_pipe { Calls::Pipe } else { Calls::Device };
        Ok(Self::new(event_loop, fd, end, calls))
    }

    /// A socket, blocking or not.
    pub(super) fn socket(event_loop: &LoopRef, fd: OwnedFd, end: End) -> io::Result<Self> {
        sigpipe::never(&fd);
        let is_stream = sockopt::socket_type(&fd)? == SocketType::STREAM;
        let calls = if is_stream { Calls::Stream } else { Calls::Messages };
        Ok(Self::new(event_loop, fd, end, calls))
    }

    fn new(event_loop: &LoopRef, fd: OwnedFd, end: End, calls: Calls) -> Self {
        let source = Source::new(event_loop, fd);
        if end == End::Writing {
            // On a writing end, "readable" means that the reader is gone, which must not be assumed
            // here.
            source.clear_ready(Direction::Read);
        }
        Self { source: RefCell::new(Some(source)), end, calls, left: Left::default() }
    }

    /// Reads. If a message or a packet is longer than the buffer, its rest is kept.
    fn read(&self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        let needed = self.calls.needed();
        if buffer.len() >= needed {
            return self.calls.read(fd, buffer);
        }
        let mut bytes = vec![0; needed];
        let count = self.calls.read(fd, &mut bytes)?;
        bytes.truncate(count);
        Ok(self.left.give(bytes, buffer))
    }
}

impl Calls {
    /// The length of the buffer that a read needs, so that no message or packet is cut.
    fn needed(self) -> usize {
        match self {
            Self::Pipe => PIPE_BUF,
            Self::Messages => buffer_pool::LENGTH,
            Self::Device | Self::Stream => 1,
        }
    }

    fn read(self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Pipe | Self::Device => Ok(rustix::io::read(fd, buffer)?),
            Self::Stream => Ok(recv(fd, buffer, RecvFlags::DONTWAIT)?.0),
            Self::Messages => Ok(receive_message(fd, buffer)?.0),
        }
    }

    fn failure(self, fd: &OwnedFd) -> Option<io::Error> {
        match self {
            Self::Pipe | Self::Device => failure::of_pipe(fd),
            Self::Stream => failure::of_socket(fd, false),
            // After an error, the next message may still arrive.
            Self::Messages => None,
        }
    }

    fn write(self, fd: &OwnedFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if matches!(self, Self::Pipe | Self::Device) {
            return Ok(rustix::io::writev(fd, slices)?);
        }
        let flags = SendFlags::DONTWAIT | NO_SIGPIPE;
        Ok(sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), flags)?)
    }
}

impl ByteSource for PipeStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        if self.end == End::Reading {
            return match self.left.take(buffer) {
                Some(count) => Poll::Ready(Ok(count)),
                None => source.poll_io(cx, Direction::Read, |fd| {
                    self.read(fd, buffer).inspect(|&count| source.count(Direction::Read, count))
                }),
            };
        }
        if self.calls == Calls::Pipe {
            ready!(source.poll_ready(cx, Direction::Read))?;
            return Poll::Ready(Ok(0));
        }
        Poll::Pending
    }
}

impl ByteStream for PipeStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        let count = source.try_io(Direction::Write, |fd| self.calls.write(fd, slices))?;
        source.count(Direction::Write, count);
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.source.borrow();
        let Some(source) = &*source else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        source.poll_ready(cx, Direction::Write)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Pending };
        let failed = source.poll_failure(cx, |fd| self.calls.failure(fd));
        failed.map(|failed| failed.unwrap_or_else(|refused| refused))
    }

    fn can_read(&self) -> bool {
        self.end == End::Reading
    }

    fn can_write(&self) -> bool {
        self.end == End::Writing
    }

    fn can_write_eof(&self) -> bool {
        self.end == End::Writing
    }

    fn write_eof(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(&self) {
        let source = self.source.take();
        if let Some(source) = source {
            source.wake_waiters();
        }
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        if let Some(source) = &*self.source.borrow() {
            look(SockRef::from(source.get_ref()));
        }
    }
}
