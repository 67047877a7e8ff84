//! Keeping everybody else from writing.

use std::io;
use std::rc::Rc;

use super::{ALONE, Connection, EOF_ASKED};

/// Until this is dropped, writes to the connection panic.
pub(crate) struct Exclusive(Rc<Connection>);

impl Drop for Exclusive {
    fn drop(&mut self) {
        self.0.clear(ALONE);
    }
}

impl Connection {
    /// From now on nothing may be written, until the result is dropped. Bytes that were written
    /// before are on their way.
    ///
    /// # Panics
    ///
    /// After `write_eof`, and while somebody else is alone.
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
