//! The kernel's data about a task, for inspection.

use std::panic::Location;

use super::header::TaskPtr;
use super::task_ref::TaskRef;
use crate::kernel::header::{DONE, HIDDEN, RUNNING, SCHEDULED};
use crate::kernel::scheduler::Tick;
use crate::kernel::waits_for::{Wait, WaitsFor};

/// See the function of the same name.
pub(crate) struct Look {
    pub(crate) created: Tick,
    /// The tick in which the last poll ended.
    pub(crate) since: Tick,
    pub(crate) polls: u32,
    /// The number of the task that made it.
    pub(crate) parent: Option<u64>,
    pub(crate) wait: Option<LookAtWait>,
}

/// What a blocked task waits for.
pub(crate) struct LookAtWait {
    pub(crate) wait: Wait,
    pub(crate) site: Option<&'static Location<'static>>,
    pub(crate) awaited: Option<TaskRef>,
}

impl TaskRef {
    pub(crate) fn look(&self) -> Look {
        let task = self.ptr();
        let flags = task.flags.get();
        let is_blocked = flags & (DONE | RUNNING | SCHEDULED) == 0;
        let what = WaitsFor::of_flags(flags).filter(|_| is_blocked);
        let wait = what.map(|what| LookAtWait {
            wait: Wait::of_task(what, task.wait_detail()),
            site: task.wait_site(),
            awaited: task.awaited().map(Self::share),
        });
        Look {
            created: task.created,
            since: task.since.get(),
            polls: task.polls.get(),
            parent: parent(task),
            wait,
        }
    }

    /// The numbers of the tasks that await this one and have said so to it.
    pub(in crate::kernel) fn noted_awaiters(&self) -> Vec<u64> {
        let task = self.ptr();
        let is_seen = task.awaiter_here().is_none_or(|task| !task.has(HIDDEN));
        let awaiter = task.awaiter_number().filter(|_| is_seen);
        let mut awaiters: Vec<u64> = awaiter.into_iter().collect();
        task.with_extra(|extra| {
            if let Some(extra) = extra.get() {
                let told = extra.awaited_by.iter().filter(|(told, _)| !told.is_cancelled());
                awaiters.extend(told.map(|(_, awaiter)| *awaiter));
            }
        });
        awaiters
    }
}

/// A task knows half of the number of the one that made it: a smaller number, since numbers rise.
fn parent(task: TaskPtr) -> Option<u64> {
    const HALF: u64 = 1 << 32;
    if task.parent == 0 || task.has(HIDDEN) {
        return None;
    }
    let parent = task.id / HALF * HALF + u64::from(task.parent);
    if parent < task.id { Some(parent) } else { parent.checked_sub(HALF) }
}
