//! The buffer of a reader, and filling it.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use asyncio_loop::machinery::Share;
use bytes::Bytes;

use crate::connection::Connection;
use crate::error::{LimitOverrunError, ReadError, SharedError};
use crate::io::ByteSource;
use crate::io::ReadBuffer;

/// The state of a reader.
pub(super) struct Reading {
    origin: Origin,
    pub(super) buffer: ReadBuffer,
    pub(super) limit: usize,
    pub(super) at_end: bool,
    /// Whether the next bytes are the rest of a line that was too long, which is dropped.
    in_long_line: bool,
    /// Whether the origin is a `Broken` one.
    is_broken: bool,
    /// Whether the previous read got bytes, after which usually none are left.
    has_read: bool,
    share: Share,
}

/// The origin of the bytes.
pub(super) enum Origin {
    Connection(Rc<Connection>),
    Other(Rc<dyn ByteSource>),
}

/// The origin of a reader that was given an error by [`set_error`](super::StreamReader::set_error).
struct Broken(SharedError);

impl ByteSource for Broken {
    fn poll_read(&self, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(self.0.to_io()))
    }
}

impl Origin {
    #[inline]
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Connection(connection) => connection.poll_read(cx, buffer),
            Self::Other(source) => source.poll_read(cx, buffer),
        }
    }

    #[inline]
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Connection(connection) => connection.poll_read_ready(cx),
            Self::Other(source) => source.poll_read_ready(cx),
        }
    }

    /// Tells the connection whether the reader holds bytes that were not consumed.
    #[inline]
    fn set_unread(&self, unread: bool) {
        if let Self::Connection(connection) = self {
            connection.set_unread(unread);
        }
    }
}

impl Reading {
    pub(super) fn new(origin: Origin, limit: usize) -> Self {
        Self {
            origin,
            buffer: ReadBuffer::default(),
            limit,
            at_end: false,
            in_long_line: false,
            is_broken: false,
            has_read: false,
            share: Share::default(),
        }
    }

    /// Whether the bytes come from `connection`.
    pub(super) fn is_of(&self, connection: &Rc<Connection>) -> bool {
        matches!(&self.origin, Origin::Connection(ours) if Rc::ptr_eq(ours, connection))
    }

    /// Waits for more bytes; `false` at the end of the stream. `want` is the number of bytes that
    /// the caller wants to have buffered in the end.
    pub(super) async fn fill(&mut self, want: usize) -> io::Result<bool> {
        poll_fn(|cx| self.poll_fill(cx, want)).await
    }

    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        want: usize,
    ) -> Poll<io::Result<bool>> {
        while !self.at_end {
            ready!(self.poll_receive(cx, want))?;
            if self.in_long_line {
                self.drop_long_line();
            }
            if !self.at_end && !self.buffer.is_empty() {
                return Poll::Ready(Ok(true));
            }
        }
        Poll::Ready(Ok(false))
    }

    fn poll_receive(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<io::Result<()>> {
        if self.has_read && self.buffer.is_empty() {
            // A waiting reader needs no buffer.
            let ready = self.origin.poll_read_ready(cx);
            if ready.is_pending() {
                self.has_read = false;
            }
            ready!(ready)?;
        }
        let read = self.share.poll(cx, |cx| self.origin.poll_read(cx, self.buffer.room(want)));
        self.note(&read);
        match read {
            Poll::Ready(Ok(count @ 1..)) => {
                self.buffer.advance(count);
                self.origin.set_unread(true);
            }
            _ => self.buffer.park(want),
        }
        read.map_ok(|_| ())
    }

    #[inline]
    fn note(&mut self, read: &Poll<io::Result<usize>>) {
        self.has_read = read.is_ready();
        self.at_end = matches!(read, Poll::Ready(Ok(0)));
    }

    /// The length of the next line, if all of it has come and there is no error. The first
    /// `scanned` bytes are known not to contain its end.
    #[inline]
    pub(super) fn find_line(&self, scanned: usize) -> Option<usize> {
        let newline = scanned + memchr::memchr(b'\n', &self.buffer.bytes()[scanned..])?;
        (newline <= self.limit && !self.is_broken).then_some(newline + 1)
    }

    /// Drops a line that is longer than the limit, and returns the error for it.
    #[cold]
    pub(super) fn refuse_long_line(&mut self) -> ReadError {
        let bytes = self.buffer.bytes();
        let consumed = memchr::memchr(b'\n', bytes).unwrap_or(bytes.len());
        self.drop_long_line();
        ReadError::LimitOverrun(LimitOverrunError { consumed, limit: self.limit })
    }

    /// Drops the received part of a line that is too long, and notes whether its end is still to
    /// come.
    fn drop_long_line(&mut self) {
        let newline = memchr::memchr(b'\n', self.buffer.bytes());
        self.in_long_line = newline.is_none();
        match newline {
            Some(newline) => self.consume(newline + 1),
            None => self.consume(self.buffer.len()),
        }
    }

    /// Receives into the caller's memory if nothing is buffered; else copies from the buffer.
    pub(super) fn poll_read_into(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.in_long_line {
            ready!(self.poll_fill(cx, 0))?;
        }
        if self.buffer.is_empty() && !buffer.is_empty() && !self.at_end {
            let read = self.share.poll(cx, |cx| self.origin.poll_read(cx, buffer));
            self.note(&read);
            return read;
        }
        let count = buffer.len().min(self.buffer.len());
        buffer[..count].copy_from_slice(&self.buffer.bytes()[..count]);
        self.consume(count);
        Poll::Ready(Ok(count))
    }

    /// Waits until [`poll_read_into`](Self::poll_read_into) may succeed.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer.is_empty() && !self.at_end {
            return self.origin.poll_read_ready(cx);
        }
        Poll::Ready(Ok(()))
    }

    /// Drops the first `count` bytes.
    #[inline]
    pub(super) fn consume(&mut self, count: usize) {
        self.buffer.consume(count);
        self.note_taken();
    }

    /// Takes the first `count` bytes out.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> Bytes {
        let bytes = self.buffer.take(count);
        self.note_taken();
        bytes
    }

    #[inline]
    fn note_taken(&self) {
        if self.buffer.is_empty() {
            self.origin.set_unread(false);
        }
    }

    #[inline]
    pub(super) fn check(&self) -> io::Result<()> {
        self.error().map_or(Ok(()), Err)
    }

    /// The error that every read returns.
    #[inline]
    pub(super) fn error(&self) -> Option<io::Error> {
        if self.is_broken { self.ask_error() } else { None }
    }

    #[cold]
    fn ask_error(&self) -> Option<io::Error> {
        match self.origin.poll_read(&mut Context::from_waker(Waker::noop()), &mut []) {
            Poll::Ready(result) => result.err(),
            Poll::Pending => None,
        }
    }

    pub(super) fn set_error(&mut self, error: io::Error) {
        self.origin = Origin::Other(Rc::new(Broken(SharedError::new(error))));
        self.is_broken = true;
    }
}
