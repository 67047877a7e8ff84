//! A pair of streams in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, Read};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::LoopWaker;

use crate::io::{ByteSource, ByteStream};

/// Makes two connected streams in memory: bytes that are written to one are read from the other.
/// Use it for tests, and between parts of a program that communicate by streams.
///
/// Each direction holds up to `capacity` bytes; a writer waits for room as it would for a socket.
/// No system call is made, and virtual time stands still as long as there is something to do.
///
/// # Panics
///
/// If `capacity` is zero.
///
/// # Examples
///
/// ```
/// use asyncio_net::{memory_pair, stream_over};
///
/// asyncio_task::run(async {
///     let (ours, theirs) = memory_pair(1024);
///     let (mut reader, writer) = stream_over(ours);
///     let (mut peer, answer) = stream_over(theirs);
///     writer.write("question");
///     writer.write_eof();
///     assert_eq!(peer.read_to_end().await?, "question");
///     answer.write("answer");
///     answer.close().await?;
///     assert_eq!(reader.read_to_end().await?, "answer");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[must_use]
pub fn memory_pair(capacity: usize) -> (MemoryStream, MemoryStream) {
    assert!(capacity > 0, "capacity cannot be zero");
    let (there, back) = (Rc::new(Channel::new(capacity)), Rc::new(Channel::new(capacity)));
    let ours = MemoryStream { incoming: back.clone(), outgoing: there.clone() };
    (ours, MemoryStream { incoming: there, outgoing: back })
}

/// One end of a [`memory_pair`]. Streams and protocols over it are made by
/// [`stream_over`](crate::stream_over) and [`transport_over`](crate::transport_over).
///
/// Dropping an end closes it. As with a socket, when the other end is closed, writes fail with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe), and reads get the end of the stream. After an abort,
/// the other end reads the bytes that were sent, and then fails with
/// [`ConnectionReset`](io::ErrorKind::ConnectionReset).
///
/// # Examples
///
/// See [`memory_pair`].
pub struct MemoryStream {
    incoming: Rc<Channel>,
    outgoing: Rc<Channel>,
}

/// One direction.
struct Channel {
    bytes: RefCell<VecDeque<u8>>,
    capacity: usize,
    /// The writing end is finished: no more bytes come.
    at_end: Cell<bool>,
    /// The reading end is closed.
    is_deaf: Cell<bool>,
    /// The writing end was aborted.
    is_reset: Cell<bool>,
    reader: Cell<Option<LoopWaker>>,
    writer: Cell<Option<LoopWaker>>,
}

impl Channel {
    fn new(capacity: usize) -> Self {
        Self {
            bytes: RefCell::default(),
            capacity,
            at_end: Cell::new(false),
            is_deaf: Cell::new(false),
            is_reset: Cell::new(false),
            reader: Cell::new(None),
            writer: Cell::new(None),
        }
    }

    fn room(&self) -> usize {
        self.capacity - self.bytes.borrow().len()
    }

    fn end(&self) {
        self.at_end.set(true);
        wake(&self.reader);
    }

    fn stop_reading(&self) {
        self.is_deaf.set(true);
        self.bytes.take();
        wake(&self.writer);
        wake(&self.reader);
    }
}

fn wake(waiter: &Cell<Option<LoopWaker>>) {
    if let Some(waiter) = waiter.take() {
        waiter.wake();
    }
}

impl ByteSource for MemoryStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.poll_read_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        let count = self.incoming.bytes.borrow_mut().read(buffer)?;
        if count == 0 && self.incoming.is_reset.get() && !self.incoming.is_deaf.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        wake(&self.incoming.writer);
        Poll::Ready(Ok(count))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let incoming = &self.incoming;
        let is_over = incoming.at_end.get() || incoming.is_deaf.get();
        if !is_over && incoming.bytes.borrow().is_empty() {
            incoming.reader.set(Some(LoopWaker::from_context(cx)));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

impl ByteStream for MemoryStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let outgoing = &self.outgoing;
        if outgoing.at_end.get() || outgoing.is_deaf.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut room = outgoing.room();
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let before = room;
        for slice in slices {
            let count = room.min(slice.len());
            outgoing.bytes.borrow_mut().extend(&slice[..count]);
            room -= count;
        }
        wake(&outgoing.reader);
        Ok(before - room)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &self.outgoing;
        let is_over = outgoing.at_end.get() || outgoing.is_deaf.get();
        if !is_over && outgoing.room() == 0 {
            outgoing.writer.set(Some(LoopWaker::from_context(cx)));
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn write_eof(&self) -> io::Result<()> {
        self.outgoing.end();
        Ok(())
    }

    fn close(&self) {
        self.outgoing.end();
        wake(&self.outgoing.writer);
        self.incoming.stop_reading();
    }

    fn abort(&self) {
        // An end that was closed or dropped before has informed the other end already.
        self.outgoing.is_reset.set(!self.outgoing.at_end.get());
        self.close();
    }
}

impl Drop for MemoryStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for MemoryStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStream")
            .field("readable", &self.incoming.bytes.borrow().len())
            .field("writable", &self.outgoing.room())
            .finish()
    }
}
