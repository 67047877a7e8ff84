//! The life of a task, told to those who asked.
//!
//! A task with the flag `TRACED` leaves the fast path at each of its moments, where other flags are
//! tested anyway. So a loop that tells nobody pays nothing.

use crate::kernel::header::{HIDDEN, Runnable, RunnableRef, TRACED};
use crate::kernel::host::{self, Moment};
use crate::kernel::local_scheduler::LocalScheduler;

/// Tells the host, if it wants to know: not of tasks that users do not see, and not of wakes.
fn tell(task: Runnable, moment: Moment) {
    let hooked = task.scheduler().with(|local| local.hooked);
    if hooked && moment != Moment::Woken && !task.has(HIDDEN) {
        host::traced(&RunnableRef::share(task), moment);
    }
}

impl LocalScheduler {
    /// Has the host told of each moment of each task, or no more.
    pub(crate) fn set_hooked(&self, yes: bool) {
        self.ptr().with(|local| local.hooked = yes);
        self.trace();
    }

    /// Marks the tasks that there are, and those to come, as what is wanted.
    fn trace(&self) {
        self.ptr().with(|local| {
            let yes = local.hooked;
            local.tell = yes.then_some(tell as fn(Runnable, Moment));
            local.new_flags = if yes { TRACED } else { 0 };
            let mark = |task: Runnable| if yes { task.set(TRACED) } else { task.clear(TRACED) };
            local.tasks.iter().for_each(mark);
            for set in local.sets.iter() {
                set.get().with_members(|members| members.iter().for_each(mark));
            }
        });
    }
}
