//! A connection in memory.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice, Read};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_net::{ByteSource, ByteStream, StreamReader, StreamWriter, stream_over};

/// How many bytes may be in transit in one direction, like a socket's buffer.
const ROOM: usize = 64 * 1024;

/// Both ends of a connection.
pub(crate) fn pair() -> ((StreamReader, StreamWriter), (StreamReader, StreamWriter)) {
    let (there, back) = (Rc::<Direction>::default(), Rc::<Direction>::default());
    let near = End { incoming: Rc::clone(&back), outgoing: Rc::clone(&there) };
    let far = End { incoming: there, outgoing: back };
    (stream_over(near), stream_over(far))
}

/// The bytes in transit in one direction.
#[derive(Default)]
struct Direction {
    bytes: RefCell<VecDeque<u8>>,
    /// Whether the writer has closed the direction.
    is_ended: Cell<bool>,
    /// Whether the reader is gone.
    is_unread: Cell<bool>,
    reader: Cell<Option<Waker>>,
    writer: Cell<Option<Waker>>,
}

impl Direction {
    fn end(&self) {
        self.is_ended.set(true);
        wake(&self.reader);
    }

    fn stop_reading(&self) {
        self.is_unread.set(true);
        wake(&self.writer);
        wake(&self.reader);
    }
}

fn wake(place: &Cell<Option<Waker>>) {
    if let Some(waker) = place.take() {
        waker.wake();
    }
}

/// One end of a connection.
struct End {
    incoming: Rc<Direction>,
    outgoing: Rc<Direction>,
}

impl ByteSource for End {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let incoming = &self.incoming;
        if incoming.is_unread.get() {
            return Poll::Ready(Ok(0));
        }
        if incoming.bytes.borrow().is_empty() && !incoming.is_ended.get() {
            incoming.reader.set(Some(cx.waker().clone()));
            return Poll::Pending;
        }
        let count = incoming.bytes.borrow_mut().read(buffer);
        wake(&incoming.writer);
        Poll::Ready(count)
    }
}

impl ByteStream for End {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let outgoing = &self.outgoing;
        if outgoing.is_unread.get() || outgoing.is_ended.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let mut bytes = outgoing.bytes.borrow_mut();
        let before = bytes.len();
        for slice in slices {
            let room = ROOM - bytes.len();
            bytes.extend(&slice[..slice.len().min(room)]);
        }
        let count = bytes.len() - before;
        drop(bytes);
        if count == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        wake(&outgoing.reader);
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &self.outgoing;
        let is_full = outgoing.bytes.borrow().len() == ROOM;
        if is_full && !outgoing.is_unread.get() {
            outgoing.writer.set(Some(cx.waker().clone()));
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
        self.incoming.stop_reading();
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.close();
    }
}
