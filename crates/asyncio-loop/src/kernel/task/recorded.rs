//! The events of a task, for the flight recorder.
//!
//! While a loop records, its tasks have the flag `RECORDED`. They leave the fast path at each
//! event, where other flags are tested anyway, so a loop that does not record pays nothing. An
//! event is to take no more than 15 ns, most of which is reading the processor's counter: so each
//! kind of event has a function of its own, without a decision that can be made when compiling.

use std::sync::Arc;

use super::header::TaskPtr;
use super::task_ref::TaskRef;
use crate::kernel::header::{CANCELLED, HIDDEN, PANICKED, RECORDED, Runnable};
use crate::kernel::local_scheduler::LocalScheduler;
use crate::kernel::ring::{Entry, Ring, What, cause};
use crate::kernel::waits_for::WaitsFor;

/// Records that a task was made.
#[cold]
pub(super) fn created(task: TaskPtr) {
    with_ring(task, |ring| {
        record_old_name(ring, task);
        ring.push(entry(task, What::Created).word(task.made_at().bits()));
    });
}

/// Records that a task was made ready, and by whom.
fn woken(task: Runnable) {
    let by = task.scheduler().running();
    let Some(task) = TaskPtr::of(task) else { return };
    task.get().scheduler().with(|local| {
        let Some(ring) = local.ring.as_deref() else { return };
        let entry = entry(task, What::Woken);
        ring.push(match by.and_then(TaskPtr::of) {
            None => entry.detail(local.cause),
            Some(by) if by.has(HIDDEN) => entry.detail(cause::MACHINERY),
            Some(by) => entry.detail(cause::TASK).word(by.id as u32),
        });
    });
}

/// Records that a poll begins.
pub(super) fn begins(task: TaskPtr) {
    with_ring(task, |ring| ring.push_begin(entry(task, What::Begins)));
}

/// Records that a poll has ended, and what the task waits for.
pub(super) fn pends(task: TaskPtr) {
    with_ring(task, |ring| {
        // Without a kind the place is one of an earlier wait.
        let what = WaitsFor::number_of_flags(task.flags.get());
        let site = if what == 0 { 0 } else { task.waits_at().bits() };
        ring.push(entry(task, What::Pends).detail(what).word(site));
    });
}

/// Records that a task has ended, and how.
pub(super) fn ends(task: TaskPtr) {
    with_ring(task, |ring| {
        let detail = u8::from(task.has(CANCELLED)) | u8::from(task.has(PANICKED)) << 1;
        ring.push(entry(task, What::Ends).detail(detail));
    });
}

#[inline]
fn entry(task: TaskPtr, what: What) -> Entry {
    Entry::of(what).task(task.id, &task.vtable.type_name)
}

#[inline]
fn with_ring(task: TaskPtr, f: impl FnOnce(&Ring)) {
    task.get().scheduler().with_ring(f);
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
        if let (Some(name), true) = (name, task.has(RECORDED)) {
            with_ring(task, |ring| ring.name(self.id(), name));
        }
    }
}

impl LocalScheduler {
    /// Switches recording on or off.
    pub(crate) fn set_ring(&self, ring: Option<Arc<Ring>>) {
        self.share_ring(ring.clone());
        let yes = ring.is_some();
        let before = self.ptr().with(|local| {
            local.woken = woken;
            std::mem::replace(&mut local.ring, ring)
        });
        drop(before);
        self.ptr().with(|local| local.mark_tasks(RECORDED, yes));
        for task in self.tasks() {
            with_ring(task.ptr(), |ring| record_old_name(ring, task.ptr()));
        }
    }

    /// Records that a poll for events begins or ends, and what wakes of it are due to from here on.
    #[cold]
    pub(crate) fn record_poll(&self, what: Option<What>, due_to: u8) {
        self.ptr().with(|local| {
            local.cause = due_to;
            if let (Some(ring), Some(what)) = (&local.ring, what) {
                ring.push(Entry::of(what));
                if what == What::PollEnds && local.ready.len() > 0 {
                    ring.go_on();
                } else {
                    ring.pause();
                }
            }
        });
    }
}
