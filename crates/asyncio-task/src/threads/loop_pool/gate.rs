//! The event by which the tasks of a pool's loop learn that the pool is stopping.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::machinery::{WaitKey, WaitList, at_await};
use asyncio_loop::{LoopWaker, WaitsFor, running_loop};

/// Whether the loop has to stop. Each loop has one gate.
pub(super) struct Gate {
    open: Cell<bool>,
    waiting: RefCell<WaitList<LoopWaker>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: Cell::new(false), waiting: RefCell::new(WaitList::new()) }
    }
}

impl Gate {
    /// Opens the gate: wakes all waiters, and later ones do not wait.
    pub(super) fn open(&self) {
        self.open.set(true);
        let waiting = self.waiting.replace(WaitList::new());
        waiting.iter().for_each(LoopWaker::wake_by_ref);
    }

    pub(super) async fn passed(self: Rc<Self>) {
        let mut place = Place { gate: &self, key: None };
        poll_fn(|cx| {
            if self.open.get() {
                return Poll::Ready(());
            }
            place.take(LoopWaker::for_wait(cx, WaitsFor::Resource));
            Poll::Pending
        })
        .await;
    }
}

/// The place of a waiter, until dropped.
struct Place<'a> {
    gate: &'a Gate,
    key: Option<WaitKey>,
}

impl Place<'_> {
    fn take(&mut self, waker: LoopWaker) {
        self.leave();
        self.key = Some(self.gate.waiting.borrow_mut().push(waker));
    }

    fn leave(&mut self) {
        let Some(key) = self.key.take() else { return };
        let left = self.gate.waiting.borrow_mut().remove(key);
        drop(left);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// See [`LoopPool::stopping`](super::LoopPool::stopping).
pub(super) fn until_stopping() -> impl Future<Output = ()> {
    at_await(async { running_loop().local::<Gate>().passed().await })
}
