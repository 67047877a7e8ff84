//! quinn's timers on the clock of a loop.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use asyncio_loop::{Deadline, LoopWaker, running_loop};
use asyncio_task::machinery::Kept;
use quinn::{AsyncTimer, Runtime};

use crate::runtime::LoopRuntime;

/// quinn resets the timer for nearly every packet, so the deadline keeps its entry.
#[derive(Debug)]
pub(crate) struct Timer {
    when: Instant,
    runtime: LoopRuntime,
    /// Created by the first poll that has to wait, since any thread may create a timer.
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
        // On another thread the old deadline stays and wakes the task once unnecessarily.
        if let Some(deadline) = self.deadline.as_ref().and_then(Kept::get) {
            drop(deadline.take());
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let event_loop = running_loop();
        let place = this.deadline.get_or_insert_with(|| Kept::new(&event_loop, RefCell::default()));
        // The tasks that poll this timer end with the loop.
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
