//! Turns of a loop that its director drives, beside another loop on the same thread.
//!
//! One of the loops is run as usual. Between two of its turns its director makes the turns of the
//! others.

use std::panic::Location;

use super::LoopRef;
use super::marks::{GUIDED, STOPPING};
use super::running::run_driven;
use crate::clock::LoopTime;

impl LoopRef {
    /// Makes one turn of a loop that has a director, whichever loop runs.
    ///
    /// # Panics
    ///
    /// If called in the step of a task, and without a director.
    #[doc(hidden)]
    #[track_caller]
    pub fn turn_driven(&self) {
        assert!(self.0.marks.has(GUIDED), "a loop beside another one has a director");
        if self.is_closed() {
            return;
        }
        self.run_in(|| self.0.guided_turn().expect("the poller of a loop works"));
        // There is no run that it could end.
        self.0.marks.set(STOPPING, false);
    }

    /// Runs `f` inside this loop, whichever loop runs.
    ///
    /// # Panics
    ///
    /// If called in the step of a task.
    #[doc(hidden)]
    #[track_caller]
    pub fn run_in<R>(&self, f: impl FnOnce() -> R) -> R {
        run_driven(self, Location::caller(), f)
    }

    /// Closes the loop, whichever loop runs.
    ///
    /// # Panics
    ///
    /// If called in the step of a task.
    #[doc(hidden)]
    #[track_caller]
    pub fn close_driven(&self) {
        if self.is_closed() {
            return;
        }
        self.0.restore_candidates();
        self.end_rest();
        self.run_in(|| self.discard());
        self.leave_host();
    }

    /// Whether a turn of a loop with a director would do something.
    #[doc(hidden)]
    #[must_use]
    pub fn has_work(&self) -> bool {
        self.0.has_guided_work()
            || self.0.scheduler.has_remote()
            || self.0.next_deadline().is_some_and(|deadline| deadline <= self.0.clock.now())
    }

    /// Whether another thread or a descriptor could still wake the loop.
    #[doc(hidden)]
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.0.scheduler.is_held_elsewhere() || self.0.driver.is_watching()
    }

    /// The next deadline of its timers.
    #[doc(hidden)]
    #[must_use]
    pub fn next_deadline(&self) -> Option<LoopTime> {
        self.0.next_deadline().map(LoopTime::from_nanos)
    }

    /// Moves a virtual clock forward. The timers that fall due fire in the next turn.
    #[doc(hidden)]
    pub fn advance_to(&self, moment: LoopTime) {
        self.0.clock.advance_to(moment.as_nanos());
    }
}
