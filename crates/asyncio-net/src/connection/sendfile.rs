//! Sending a file in between writes.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{CLOSING, Connection, EOF_ASKED, FLUSH_ASKED, OVER, SENDING_FILE};
use crate::sendfile::Alone;

impl Connection {
    /// From now on nothing may be written, until the result is dropped.
    ///
    /// # Panics
    ///
    /// After `write_eof`, and while a file is being sent.
    pub(crate) fn begin_sendfile(self: &Rc<Self>) -> io::Result<Alone> {
        assert!(!self.has(EOF_ASKED), "cannot send a file after write_eof");
        assert!(!self.has(SENDING_FILE), "another file is being sent");
        if self.has(CLOSING | OVER) {
            return Err(self.error().unwrap_or_else(|| io::ErrorKind::NotConnected.into()));
        }
        self.set(SENDING_FILE);
        self.flush();
        Ok(Alone(self.clone()))
    }

    pub(crate) fn end_sendfile(&self) {
        self.clear(SENDING_FILE);
    }

    /// Waits until everything that was written has left.
    pub(crate) fn poll_flushed(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if let Some(error) = self.error() {
            return Poll::Ready(Err(error));
        }
        if self.has(OVER) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.set(FLUSH_ASKED);
        self.wait(cx);
        Poll::Pending
    }

    /// Has the system send a part of the file.
    pub(crate) fn poll_sendfile(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.has(CLOSING | OVER) {
                let aborted = || io::ErrorKind::ConnectionAborted.into();
                return Poll::Ready(Err(self.error().unwrap_or_else(aborted)));
            }
            match self.io.try_sendfile(file, offset, count) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.io.poll_write_ready(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_end(&error) => {
                    self.lose(Some(error));
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes a part of the file that was read.
    pub(crate) fn write_block(self: &Rc<Self>, block: Bytes) {
        self.clear(SENDING_FILE);
        self.write_bytes(block);
        self.flush();
        self.set(SENDING_FILE);
    }
}

/// Whether the connection is no more.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut
    )
}
