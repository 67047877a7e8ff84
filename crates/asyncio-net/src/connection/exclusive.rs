//! Exclusive output: all other writers are refused.

use std::io;
use std::rc::Rc;

use super::{ALONE, Connection, EOF_ASKED};

/// A guard. Until it is dropped, writes to the connection panic.
pub(crate) struct Exclusive(Rc<Connection>);

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.0.clear(ALONE);
    }
}

impl Connection {
    /// Forbids writes until the returned guard is dropped. Bytes that were written before are still
    /// sent.
    ///
    /// # Panics
    ///
    /// After `write_eof`, and while another guard exists.
    pub(crate) fn exclusive(self: &Rc<Self>) -> io::Result<Exclusive> {
        assert!(!self.has(EOF_ASKED), "cannot write after write_eof");
        assert!(!self.has(ALONE), "the connection is in other hands");
        if !self.is_open() {
            return Err(self.error().unwrap_or_else(|| io::ErrorKind::NotConnected.into()));
        }
        self.set(ALONE);
        self.flush();
        Ok(Exclusive(self.clone()))
    }
}
