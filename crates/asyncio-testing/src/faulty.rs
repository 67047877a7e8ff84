//! Streams with faulty reads and writes.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{LoopWaker, running_loop};
use asyncio_net::{
    Address, ByteSource, ByteStream, Layer, MemoryStream, PlainStream, SockRef, Socket,
    StreamReader, StreamWriter, memory_pair, stream_over,
};

use crate::conductor::Conductor;

/// How many bytes a direction holds, in [`memory_stream_pair`].
const CAPACITY: usize = 64 * 1024;
/// The maximum number of bytes of a short read or write.
const SHORT: usize = 64;
/// How many durations, in milliseconds, a buffer may stay full.
const FULL_FOR: usize = 8;

/// Two ends of a connection in memory, as streams. Each direction holds up to 64 KiB.
///
/// In a simulation, the seed may shorten reads and writes, keep buffers full and reset the
/// connection: see [`Faults`](crate::Faults).
///
/// # Examples
///
/// ```
/// use asyncio_testing::{Faults, Simulation, memory_stream_pair};
///
/// let faults = Faults::new().short_io(0.5);
/// Simulation::new().seeds(10).faults(faults).run(async || {
///     let ((mut reader, writer), (mut peer_reader, peer_writer)) = memory_stream_pair();
///     writer.write(b"ping\n");
///     assert_eq!(peer_reader.read_line().await.unwrap(), "ping\n");
///     peer_writer.write(b"pong\n");
///     assert_eq!(reader.read_line().await.unwrap(), "pong\n");
/// });
/// ```
#[must_use]
pub fn memory_stream_pair() -> ((StreamReader, StreamWriter), (StreamReader, StreamWriter)) {
    let (one, two) = FaultyStream::memory_pair(CAPACITY);
    (stream_over(one), stream_over(two))
}

/// A stream over another one, with the faults [`short_io`](crate::Faults::short_io),
/// [`full_buffer`](crate::Faults::full_buffer) and [`io_error`](crate::Faults::io_error), as the
/// seed of a simulation decides. Outside of a simulation it has no faults.
///
/// It is a [`ByteStream`], for [`stream_over`], transports, TLS and other users of that trait.
///
/// # Examples
///
/// ```
/// use asyncio_net::{memory_pair, stream_over};
/// use asyncio_testing::{Faults, FaultyStream, Simulation};
///
/// let faults = Faults::new().io_error(1.0);
/// Simulation::new().faults(faults).run(async || {
///     let (one, _two) = memory_pair(1024);
///     let (_reader, writer) = stream_over(FaultyStream::new(one));
///     writer.write(b"hello");
///     let error = writer.close().await.unwrap_err();
///     assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
/// });
/// ```
#[derive(Debug)]
pub struct FaultyStream<S> {
    inner: S,
    /// Whether a fault has reset the connection. Both ends of a pair share this.
    reset: Rc<Cell<bool>>,
    full: Rc<Full>,
}

/// Whether a fault keeps the buffer full, and the writer that waits for it.
#[derive(Debug, Default)]
struct Full {
    is_full: Cell<bool>,
    waiter: RefCell<Option<LoopWaker>>,
}

impl<S> FaultyStream<S> {
    /// A stream over `inner`.
    pub fn new(inner: S) -> Self {
        Self::with_reset(inner, Rc::default())
    }

    fn with_reset(inner: S, reset: Rc<Cell<bool>>) -> Self {
        Self { inner, reset, full: Rc::default() }
    }
}

/// Turns each connection of a client or server into a [`FaultyStream`]: for the `layer` of their
/// builders.
///
/// # Examples
///
/// An echo server that answers everything, however its reads and writes are shortened:
///
/// ```
/// use asyncio_net::{open_connection, start_server};
/// use asyncio_testing::{FaultLayer, Faults, Simulation};
///
/// Simulation::new().seeds(5).faults(Faults::new().short_io(0.5)).run(async || {
///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
///         writer.write(&reader.read_to_end().await?);
///         writer.close().await
///     });
///     let server = server.layer(FaultLayer).await?;
///     let client = open_connection(server.local_addr()?).layer(FaultLayer);
///     let (mut reader, writer) = client.await?;
///     writer.write(&[7; 500]);
///     writer.write_eof();
///     assert_eq!(reader.read_to_end().await?, [7; 500][..]);
///     std::io::Result::Ok(())
/// });
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct FaultLayer;

impl<Role> Layer<Role> for FaultLayer {
    type Stream = FaultyStream<PlainStream>;

