//! quinn's timers on the clock of a loop.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use asyncio_loop::{Deadline, LoopWaker, running_loop};
use asyncio_task::machinery::Kept;
use quinn::{AsyncTimer, Runtime};

use crate::runtime::LoopRuntime;

/// Reset for nearly every packet, so the place of its deadline stays.
#[derive(Debug)]
pub(crate) struct Timer {
    when: Instant,
    runtime: LoopRuntime,
    /// Made by the first poll that has to wait: timers are made on any thread.
    deadline: Option<Kept<RefCell<Option<Deadline>>>>,
}

impl Timer {
    pub(crate) fn new(runtime: LoopRuntime, when: Instant) -> Self {
        Self { when, runtime, deadline: None }
    }
}

impl AsyncTimer for Timer {
    fn reset(mut self: Pin<&mut Self>, when: Instant) {
        self.when = when;
        // Elsewhere the old moment wakes the task once more than it has to.
        if let Some(deadline) = self.deadline.as_ref().and_then(Kept::get) {
            drop(deadline.take());
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let event_loop = running_loop();
        let place = this.deadline.get_or_insert_with(|| Kept::new(&event_loop, RefCell::default()));
        // The tasks that poll this end with the loop.
        let Some(deadline) = place.get() else { return Poll::Pending };
        if let Some(deadline) = &*deadline.borrow() {
            return if deadline.set_waker(cx) { Poll::Pending } else { Poll::Ready(()) };
        }
        let wait = this.when.saturating_duration_since(this.runtime.now());
        if wait.is_zero() {
            return Poll::Ready(());
        }
        let waker = LoopWaker::from_context(cx);
        deadline.replace(Some(event_loop.wake_at(event_loop.time() + wait, waker)));
        Poll::Pending
    }
}
