//! Reports, in debug mode, cancelled tasks that keep running.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::LoopRef;
use crate::clock::LoopTime;
use crate::context::Context;
use crate::kernel::TaskRef;
use crate::report::ErrorContext;

/// The cancelled tasks, and the time from which each of them is late.
#[derive(Default)]
struct Asked {
    tasks: RefCell<VecDeque<(LoopTime, TaskRef)>>,
    limit: Limit,
}

struct Limit(Cell<Duration>);

impl Default for Limit {
    fn default() -> Self {
        Self(Cell::new(Duration::from_secs(5)))
    }
}

impl Asked {
    /// Removes the late tasks, and the tasks that have ended in time.
    fn take_late(&self, now: LoopTime) -> Vec<TaskRef> {
        let mut tasks = self.tasks.borrow_mut();
        let is_over = |(when, task): &(LoopTime, TaskRef)| *when <= now || task.is_done();
        let count = tasks.iter().take_while(|asked| is_over(asked)).count();
        tasks.drain(..count).map(|(_, task)| task).collect()
    }

    fn next(&self) -> Option<LoopTime> {
        self.tasks.borrow().front().map(|(when, _)| *when)
    }
}

impl LoopRef {
    /// How long a cancelled task may keep running in debug mode before it is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// assert_eq!(EventLoop::new()?.slow_cancel_duration(), Duration::from_secs(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_cancel_duration(&self) -> Duration {
        self.local::<Asked>().limit.0.get()
    }

    /// Sets how long a cancelled task may keep running in debug mode, in its cleanup or while it
    /// waits for awaited tasks, before it is reported. The report comes once for each request. It
    /// has the task's name, the place where the task was created, the origin of the request, and
    /// the place where the task waits. The setting applies to later requests, and is measured by
    /// the loop's clock.
    ///
    /// # From asyncio
    ///
    /// asyncio reports no such tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_slow_cancel_duration(Duration::from_millis(500));
    /// assert_eq!(event_loop.slow_cancel_duration(), Duration::from_millis(500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_slow_cancel_duration(&self, duration: Duration) {
        self.local::<Asked>().limit.0.set(duration);
    }

    /// In debug mode, reports the just cancelled `task` if it has not ended after
    /// [`slow_cancel_duration`](Self::slow_cancel_duration).
    ///
    /// A loop with a director has no such timers: they would change its choices.
    #[doc(hidden)]
    pub fn expect_end(&self, task: &TaskRef) {
        if !self.is_debug() || self.is_closed() || self.director().is_some() {
            return;
        }
        let asked = self.local::<Asked>();
        let when = self.time() + asked.limit.0.get();
        let is_first = asked.tasks.borrow().is_empty();
        asked.tasks.borrow_mut().push_back((when, task.clone()));
        if is_first {
            self.look_for_late(when);
        }
    }

    /// All tasks share one timer.
    fn look_for_late(&self, when: LoopTime) {
        let this = self.clone();
        let look = move || {
            let asked = this.local::<Asked>();
            for task in asked.take_late(this.time()) {
                this.report_late(&task);
            }
            if let Some(next) = asked.next() {
                this.look_for_late(next);
            }
        };
        // The empty context keeps no values of the cancelling task alive.
        Context::new().run(|| self.call_at(when, look));
    }

    fn report_late(&self, task: &TaskRef) {
        if task.is_done() || !task.is_ending() {
            return;
        }
        let reason = task.cancel_reason().unwrap_or_default();
        let context = ErrorContext::new("a task was cancelled and has not ended");
        let context = context
            .with_task(task.clone())
            .field("after", format_args!("{:?}", self.slow_cancel_duration()));
        let context = with(context, "cancelled at", reason.site());
        let context = with(context, "cancelled by", reason.asked_by());
        let context = with(context, "because", reason.message());
        let wait = task.info().wait;
        let context = with(context, "waits for", wait.as_ref());
        self.report(&with(context, "waits at", wait.as_ref().and_then(|wait| wait.at)));
    }
}

fn with(
    context: ErrorContext,
    name: &'static str,
    value: Option<impl fmt::Display>,
) -> ErrorContext {
    match value {
        Some(value) => context.field(name, value),
        None => context,
    }
}
