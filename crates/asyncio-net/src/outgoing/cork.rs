//! Connections whose small writes leave together, at the end of the turn.

use std::cell::{Cell, RefCell};
use std::mem;
use std::rc::Rc;

/// The number of connections that wait behind the first before all of them send, while their bytes
/// are still in the cache.
pub(crate) const BEHIND: usize = 15;

/// A connection that has something to send.
pub(crate) trait Corked {
    /// Sends the queued bytes.
    fn uncorked(self: Rc<Self>);
}

/// The connections of a loop that have something to send, in first-in-first-out order.
#[derive(Default)]
pub(crate) struct Cork {
    first: Cell<Option<Rc<dyn Corked>>>,
    behind: RefCell<Vec<Rc<dyn Corked>>>,
    /// The memory of `behind`, while its connections send.
    leaving: RefCell<Vec<Rc<dyn Corked>>>,
}

impl Cork {
    /// Makes `connection` send at the end of the turn. Returns whether it is the first one, for
    /// which a call at the end of the turn has to be requested.
    #[inline]
    pub(crate) fn add(&self, connection: Rc<dyn Corked>) -> bool {
        match self.first.take() {
            None => {
                self.first.set(Some(connection));
                true
            }
            Some(first) => self.add_behind(first, connection),
        }
    }

    fn add_behind(&self, first: Rc<dyn Corked>, connection: Rc<dyn Corked>) -> bool {
        self.first.set(Some(first));
        if self.behind.borrow().len() == BEHIND {
            self.uncork();
        }
        // A protocol may have written while other connections sent.
        let first = self.first.take();
        let is_first = first.is_none();
        if is_first {
            self.first.set(Some(connection));
        } else {
            self.first.set(first);
            self.behind.borrow_mut().push(connection);
        }
        is_first
    }

    /// Makes a connection send now if it is the only one: the task that wrote to it waits for the
    /// answer.
    #[inline]
    pub(crate) fn uncork_lone(&self) {
        if self.behind.borrow().is_empty() {
            self.uncork();
        }
    }

    /// Makes all connections send.
    #[inline]
    pub(crate) fn uncork(&self) {
        if let Some(first) = self.first.take() {
            if self.behind.borrow().is_empty() {
                return first.uncorked();
            }
            self.uncork_all(first);
        }
    }

    fn uncork_all(&self, first: Rc<dyn Corked>) {
        let empty = self.leaving.take();
        let mut behind = self.behind.replace(empty);
        first.uncorked();
        for connection in behind.drain(..) {
            connection.uncorked();
        }
        mem::swap(&mut *self.leaving.borrow_mut(), &mut behind);
    }
}
