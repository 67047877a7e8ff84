//! Adapters that make a [`ByteStream`] of other crates' streams.

#[cfg(feature = "futures-io")]
mod futures_io;
#[cfg(feature = "tokio")]
mod tokio_io;

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_task::{Sleep, sleep};

#[cfg(feature = "futures-io")]
pub use self::futures_io::from_futures_io;
#[cfg(feature = "tokio")]
pub use self::tokio_io::from_tokio;
use crate::io::{ByteSource, ByteStream};

/// The maximum number of bytes that one write takes.
const AT_ONCE: usize = 64 * 1024;
/// The limit on the time for closing the stream.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The methods that the traits of other crates have in common.
trait PollIo {
    fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// A stream of another crate. Writing to it needs a waker, which `try_write` does not have. So
/// bytes are copied, and written when the connection's flusher polls.
struct Adapter<T> {
    /// `None` when the stream is closed.
    io: RefCell<Option<T>>,
    out: RefCell<Out>,
    end: Cell<End>,
    deadline: RefCell<Option<Pin<Box<Sleep>>>>,
}

/// Bytes that were taken and not written yet: `bytes[start..]`.
#[derive(Default)]
struct Out {
    bytes: Vec<u8>,
    start: usize,
    /// All bytes are written, and not flushed yet.
    is_unflushed: bool,
}

/// Whether the end of the output has been sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Asked,
    Told,
}

impl<T: PollIo> Adapter<T> {
    fn new(io: T) -> Self {
        Self {
            io: RefCell::new(Some(io)),
            out: RefCell::default(),
            end: Cell::new(End::Open),
            deadline: RefCell::new(None),
        }
    }

    /// Writes the bytes that were taken, flushes them, and sends the end of the output if that was
    /// requested.
    fn poll_out(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut io = self.io.borrow_mut();
        let Some(io) = &mut *io else { return Poll::Ready(Ok(())) };
        let mut out = self.out.borrow_mut();
        while out.start < out.bytes.len() {
            match ready!(io.poll_write(cx, &out.bytes[out.start..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => out.start += count,
            }
        }
        (out.bytes, out.start) = (Vec::new(), 0);
        if out.is_unflushed {
            ready!(io.poll_flush(cx))?;
            out.is_unflushed = false;
        }
        if self.end.get() == End::Asked {
            ready!(io.poll_shutdown(cx))?;
            self.end.set(End::Told);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: PollIo> ByteSource for Adapter<T> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut *self.io.borrow_mut() {
            Some(io) => io.poll_read(cx, buffer),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl<T: PollIo> ByteStream for Adapter<T> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_flush()?;
        let mut out = self.out.borrow_mut();
        for slice in slices {
            let room = AT_ONCE - out.bytes.len();
            out.bytes.extend_from_slice(&slice[..room.min(slice.len())]);
        }
        out.is_unflushed = true;
        Ok(out.bytes.len())
    }

    fn unsent(&self) -> usize {
        let out = self.out.borrow();
        let has_more = out.is_unflushed || self.end.get() == End::Asked;
        (out.bytes.len() - out.start).max(usize::from(has_more))
    }

    fn try_flush(&self) -> io::Result<()> {
        match self.unsent() {
            0 => Ok(()),
            _ => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_out(cx)
    }

    fn write_eof(&self) -> io::Result<()> {
        if self.end.get() == End::Open {
            self.end.set(End::Asked);
        }
        Ok(())
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write_eof()?;
        let told = self.poll_out(cx);
        if told.is_ready() {
            return told;
        }
        let mut deadline = self.deadline.borrow_mut();
        let deadline = deadline.get_or_insert_with(|| Box::pin(sleep(CLOSE_TIMEOUT)));
        deadline.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn close(&self) {
        let io = self.io.borrow_mut().take();
        drop(io);
    }
}
