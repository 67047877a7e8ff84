//! Writing by polling: a write takes the bytes for which there is room, and waits while there is
//! none.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::write::DIRECT;
use super::{BLOCKED, CORKED, Connection, EOF_ASKED, FLUSH_ASKED, FULL, NOT_OPEN};
use crate::io::Io;
use crate::waiters::{Place, Waiting};

/// The maximum that one write queues, so that the queue never exceeds the high-water mark by more.
const QUEUED_AT_ONCE: usize = 64 * 1024;

impl Connection {
    /// Takes bytes from the beginning of `parts`, and returns their number. Waits above the
    /// high-water mark.
    pub(crate) fn poll_write(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        parts: &[&[u8]],
    ) -> Poll<io::Result<usize>> {
        self.check_open()?;
        let length = parts.iter().map(|part| part.len()).sum();
        if !self.takes(length) {
            return Poll::Ready(Ok(0));
        }
        if self.has(FULL) {
            self.wait(cx, &self.rare().writing);
            return Poll::Pending;
        }
        if self.must_give_way() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let sent = if length < DIRECT { 0 } else { self.send(parts) };
        if sent > 0 {
            return Poll::Ready(Ok(sent));
        }
        self.check_open()?;
        Poll::Ready(Ok(self.queue_some(parts)))
    }

    /// Queues the beginning of `parts`; returns its length.
    fn queue_some(self: &Rc<Self>, parts: &[&[u8]]) -> usize {
        let mut room = QUEUED_AT_ONCE;
        self.queue(|queue| {
            for part in parts {
                let count = room.min(part.len());
                room -= count;
                queue.push(&part[..count]);
            }
        });
        QUEUED_AT_ONCE - room
    }

    /// The error that ended the output, also if it was ended from this side.
    fn check_open(&self) -> io::Result<()> {
        match self.error() {
            Some(error) => Err(error),
            None if self.has(EOF_ASKED) || !self.is_open() => Err(io::ErrorKind::BrokenPipe.into()),
            None => Ok(()),
        }
    }

    /// Sends what is queued now rather than at the end of the turn, and waits until everything has
    /// left.
    pub(crate) fn poll_flush(
        self: &Rc<Self>,
        cx: &Context<'_>,
        place: &Place,
    ) -> Poll<io::Result<()>> {
        self.flush();
        if let Some(error) = self.error() {
            return Poll::Ready(Err(error));
        }
        if self.is_cut() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.set(FLUSH_ASKED);
        self.wait(cx, place);
        Poll::Pending
    }

    /// Sends what is queued now rather than at the end of the turn, and waits until everything has
    /// left.
    pub(crate) async fn flushed_now(self: &Rc<Self>) -> io::Result<()> {
        let waiting = Waiting::new(&**self);
        poll_fn(|cx| self.poll_flush(cx, waiting.place())).await
    }

    /// Flushes for a task that polls. One task at a time can do so.
    pub(crate) fn poll_flush_alone(self: &Rc<Self>, cx: &Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes several times for each message, mostly with nothing to send. A queue that
        // is not empty is in the cork, or waits for the socket.
        if !self.has(CORKED | BLOCKED | NOT_OPEN) && matches!(self.io, Io::Socket(_)) {
            return Poll::Ready(Ok(()));
        }
        self.poll_flush(cx, &self.rare().flushing)
    }

    /// Ends the output, and waits until everything has been sent. If the output cannot be ended
    /// alone, the connection is closed.
    pub(crate) fn poll_write_eof(self: &Rc<Self>, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.io.can_write_eof() {
            self.write_eof();
        } else {
            self.close();
        }
        self.poll_flush(cx, &self.rare().flushing)
    }
}
