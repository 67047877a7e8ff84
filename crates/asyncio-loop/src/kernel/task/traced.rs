//! The events of a task, for hooks of the loop and for the recorder.
//!
//! A task with the flag `TRACED` leaves the fast path at each event, where other flags are tested
//! anyway. So a loop without hooks and recorder pays nothing.

use std::sync::Arc;

use super::header::TaskPtr;
use super::task_ref::TaskRef;
use crate::kernel::header::{CANCELLED, HIDDEN, PANICKED, Runnable, RunnableRef, TRACED};
use crate::kernel::host::{self, Moment};
use crate::kernel::local_scheduler::LocalScheduler;
use crate::kernel::ring::{Ring, What, cause};
use crate::kernel::scheduler::{Local, Request};
use crate::kernel::waits_for::WaitsFor;

/// Reports an event of a `TRACED` task to the recorder, and to the host if that wants it. The host
/// gets no events of hidden tasks, and no wakes.
#[inline]
pub(super) fn tell(task: TaskPtr, moment: Moment) {
    let by = task.get().scheduler().running();
    let hooked = task.get().scheduler().with(|local| {
        if let Some(ring) = &local.ring {
            record(local, ring, task, moment, by);
        }
        local.hooked
    });
    if hooked && moment != Moment::Woken && !task.has(HIDDEN) {
        host::traced(&RunnableRef::share(task.get()), moment);
    }
}

/// Reports that a task was made.
#[cold]
pub(in crate::kernel) fn created(task: Runnable) {
    if let Some(task) = TaskPtr::of(task) {
        tell(task, Moment::Created);
    }
}

fn woken(task: Runnable) {
    if let Some(task) = TaskPtr::of(task) {
        tell(task, Moment::Woken);
    }
}

#[inline]
fn record(local: &Local, ring: &Ring, task: TaskPtr, moment: Moment, by: Option<Runnable>) {
    let (id, kind) = (task.id, Some(&task.vtable.type_name));
    match moment {
        Moment::Created => {
            record_old_name(ring, task);
            ring.push(What::Created, id, kind, task.made_at().bits(), 0);
        }
        Moment::Woken => {
            let (other, detail) = match by.and_then(TaskPtr::of) {
                None => (0, local.cause),
                Some(by) if by.has(HIDDEN) => (0, cause::MACHINERY),
                Some(by) => (by.id as u32, cause::TASK),
            };
            ring.push(What::Woken, id, kind, other, detail);
        }
        Moment::Begins => ring.push(What::Begins, id, kind, 0, 0),
        Moment::Pends => {
            // Without a kind the place is one of an earlier wait.
            let what = WaitsFor::of_flags(task.flags.get()).map_or(0, |what| what as u8);
            let site = if what == 0 { 0 } else { task.waits_at().bits() };
            ring.push(What::Pends, id, kind, site, what);
        }
        Moment::Ends => {
            let detail = u8::from(task.has(CANCELLED)) | u8::from(task.has(PANICKED)) << 1;
            ring.push(What::Ends, id, kind, 0, detail);
        }
    }
}

/// Tells the recorder the name that a task was given before.
fn record_old_name(ring: &Ring, task: TaskPtr) {
    task.with_extra(|extra| {
        let name = extra.get().and_then(|extra| extra.name.as_deref());
        name.into_iter().for_each(|name| ring.name(task.id, name));
    });
}

impl TaskRef {
    /// Tells the recorder that the task has a name now.
    pub(super) fn record_name(&self, name: Option<&str>) {
        let task = self.ptr();
        if let (Some(name), true) = (name, task.has(TRACED)) {
            task.get().scheduler().with(|local| {
                local.ring.iter().for_each(|ring| ring.name(self.id(), name));
            });
        }
    }
}

impl LocalScheduler {
    /// Switches the events for the host on or off.
    pub(crate) fn set_hooked(&self, yes: bool) {
        self.ptr().with(|local| local.hooked = yes);
        self.trace();
    }

    /// Switches recording on or off.
    pub(crate) fn set_ring(&self, ring: Option<Arc<Ring>>) {
        self.share_ring(ring.clone());
        let before = self.ptr().with(|local| std::mem::replace(&mut local.ring, ring));
        drop(before);
        self.trace();
        for task in self.tasks() {
            self.ptr().with(|local| {
                local.ring.iter().for_each(|ring| record_old_name(ring, task.ptr()));
            });
        }
    }

    /// Sets the flag of all tasks, and of new ones, accordingly.
    fn trace(&self) {
        self.ptr().with(|local| {
            let yes = local.hooked || local.ring.is_some();
            local.woken = woken;
            local.new_flags = if yes { TRACED } else { 0 };
            let mark = |task: Runnable| if yes { task.set(TRACED) } else { task.clear(TRACED) };
            local.tasks.iter().for_each(mark);
            for set in local.sets.iter() {
                set.get().with_members(|members| members.iter().for_each(mark));
            }
            local.traced.iter().for_each(Request::mark);
        });
    }

    /// Records that a poll for events begins or ends, and what wakes of it are due to from here on.
    #[cold]
    pub(crate) fn record_poll(&self, what: Option<What>, due_to: u8) {
        self.ptr().with(|local| {
            local.cause = due_to;
            if let (Some(ring), Some(what)) = (&local.ring, what) {
                ring.push(what, 0, None, 0, 0);
            }
        });
    }
}
