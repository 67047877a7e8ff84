//! The loop on which tasks wait for a primitive.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_loop::inspect::{Describe, Resources};
use asyncio_loop::machinery::with_running;
use asyncio_loop::{LoopRef, running_loop};

/// The loop on which the last future began to wait, if it was one of this project.
#[derive(Debug, Default)]
pub(crate) struct LoopBinding(RefCell<Option<LoopRef>>);

impl LoopBinding {
    /// Checks that a future of the running loop may wait for a primitive. The loop notes
    /// `resource`, by which its reports describe the primitive.
    ///
    /// # Panics
    ///
    /// If futures of another loop wait for it, and that loop is not closed.
    #[inline(always)]
    pub(crate) fn check<T: Describe + 'static>(&self, resource: &Rc<T>) {
        // If no loop of this project runs, any executor is accepted.
        let is_bound = with_running(|running| self.0.borrow().as_ref() == Some(running));
        if is_bound == Ok(false) {
            self.settle(resource);
        }
    }

    /// Binds the primitive to the running loop. A closed loop loses the primitive, because nothing
    /// waits there.
    #[cold]
    fn settle<T: Describe + 'static>(&self, resource: &Rc<T>) {
        let running = running_loop();
        running.local::<Resources>().add(resource);
        let before = self.0.replace(Some(running.clone()));
        if let Some(before) = before.filter(|before| !before.is_closed()) {
            self.0.replace(Some(before.clone()));
            panic!(
                "this lock, event, queue or the like is attached to a different loop, {before:?}, \
                 than the one it is awaited on, {running:?}"
            );
        }
    }
}
