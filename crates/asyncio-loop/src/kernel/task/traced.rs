//! The life of a task, told to those who asked: hooks of the loop, and the recorder.
//!
//! A task with the flag `TRACED` leaves the fast path at each of its moments, where other flags are
//! tested anyway. So a loop that tells nobody pays nothing.

use std::sync::Arc;

use super::header::TaskPtr;
use super::task_ref::TaskRef;
use crate::kernel::header::{CANCELLED, HIDDEN, PANICKED, Runnable, RunnableRef, TRACED};
use crate::kernel::host::{self, Moment};
use crate::kernel::local_scheduler::LocalScheduler;
use crate::kernel::ring::{New, Ring, What, cause};
use crate::kernel::site::Site;
use crate::kernel::trace::Request;
use crate::kernel::waits_for::WaitsFor;

/// Records the moment. Tells it to the host, if that wants to know: not of tasks that users do not
/// see, and not of wakes.
fn tell(task: Runnable, moment: Moment) {
    let by = task.scheduler().running();
    let hooked = task.scheduler().with(|local| {
        if let (Some(ring), Some(task)) = (&local.ring, TaskPtr::of(task)) {
            record(local.cause, ring, task, moment, by);
        }
        local.hooked
    });
    if hooked && moment != Moment::Woken && !task.has(HIDDEN) {
        host::traced(&RunnableRef::share(task), moment);
    }
}

#[inline]
fn record(due_to: u8, ring: &Ring, task: TaskPtr, moment: Moment, by: Option<Runnable>) {
    let kind = Some(&task.vtable.type_name);
    let event = |what| New { what, task: task.id(), kind, site: Site::NONE, other: 0, detail: 0 };
    match moment {
        Moment::Created => {
            task.with_extra(|extra| {
                let name = extra.get().and_then(|extra| extra.name.as_deref());
                name.into_iter().for_each(|name| ring.name(task.id(), name));
            });
            ring.push(&New { site: task.made_at(), ..event(What::Created) });
        }
        Moment::Woken => {
            let (other, detail) = match by.and_then(TaskPtr::of) {
                None => (0, due_to),
                Some(by) if by.has(HIDDEN) => (0, cause::MACHINERY),
                Some(by) => (by.id() as u32, cause::TASK),
            };
            ring.push(&New { other, detail, ..event(What::Woken) });
        }
        Moment::Begins => ring.push(&event(What::Begins)),
        Moment::Pends => {
            let what = WaitsFor::of_flags(task.flags.get());
            let site = if what.is_some() { task.waits_at() } else { Site::NONE };
            let detail = what.map_or(0, |what| what as u8);
            ring.push(&New { site, detail, ..event(What::Pends) });
        }
        Moment::Ends => {
            let detail = u8::from(task.has(CANCELLED)) | u8::from(task.has(PANICKED)) << 1;
            ring.push(&New { detail, ..event(What::Ends) });
        }
    }
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
    /// Has the host told of each moment of each task, or no more.
    pub(crate) fn set_hooked(&self, yes: bool) {
        self.ptr().with(|local| local.hooked = yes);
        self.trace();
    }

    /// Has events recorded, or no more.
    pub(crate) fn set_ring(&self, ring: Option<Arc<Ring>>) {
        self.share_ring(ring.clone());
        let before = self.ptr().with(|local| std::mem::replace(&mut local.ring, ring));
        drop(before);
        self.trace();
        for task in self.tasks() {
            self.ptr().with(|local| {
                let ring = local.ring.as_ref();
                task.ptr().with_extra(|extra| {
                    let name = extra.get().and_then(|extra| extra.name.as_deref());
                    ring.zip(name).into_iter().for_each(|(ring, name)| ring.name(task.id(), name));
                });
            });
        }
    }

    /// Marks the tasks that there are, and those to come, as what is wanted.
    fn trace(&self) {
        self.ptr().with(|local| {
            let yes = local.hooked || local.ring.is_some();
            local.tell = yes.then_some(tell as fn(Runnable, Moment));
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
                ring.push_plain(what);
            }
        });
    }
}
