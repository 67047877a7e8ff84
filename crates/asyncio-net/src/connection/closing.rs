//! The end of a connection.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{CLOSED, CLOSING, Connection, DROPPED, KEPT, OVER, PUMPED};
use crate::error::SharedError;

impl Connection {
    /// Takes no more, sends what is queued, and ends.
    pub(crate) fn close(self: &Rc<Self>) {
        if self.has(CLOSING) {
            return;
        }
        self.set(CLOSING);
        self.flush();
        if self.queued() == 0 {
            self.lose(None);
        }
    }

    /// Ends at once; what is queued is dropped.
    pub(crate) fn abort(self: &Rc<Self>) {
        self.set(CLOSING);
        self.lose(None);
    }

    /// The connection is over: closed as it should be, or because of `error`.
    pub(crate) fn lose(&self, error: Option<io::Error>) {
        if self.has(CLOSED) {
            return;
        }
        if !self.has(OVER) {
            self.set(OVER);
            self.drop_queue();
            if let Some(error) = error {
                self.rare().error.get_or_init(|| SharedError::new(error));
            }
        }
        if self.has(PUMPED) {
            self.pump_is_to_end();
        } else if self.has(CLOSING) {
            self.closed();
        } else {
            // What the other side sent before may still be read, until the writer is closed.
            self.wake_waiters();
        }
    }

    /// A stream's reader met an error: the connection is over for its writer, too. There is nothing left to be read, so
    /// the descriptor goes.
    #[cold]
    pub(super) fn stream_failed<T>(&self, read: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        let Poll::Ready(Err(error)) = read else { return read };
        self.set(CLOSING);
        self.lose(Some(error));
        Poll::Ready(Err(self.error().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())))
    }

    /// Reads from a connection that has ended: what came before, then the error, if one ended it, or the end of the stream.
    #[cold]
    pub(super) fn poll_rest(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read =
            if self.has(CLOSING) { Poll::Ready(Ok(0)) } else { self.io.poll_read(cx, buffer) };
        let Some(error) = self.error() else { return read };
        match read {
            Poll::Ready(Ok(1..)) => read,
            // The other side took no more, but it had sent everything, its end too.
            Poll::Ready(Ok(0)) | Poll::Pending if self.is_half_broken(&error) => read,
            _ => Poll::Ready(Err(error)),
        }
    }

    /// Whether `error` ended the way out only, and what the other side sent may still be read.
    fn is_half_broken(&self, error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::BrokenPipe && !self.has(CLOSING)
    }

    fn drop_queue(&self) {
        let queue = self.queue.take();
        if let Some(mut queue) = queue {
            self.set(DROPPED);
            queue.clear();
            self.network.give_queue(queue);
        }
    }

    /// Lets go of the descriptor, which stays open; to everybody here the connection is closed. `None` if there is
    /// none to be had.
    pub(crate) fn take_fd(&self) -> Option<OwnedFd> {
        let fd = self.io.take_fd()?;
        self.closed();
        Some(fd)
    }

    /// Gives the descriptor up and tells everybody.
    pub(crate) fn closed(&self) {
        let was_closed = self.has(CLOSED);
        self.set(CLOSING | OVER | CLOSED);
        if self.has(KEPT) {
            // They are remembered once they were asked for, which costs too much to do it for nobody.
            self.io.local_address();
            self.io.peer_address();
        }
        self.io.close();
        self.wake_waiters();
        if let Some(server) = self.server().filter(|_| !was_closed) {
            server.connection_closed(self);
        }
    }
}
