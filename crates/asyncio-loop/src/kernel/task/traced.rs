//! The events of a task, for hooks of the loop.
//!
//! A task with the flag `TRACED` leaves the fast path at each event, where other flags are tested
//! anyway. So a loop without hooks pays nothing.

use super::header::TaskPtr;
use super::recorded;
use crate::kernel::header::{HIDDEN, RECORDED, Runnable, RunnableRef, TRACED};
use crate::kernel::host::{self, Moment};
use crate::kernel::local_scheduler::LocalScheduler;
use crate::kernel::scheduler::{Local, Request};

/// Reports an event of a `TRACED` task to the host, if that wants it. The host gets no events of
/// hidden tasks.
#[inline]
pub(super) fn tell(task: TaskPtr, moment: Moment) {
    let hooked = task.get().scheduler().with(|local| local.hooked);
    if hooked && !task.has(HIDDEN) {
        host::traced(&RunnableRef::share(task.get()), moment);
    }
}

/// Reports that a task was made, to the recorder and to hooks.
#[cold]
pub(in crate::kernel) fn created(task: Runnable) {
    let Some(task) = TaskPtr::of(task) else { return };
    if task.has(RECORDED) {
        recorded::created(task);
    }
    if task.has(TRACED) {
        tell(task, Moment::Created);
    }
}

impl LocalScheduler {
    /// Switches the events for the host on or off.
    pub(crate) fn set_hooked(&self, yes: bool) {
        self.ptr().with(|local| {
            local.hooked = yes;
            local.mark_tasks(TRACED, yes);
            local.traced.iter().for_each(Request::mark);
        });
    }
}

impl Local {
    /// Sets or clears a flag of all tasks and of new ones.
    pub(super) fn mark_tasks(&mut self, flag: u32, yes: bool) {
        self.new_flags = if yes { self.new_flags | flag } else { self.new_flags & !flag };
        let mark = |task: Runnable| if yes { task.set(flag) } else { task.clear(flag) };
        self.tasks.iter().for_each(mark);
        for set in self.sets.iter() {
            set.get().with_members(|members| members.iter().for_each(mark));
        }
    }
}
