//! Reports, in debug mode, a deadlock: all tasks wait, and nothing could wake one.

use super::running::try_running_loop;
use super::{Inner, LoopRef};
use crate::inspect::TaskInfo;
use crate::report::ErrorContext;
use crate::signals::internal_listeners;

impl Inner {
    /// Reports tasks that would wait forever: nothing is ready, there is no deadline, no file
    /// descriptor is watched, no other thread has a waker or handle, and no user task listens for
    /// signals. Reports once for each such rest of the loop.
    #[cold]
    pub(super) fn report_deadlock(&self) {
        if !self.is_idle() || self.scheduler.has_remote() || self.next_deadline().is_some() {
            self.deadlock_told.set(false);
            return;
        }
        let Ok(event_loop) = try_running_loop() else { return };
        if self.deadlock_told.get() || self.can_be_woken(&event_loop) {
            return;
        }
        let waiting: Vec<String> =
            event_loop.all_tasks().iter().map(|task| line(&task.info())).collect();
        if !waiting.is_empty() {
            self.deadlock_told.set(true);
            let message = "all tasks wait, and nothing is left that could wake one";
            event_loop.report(&ErrorContext::new(message).field("waiting", waiting.join("; ")));
        }
    }

    fn can_be_woken(&self, event_loop: &LoopRef) -> bool {
        let Some(signals) = internal_listeners(event_loop) else { return true };
        let own = signals + usize::from(self.watched.borrow().is_some());
        self.scheduler.holders() > own || self.driver.watched() > usize::from(signals > 0)
    }
}

/// A task, and what it waits for.
fn line(task: &TaskInfo) -> String {
    let name = format!("\"{}\" created at {}", task.name, task.created_at);
    match &task.wait {
        None => name,
        Some(wait) => match wait.at {
            Some(at) => format!("{name} waits for {wait} at {at}"),
            None => format!("{name} waits for {wait}"),
        },
    }
}
