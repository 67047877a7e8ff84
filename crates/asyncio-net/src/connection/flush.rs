//! The flusher, which sends the bytes that the socket did not take at first.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::{BLOCKED, Connection, EOF_ASKED, FLUSH_ASKED, FULL, NOT_OPEN};
use crate::waiters::{Place, Waiting};

impl Connection {
    pub(super) fn start_flusher(self: &Rc<Self>) {
        self.set(BLOCKED);
        let connection = self.clone();
        self.network.spawn(poll_fn(move |cx| connection.poll_flusher(cx)));
    }

    fn poll_flusher(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_over() {
            let result = match ready!(self.io.poll_write_ready(cx)) {
                Ok(()) => self.transmit(self.queue.take(), &[]).1,
                Err(error) => Err(error),
            };
            match result {
                Ok(()) => {
                    self.clear(BLOCKED);
                    self.flushed();
                    return Poll::Ready(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.check_low();
                }
                Err(error) => self.fail(error),
            }
        }
        Poll::Ready(())
    }

    /// Called when everything has been sent.
    #[inline]
    pub(super) fn flushed(self: &Rc<Self>) {
        if self.has(FULL | FLUSH_ASKED | EOF_ASKED | NOT_OPEN) {
            self.tell_flushed();
        }
    }

    fn tell_flushed(self: &Rc<Self>) {
        if self.check_low() && self.queued() > 0 {
            // Writers were told to go on, and have written.
            return;
        }
        if self.has(FLUSH_ASKED) {
            self.clear(FLUSH_ASKED);
            self.wake_waiters();
        }
        if self.has(EOF_ASKED) && self.is_open() {
            self.send_eof();
        }
        if self.is_closing() {
            self.ended();
        }
    }

    /// Waits until everything that was written has been sent.
    pub(crate) async fn drained(&self) -> io::Result<()> {
        let waiting = Waiting::new(self);
        poll_fn(|cx| self.poll_flushed(cx, waiting.place())).await
    }

    pub(crate) fn poll_flushed(&self, cx: &Context<'_>, place: &Place) -> Poll<io::Result<()>> {
        if let Some(error) = self.error() {
            return Poll::Ready(Err(error));
        }
        if self.is_over() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if self.queued() == 0 {
            return Poll::Ready(Ok(()));
        }
        self.set(FLUSH_ASKED);
        self.wait(cx, place);
        Poll::Pending
    }

    /// Sends the end of the output, once everything has been sent.
    pub(crate) fn write_eof(self: &Rc<Self>) {
        if self.has(EOF_ASKED) || !self.is_open() {
            return;
        }
        if !self.io.can_read() {
            return self.close();
        }
        let can_end = self.io.can_write_eof() || !self.io.can_write();
        assert!(can_end, "cannot write_eof: one direction cannot be ended without the other");
        self.flush();
        self.set(EOF_ASKED);
        if self.queued() == 0 && self.is_open() {
            self.send_eof();
        }
    }

    fn send_eof(self: &Rc<Self>) {
        match self.io.write_eof().and_then(|()| self.io.try_flush()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.start_flusher(),
            Err(error) if error.kind() != io::ErrorKind::NotConnected => self.fail(error),
            _ => {}
        }
    }
}
