//! Sending a file between writes.

use std::fs::File;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use super::{ALONE, Connection};

impl Connection {
    /// Lets the system send a part of the file.
    pub(crate) fn poll_sendfile(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        file: &File,
        offset: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if !self.is_open() {
                let aborted = || io::ErrorKind::ConnectionAborted.into();
                return Poll::Ready(Err(self.error().unwrap_or_else(aborted)));
            }
            match self.io.try_sendfile(file, offset, count) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.io.poll_write_ready(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_end(&error) => {
                    self.fail(error);
                }
                result => return Poll::Ready(result),
            }
        }
    }

    /// Writes a part of the file that was read.
    pub(crate) fn write_block(self: &Rc<Self>, block: Bytes) {
        self.clear(ALONE);
        self.write_bytes(block);
        self.flush();
        self.set(ALONE);
    }
}

/// Whether the connection is gone.
fn is_end(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, TimedOut};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | TimedOut
    )
}