    async fn wrap(&self, _: Option<&str>, plain: PlainStream) -> io::Result<Self::Stream> {
        Ok(FaultyStream::new(plain))
    }
}

impl FaultyStream<MemoryStream> {
    /// Two streams over a [`memory_pair`]. A fault that resets one of them resets both.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[must_use]
    pub fn memory_pair(capacity: usize) -> (Self, Self) {
        let ((one, two), reset) = (memory_pair(capacity), Rc::default());
        (Self::with_reset(one, Rc::clone(&reset)), Self::with_reset(two, reset))
    }
}

impl<S: ByteStream> FaultyStream<S> {
    /// Fails if a fault has reset the connection, or does so now.
    fn check(&self, conductor: Option<&Rc<Conductor>>) -> io::Result<()> {
        let what = || "a fault resets a stream".to_owned();
        if conductor.is_some_and(|it| it.fault(it.faults().io_error, what)) {
            self.reset.set(true);
            self.inner.abort();
        }
        self.check_reset()
    }

    fn check_reset(&self) -> io::Result<()> {
        if self.reset.get() { Err(ErrorKind::ConnectionReset.into()) } else { Ok(()) }
    }

    /// Decides whether a fault fills the buffer, which then stays full for a while.
    fn fills(&self, conductor: Option<&Rc<Conductor>>) -> bool {
        let what = || "a fault keeps the buffer of a stream full".to_owned();
        let Some(conductor) = conductor.filter(|it| it.fault(it.faults().full_buffer, what)) else {
            return false;
        };
        let full = Rc::clone(&self.full);
        full.is_full.set(true);
        let time = Duration::from_millis(1 + conductor.choose(FULL_FOR) as u64);
        running_loop().call_later(time, move || {
            full.is_full.set(false);
            if let Some(waiter) = full.waiter.take() {
                waiter.wake();
            }
        });
        true
    }
}

/// How many of `count` bytes are transferred, at least one.
fn part(count: usize, conductor: Option<&Rc<Conductor>>) -> usize {
    let what = || "a fault cuts a read or write of a stream short".to_owned();
    match conductor {
        Some(conductor) if count > 1 && conductor.fault(conductor.faults().short_io, what) => {
            1 + conductor.choose((count - 1).min(SHORT))
        }
        _ => count,
    }
}

/// The first `count` bytes of slices.
fn first<'a>(slices: &'a [IoSlice<'_>], mut count: usize) -> Vec<IoSlice<'a>> {
    let mut first = Vec::with_capacity(slices.len());
    for slice in slices {
        let length = slice.len().min(count);
        count -= length;
        first.push(IoSlice::new(&slice[..length]));
    }
    first
}

impl<S: ByteStream> ByteSource for FaultyStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.check_reset()?;
        if self.inner.poll_read_ready(cx)?.is_pending() {
            return Poll::Pending;
        }
        let conductor = Conductor::current();
        self.check(conductor.as_ref())?;
        let count = part(buffer.len(), conductor.as_ref());
        self.inner.poll_read(cx, &mut buffer[..count])
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_reset()?;
        self.inner.poll_read_ready(cx)
    }
}

impl<S: ByteStream> ByteStream for FaultyStream<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let conductor = Conductor::current();
        self.check(conductor.as_ref())?;
        if self.full.is_full.get() || self.fills(conductor.as_ref()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let total = slices.iter().map(|slice| slice.len()).sum();
        match part(total, conductor.as_ref()) {
            count if count < total => self.inner.try_write(&first(slices, count)),
            _ => self.inner.try_write(slices),
        }
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.check_reset()?;
        self.inner.try_sendfile(file, offset, count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check_reset()?;
        if self.full.is_full.get() {
            let before = self.full.waiter.replace(Some(LoopWaker::from_context(cx)));
            drop(before);
            return Poll::Pending;
        }
        self.inner.poll_write_ready(cx)
    }

    fn can_read(&self) -> bool {
        self.inner.can_read()
    }

    fn can_write(&self) -> bool {
        self.inner.can_write()
    }

    fn can_write_eof(&self) -> bool {
        self.inner.can_write_eof()
    }

    fn write_eof(&self) -> io::Result<()> {
        self.check_reset()?;
        self.inner.write_eof()
    }

    fn close(&self) {
        self.inner.close();
    }

    fn abort(&self) {
        self.inner.abort();
    }

    fn take_socket(&self) -> Option<Socket> {
        self.inner.take_socket()
    }

    fn local_address(&self) -> Address {
        self.inner.local_address()
    }

    fn peer_address(&self) -> Address {
        self.inner.peer_address()
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        self.inner.with_socket(look);
    }
}
