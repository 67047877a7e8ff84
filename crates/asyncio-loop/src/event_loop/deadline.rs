//! Moments that futures wait for.

use std::task::Context;

use super::LoopRef;
use crate::clock::LoopTime;
use crate::kernel::LocalWaker;
use crate::timers::TimerKey;

/// A waker that waits for a moment; dropping it takes the timer out.
#[derive(Debug)]
pub struct Deadline {
    key: TimerKey,
    event_loop: LoopRef,
}

impl LoopRef {
    /// Wakes `waker` at `when`, unless the [`Deadline`] is dropped before.
    #[must_use]
    pub fn wake_at(&self, when: LoopTime, waker: LocalWaker) -> Deadline {
        let key = self.0.timers.borrow_mut().insert(when.as_nanos(), waker);
        Deadline { key, event_loop: self.clone() }
    }
}

impl Deadline {
    /// Wakes this instead of the waker given before. False if the moment has come already.
    pub fn set_waker(&self, cx: &Context<'_>) -> bool {
        let mut timers = self.event_loop.0.timers.borrow_mut();
        let Some(waker) = timers.get_mut(self.key) else { return false };
        if !waker.will_wake(cx) {
            let old = std::mem::replace(waker, LocalWaker::from_context(cx));
            drop(timers);
            drop(old);
        }
        true
    }

    /// Whether the moment has not come yet.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.event_loop.0.timers.borrow().deadline(self.key).is_some()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.event_loop.0.remove_timer(self.key);
    }
}
