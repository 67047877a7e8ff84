//! A stream that a user wrote, behind a fence.

use std::any::type_name;
use std::cell::Cell;
use std::fs::File;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};

use asyncio_loop::{ErrorContext, LoopRef, LoopWaker};
use socket2::{SockRef, Socket};

use super::extra::Extra;
use super::source::{ByteSource, ByteStream};
use crate::address::Address;
use crate::fence;

/// A [`ByteStream`] whose methods may panic. A panic is reported and becomes an error of the
/// method, so it ends the connection over the stream and nothing else.
pub(crate) struct Foreign {
    /// `None` while it is dropped.
    stream: Option<Box<dyn ByteStream>>,
    type_name: &'static str,
    event_loop: LoopRef,
    /// The task that waits to read. The closing exchange reads in its place, and wakes it.
    reader: Cell<Option<LoopWaker>>,
}

impl Foreign {
    pub(super) fn new<S: ByteStream + 'static>(event_loop: &LoopRef, stream: S) -> Self {
        Self::boxed(event_loop, Box::new(stream), type_name::<S>())
    }

    pub(super) fn boxed(
        event_loop: &LoopRef,
        stream: Box<dyn ByteStream>,
        type_name: &'static str,
    ) -> Self {
        Self {
            stream: Some(stream),
            type_name,
            event_loop: event_loop.clone(),
            reader: Cell::new(None),
        }
    }

    /// Notes the task that waits to read.
    fn note_reader<T>(&self, cx: &Context<'_>, read: Poll<T>) -> Poll<T> {
        self.reader.set(read.is_pending().then(|| LoopWaker::from_context(cx)));
        read
    }

    /// Calls a method of the stream.
    #[inline]
    fn call<R>(&self, method: impl FnOnce(&dyn ByteStream) -> R) -> io::Result<R> {
        let Some(stream) = &self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        fence::call(|| method(&**stream)).map_err(|panic| self.panicked(&panic))
    }

    #[cold]
    fn panicked(&self, panic: &fence::Panic) -> io::Error {
        let context = ErrorContext::new("fatal error: a method of a stream failed");
        self.event_loop.report(&panic.describe(context).field("stream", self.type_name));
        panic.to_error("the stream")
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        fence::drop_value(&self.event_loop, self.type_name, self.stream.take());
    }
}

impl ByteSource for Foreign {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.call(|stream| stream.poll_read(cx, buffer))?;
        self.note_reader(cx, read)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.call(|stream| stream.poll_read_ready(cx))?;
        self.note_reader(cx, ready)
    }
}

impl ByteStream for Foreign {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.call(|stream| stream.try_write(slices))?
    }

    fn unsent(&self) -> usize {
        // After a panic nothing can be sent any more.
        self.call(|stream| stream.unsent()).unwrap_or(0)
    }

    fn try_flush(&self) -> io::Result<()> {
        self.call(|stream| stream.try_flush())?
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.call(|stream| stream.try_sendfile(file, offset, count))?
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.call(|stream| stream.poll_write_ready(cx))?
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.call(|stream| stream.poll_lost(cx)).unwrap_or_else(Poll::Ready)
    }

    fn can_read(&self) -> bool {
        self.call(|stream| stream.can_read()).unwrap_or(true)
    }

    fn can_write(&self) -> bool {
        self.call(|stream| stream.can_write()).unwrap_or(true)
    }

    fn can_write_eof(&self) -> bool {
        self.call(|stream| stream.can_write_eof()).unwrap_or(false)
    }

    fn write_eof(&self) -> io::Result<()> {
        self.call(|stream| stream.write_eof())?
    }

    fn note_end(&self) {
        let _ = self.call(|stream| stream.note_end());
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(reader) = self.reader.take() {
            fence::wake(&self.event_loop, reader);
        }
        self.call(|stream| stream.poll_close(cx))?
    }

    fn close(&self) {
        // The panic has been reported, and nothing else has to be closed.
        let _ = self.call(|stream| stream.close());
    }

    fn abort(&self) {
        let _ = self.call(|stream| stream.abort());
    }

    fn take_socket(&self) -> Option<Socket> {
        self.call(|stream| stream.take_socket()).ok()?
    }

    fn local_address(&self) -> Address {
        self.call(|stream| stream.local_address()).unwrap_or(Address::Unnamed)
    }

    fn peer_address(&self) -> Address {
        self.call(|stream| stream.peer_address()).unwrap_or(Address::Unnamed)
    }

    fn extra(&self, request: &mut Extra<'_>) {
        let _ = self.call(|stream| stream.extra(request));
    }

    /// Not fenced: `look` is the caller's code, and its panic goes to the caller.
    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        if let Some(stream) = &self.stream {
            stream.with_socket(look);
        }
    }
}
