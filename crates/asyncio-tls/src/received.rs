//! Records that have come, and the buffers that they are received into.

use std::cell::Cell;
use std::io;
use std::task::{Context, Poll, ready};

use asyncio_net::ByteStream;
use rustls::{Connection, Error};

/// What one read of the stream below may bring: some four full records.
const LENGTH: usize = 64 * 1024;

thread_local! {
    /// The buffer that was used last: mostly the only one in use.
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

fn take_buffer() -> Box<[u8]> {
    let kept = BUFFER.try_with(Cell::take).ok().flatten();
    kept.unwrap_or_else(|| vec![0; LENGTH].into())
}

fn give_buffer(buffer: Box<[u8]>) {
    // Frees it when the thread is ending.
    let _ = BUFFER.try_with(|kept| kept.set(Some(buffer)));
}

/// Records that were received and that the session has not taken. It has memory only while there
/// are some, so a connection that waits has none.
#[derive(Default)]
pub(crate) struct Received {
    buffer: Option<Box<[u8]>>,
    start: usize,
    end: usize,
}

impl Received {
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_none()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Receives, while it is empty. Returns the number of bytes; 0 is the end.
    pub(crate) fn poll_fill<S: ByteStream>(
        &mut self,
        cx: &mut Context<'_>,
        below: &S,
    ) -> Poll<io::Result<usize>> {
        let mut buffer = take_buffer();
        let read = below.poll_read(cx, &mut buffer);
        match &read {
            Poll::Ready(Ok(count @ 1..)) => {
                (self.buffer, self.start, self.end) = (Some(buffer), 0, *count);
            }
            _ => give_buffer(buffer),
        }
        Poll::Ready(ready!(read))
    }

    /// Has the session take some bytes.
    pub(crate) fn give_to(&mut self, session: &mut Connection) -> Result<(), Error> {
        let Some(buffer) = &self.buffer else { return Ok(()) };
        let mut bytes = &buffer[self.start..self.end];
        match session.read_tls(&mut bytes) {
            Err(error) => return Err(Error::General(error.to_string())),
            // After the peer's closing alert nothing counts.
            Ok(0) => self.start = self.end,
            Ok(count) => self.start += count,
        }
        if self.start == self.end {
            self.clear();
        }
        Ok(())
    }

    fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if let Some(buffer) = self.buffer.take() {
            give_buffer(buffer);
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.clear();
    }
}
