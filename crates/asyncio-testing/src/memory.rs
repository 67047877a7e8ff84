//! Streams in memory: two ends, without a socket.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{LoopWaker, WaitsFor, running_loop};
use asyncio_net::{ByteSource, ByteStream, StreamReader, StreamWriter, stream_over};

use crate::conductor::Conductor;

/// How many bytes a direction holds, in [`memory_stream_pair`].
const CAPACITY: usize = 64 * 1024;
/// A fault keeps a buffer full for one of so many milliseconds.
const FULL_FOR: usize = 8;

/// Two connected ends of a connection in memory, as streams. Each direction holds up to 64 KiB.
///
/// In a simulation the seed may cut reads and writes short, keep buffers full and reset the
/// connection: see [`Faults`](crate::Faults).
///
/// # Examples
///
/// ```
/// use asyncio_testing::{Simulation, memory_stream_pair};
///
/// Simulation::new().seeds(10).run(async || {
///     let ((mut reader, writer), (mut peer_reader, peer_writer)) = memory_stream_pair();
///     writer.write(b"ping\n");
///     assert_eq!(peer_reader.read_line().await.unwrap(), "ping\n");
///     peer_writer.write(b"pong\n");
///     assert_eq!(reader.read_line().await.unwrap(), "pong\n");
/// });
/// ```
#[must_use]
pub fn memory_stream_pair() -> ((StreamReader, StreamWriter), (StreamReader, StreamWriter)) {
    let (one, two) = MemoryStream::pair(CAPACITY);
    (stream_over(one), stream_over(two))
}

/// One end of a connection in memory.
///
/// It is a [`ByteStream`], for [`stream_over`], TLS, and what else takes one.
///
/// # Examples
///
/// A writer that is faster than its reader waits:
///
/// ```
/// use asyncio_net::{StreamReader, stream_over};
/// use asyncio_task::{create_task, run};
/// use asyncio_testing::{MemoryStream, wait_all_tasks_blocked};
///
/// run(async {
///     let (one, two) = MemoryStream::pair(10);
///     let (_, writer) = stream_over(one);
///     let writing = create_task(async move {
///         writer.write(&[7; 100]);
///         writer.close().await
///     });
///     wait_all_tasks_blocked().await;
///     assert!(!writing.is_done());
///     let (mut reader, _writer) = stream_over(two);
///     assert_eq!(reader.read_to_end().await.unwrap().len(), 100);
///     writing.await.unwrap().unwrap();
/// });
/// ```
#[derive(Clone, Debug)]
pub struct MemoryStream {
    incoming: Rc<Direction>,
    outgoing: Rc<Direction>,
}

/// The bytes from one end to the other.
#[derive(Debug)]
struct Direction {
    capacity: usize,
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: VecDeque<u8>,
    /// No more is written.
    ended: bool,
    /// Nobody reads any more.
    unread: bool,
    reset: bool,
    /// A fault keeps it full.
    full: bool,
    reader: Option<LoopWaker>,
    writer: Option<LoopWaker>,
}

impl Direction {
    fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Self { capacity, state: RefCell::default() })
    }

    /// Changes the state, and wakes both sides.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.state.borrow_mut();
            change(&mut state);
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().flatten().for_each(LoopWaker::wake);
    }

    /// Wakes the reader, or the writer, if it waits.
    fn wake(&self, which: impl FnOnce(&mut State) -> &mut Option<LoopWaker>) {
        let waker = which(&mut self.state.borrow_mut()).take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn room(&self) -> usize {
        let state = self.state.borrow();
        if state.full { 0 } else { self.capacity - state.bytes.len() }
    }
}

impl MemoryStream {
    /// Two connected ends. Each direction holds up to `capacity` bytes that have not been read.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[must_use]
    pub fn pair(capacity: usize) -> (Self, Self) {
        assert!(capacity > 0, "a stream holds one byte at least");
        let (there, back) = (Direction::new(capacity), Direction::new(capacity));
        let one = Self { incoming: Rc::clone(&back), outgoing: Rc::clone(&there) };
        (one, Self { incoming: there, outgoing: back })
    }

