//! The tasks that wait until a socket is writable.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};

/// Each connection of an endpoint waits separately, but a `Source` has only one waiter per
/// direction. This is that waiter, and it wakes all connections.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    waiting: Mutex<BTreeMap<u64, Waker>>,
    next: AtomicU64,
}

impl Writers {
    /// A number for a new connection.
    pub(crate) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Sets the connection's waker, in place of its previous one.
    pub(crate) fn wait(&self, number: u64, waker: &Waker) {
        let mut waiting = self.waiting();
        let is_known = waiting.get(&number).is_some_and(|known| known.will_wake(waker));
        let before = if is_known { None } else { waiting.insert(number, waker.clone()) };
        drop(waiting);
        drop(before);
    }

    pub(crate) fn leave(&self, number: u64) {
        let waker = self.waiting().remove(&number);
        drop(waker);
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<u64, Waker>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Writers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let waiting = mem::take(&mut *self.waiting());
        waiting.into_values().for_each(Waker::wake);
    }
}
