//! The end of a connection whose stream may be left on another thread.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use super::StreamWriter;
use crate::connection::Connection;

/// Closes a connection when it is dropped, unless it was disarmed.
///
/// The loop keeps it: when the loop is closed, it drops the closer and thereby the descriptor, also
/// if the stream is on another thread.
pub struct Closer {
    connection: Rc<Connection>,
    is_armed: Cell<bool>,
}

impl Closer {
    /// Creates an armed closer, on the thread of the connection's loop.
    #[must_use]
    pub fn new(writer: &StreamWriter) -> Self {
        Self { connection: Rc::clone(writer.connection()), is_armed: Cell::new(true) }
    }

    /// Leaves the connection to its streams.
    pub fn disarm(&self) {
        self.is_armed.set(false);
    }
}

impl Drop for Closer {
    fn drop(&mut self) {
        if self.is_armed.get() {
            self.connection.close();
            if self.connection.network().event_loop().is_closed() {
                // No task is left to send the bytes that the socket has not taken.
                self.connection.abort();
            }
        }
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closer").finish_non_exhaustive()
    }
}
