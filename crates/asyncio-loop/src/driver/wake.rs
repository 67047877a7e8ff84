//! Wakers to wake once nothing is borrowed any more.

use crate::LoopWaker;

/// Wakers in the order their events came.
#[derive(Debug, Default)]
pub(super) struct WakeList(Vec<LoopWaker>);

impl WakeList {
    pub(super) fn push(&mut self, waker: Option<LoopWaker>) {
        self.0.extend(waker);
    }

    /// Wakes them all. If a foreign waker panics, that is reported, and the others are woken.
    pub(super) fn wake_all(&mut self) {
        self.0.drain(..).for_each(LoopWaker::wake);
    }
}