    /// Resets the connection: both ends fail from now on, and what was not read is lost.
    pub fn reset(&self) {
        for direction in [&self.incoming, &self.outgoing] {
            direction.change(|state| {
                state.reset = true;
                state.bytes.clear();
            });
        }
    }

    /// Whether a fault resets the connection here.
    fn fails(&self, conductor: Option<&Rc<Conductor>>) -> bool {
        let what = || "a fault resets a stream in memory".to_owned();
        let fails = conductor.is_some_and(|it| it.fault(it.faults().io_error, what));
        if fails {
            self.reset();
        }
        fails
    }

    /// Whether a fault keeps the outgoing buffer full for a while.
    fn fills(&self, conductor: Option<&Rc<Conductor>>) -> bool {
        let what = || "a fault keeps the buffer of a stream in memory full".to_owned();
        let Some(conductor) = conductor.filter(|it| it.fault(it.faults().full_buffer, what)) else {
            return false;
        };
        self.outgoing.state.borrow_mut().full = true;
        let outgoing = Rc::clone(&self.outgoing);
        let time = Duration::from_millis(1 + conductor.choose(FULL_FOR) as u64);
        running_loop().call_later(time, move || outgoing.change(|state| state.full = false));
        true
    }
}

/// How many of `count` bytes go through, one at least.
fn part(count: usize, conductor: Option<&Rc<Conductor>>) -> usize {
    let what = || "a fault cuts a read or write of a stream in memory short".to_owned();
    match conductor {
        Some(conductor) if count > 1 && conductor.fault(conductor.faults().short_io, what) => {
            1 + conductor.choose(count - 1)
        }
        _ => count,
    }
}

impl ByteSource for MemoryStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let conductor = Conductor::current();
        {
            let mut state = self.incoming.state.borrow_mut();
            if state.unread || (state.ended && state.bytes.is_empty() && !state.reset) {
                return Poll::Ready(Ok(0));
            }
            if state.bytes.is_empty() && !state.reset {
                state.reader = Some(LoopWaker::for_wait(cx, WaitsFor::Resource));
                return Poll::Pending;
            }
        }
        if self.fails(conductor.as_ref()) || self.incoming.state.borrow().reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let available = self.incoming.state.borrow().bytes.len();
        let count = part(available.min(buffer.len()), conductor.as_ref());
        let taken = self.incoming.state.borrow_mut().bytes.drain(..count).collect::<Vec<_>>();
        buffer[..count].copy_from_slice(&taken);
        self.incoming.wake(|state| &mut state.writer);
        Poll::Ready(Ok(count))
    }
}

impl ByteStream for MemoryStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let conductor = Conductor::current();
        if self.fails(conductor.as_ref()) || self.outgoing.state.borrow().reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        {
            let state = self.outgoing.state.borrow();
            if state.ended || state.unread {
                return Err(ErrorKind::BrokenPipe.into());
            }
        }
        let total: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.outgoing.room();
        if room == 0 || self.fills(conductor.as_ref()) {
            return Err(ErrorKind::WouldBlock.into());
        }
        let count = part(total.min(room), conductor.as_ref());
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied()).take(count);
        self.outgoing.state.borrow_mut().bytes.extend(bytes);
        self.outgoing.wake(|state| &mut state.reader);
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_room = self.outgoing.room() > 0;
        let mut state = self.outgoing.state.borrow_mut();
        if has_room || state.reset || state.ended || state.unread {
            return Poll::Ready(Ok(()));
        }
        state.writer = Some(LoopWaker::for_wait(cx, WaitsFor::Resource));
        Poll::Pending
    }

    fn write_eof(&self) -> io::Result<()> {
        self.outgoing.change(|state| state.ended = true);
        Ok(())
    }

    fn close(&self) {
        self.outgoing.change(|state| state.ended = true);
        self.incoming.change(|state| state.unread = true);
    }

    fn abort(&self) {
        self.reset();
        self.close();
    }
}
