//! Waiting for the end of a connection. The waiting task may be the only one that uses the
//! connection, so a hidden task watches the descriptor meanwhile.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Connection, WATCHED};
use crate::waiters::Place;

impl Connection {
    /// Waits until the connection has ended: the descriptor is closed, or the connection failed.
    pub(crate) fn poll_closed(
        self: &Rc<Self>,
        cx: &Context<'_>,
        place: &Place,
    ) -> Poll<io::Result<()>> {
        if self.is_over() {
            return Poll::Ready(self.error().map_or(Ok(()), Err));
        }
        self.watch();
        self.wait(cx, place);
        Poll::Pending
    }

    /// Starts a task that notices when the connection is lost. While the connection is closing, the
    /// flusher notices it.
    fn watch(self: &Rc<Self>) {
        if self.has(WATCHED) || !self.is_open() {
            return;
        }
        self.set(WATCHED);
        let connection = self.clone();
        let place = Place::default();
        self.network.spawn(poll_fn(move |cx| {
            if !connection.is_open() || connection.poll_lost(cx).is_ready() {
                return Poll::Ready(());
            }
            // Wakes this wait when the connection ends otherwise.
            connection.wait(cx, &place);
            Poll::Pending
        }));
    }

    /// Waits until the connection is lost.
    pub(crate) fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        if let Some(error) = self.error() {
            return Poll::Ready(error);
        }
        let lost = self.io.poll_lost(cx);
        lost.map(|error| {
            self.fail(error);
            self.error().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into())
        })
    }
}
