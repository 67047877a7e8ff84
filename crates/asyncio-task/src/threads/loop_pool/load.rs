//! The load of a loop, visible to every thread.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

/// The number of futures that were given to a loop and have not ended.
#[derive(Debug, Default)]
pub(super) struct Load {
    count: AtomicUsize,
    /// The waker of the loop that waits until there are none.
    waiting: Mutex<Option<Waker>>,
}

/// A counted future, until dropped.
#[derive(Debug)]
pub(super) struct Counted(Arc<Load>);

impl Load {
    pub(super) fn count(self: &Arc<Self>) -> Counted {
        self.count.fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(self))
    }

    pub(super) fn get(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until all have ended.
    pub(super) async fn until_none(&self) {
        poll_fn(|cx| {
            // The waker is stored before the count is read. The last future looks for a waker after
            // it has counted down, so one of the two sees the other.
            drop(self.note(Some(cx.waker().clone())));
            if self.get() == 0 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Replaces the waker of the waiting loop, and returns the previous one, to be used with
    /// nothing locked.
    fn note(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *waiting, waker)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            if let Some(waker) = self.0.note(None) {
                waker.wake();
            }
        }
    }
}
