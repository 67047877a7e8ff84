//! Wakers to wake once nothing is borrowed any more.

use crate::LocalWaker;

/// Wakers in the order their events came.
#[derive(Debug, Default)]
pub(super) struct WakeList(Vec<LocalWaker>);

impl WakeList {
    pub(super) fn push(&mut self, waker: Option<LocalWaker>) {
        self.0.extend(waker);
    }

    /// Wakes them all. A foreign waker that panics does not keep the rest from waking.
    pub(super) fn wake_all(&mut self) {
        let mut rest = Rest(self.0.drain(..));
        rest.wake();
    }
}

struct Rest<'a>(std::vec::Drain<'a, LocalWaker>);

impl Rest<'_> {
    fn wake(&mut self) {
        for waker in self.0.by_ref() {
            waker.wake();
        }
    }
}

impl Drop for Rest<'_> {
    fn drop(&mut self) {
        self.wake();
    }
}
