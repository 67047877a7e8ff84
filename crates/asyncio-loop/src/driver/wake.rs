//! Wakers to wake once nothing is borrowed any more.

use crate::LocalWaker;

/// Wakers in the order their events came.
#[derive(Debug, Default)]
pub(super) struct WakeList(Vec<LocalWaker>);

impl WakeList {
    pub(super) fn push(&mut self, waker: Option<LocalWaker>) {
        self.0.extend(waker);
    }

    /// Wakes them all. A foreign waker that panics is reported, and keeps nobody from waking.
    pub(super) fn wake_all(&mut self) {
        self.0.drain(..).for_each(LocalWaker::wake);
    }
}
