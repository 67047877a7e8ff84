//! Controls of a task for the crates of this project. Users do not see them.

use std::panic::Location;
use std::rc::Rc;

use super::supervisor::Supervisor;
use super::task_ref::TaskRef;
use crate::cancel_reason::CancelReason;
use crate::kernel::callback::CallbackRef;
use crate::kernel::header::{CHILD, ENDING, OBSERVED, SUPERVISED};

/// Cancelling, supervising and waking a task.
pub trait TaskControl {
    /// Whether it is one of [`Children`](crate::machinery::Children), which their owner polls.
    #[must_use]
    fn is_child(&self) -> bool;

    /// Counts a request to cancel, and keeps its reason.
    fn add_request(&self, reason: CancelReason);

    /// Counts one request less; returns how many are left.
    fn remove_request(&self) -> usize;

    /// The number of requests to cancel, less those that were withdrawn.
    #[must_use]
    fn requests(&self) -> usize;

    /// Sets the reason of the cancellation without counting a request.
    fn set_cancel_reason(&self, reason: CancelReason);

    /// The reason of a request that this task makes at `site`, perhaps with a message.
    #[must_use]
    fn reason_to_cancel(
        &self,
        message: Option<&str>,
        site: &'static Location<'static>,
    ) -> CancelReason;

    /// Asks the task to end: at its next poll (in this one, if it is being polled) its future is
    /// dropped, unless its [`Supervisor`] decides otherwise. Returns false if it has ended already.
    fn request_cancel(&self) -> bool;

    /// Notes a request to cancel without a wake, for the [`Supervisor`] to see in the next poll.
    fn mark_cancelling(&self);

    /// Clears the request: it was withdrawn or answered.
    fn withdraw_cancel(&self);

    /// Sets or removes the supervisor. Returns the one before.
    fn set_supervisor(&self, new: Option<Rc<dyn Supervisor>>) -> Option<Rc<dyn Supervisor>>;

    /// The supervisor, if there is one.
    #[must_use]
    fn supervisor(&self) -> Option<Rc<dyn Supervisor>>;

    /// Schedules `callback` when the task ends, or now if it has.
    fn on_done(&self, callback: CallbackRef);

    /// As [`on_done`](Self::on_done), and the task with the number `awaiter` awaits this one until
    /// the callback is cancelled or removed.
    fn on_done_for(&self, callback: CallbackRef, awaiter: Option<u64>);

    /// Removes a callback that was given to `on_done` and is not scheduled yet; returns how many
    /// there were: 1 or 0.
    fn remove_on_done(&self, callback: &CallbackRef) -> usize;

    /// The unfinished task that it awaits outside of every frame.
    #[must_use]
    fn awaited(&self) -> Option<TaskRef>;

    /// Notes that its end has been seen: its panic need not be reported.
    fn mark_seen(&self);
}

impl TaskControl for TaskRef {
    #[inline]
    fn is_child(&self) -> bool {
        self.ptr().has(CHILD)
    }

    fn add_request(&self, reason: CancelReason) {
        let old = self.ptr().with_extra(|extra| extra.add_request(reason));
        drop(old);
    }

    fn remove_request(&self) -> usize {
        if self.requests() == 0 {
            return 0;
        }
        self.with_extra(|extra| {
            extra.requests -= 1;
            extra.requests
        })
    }

    #[inline]
    fn requests(&self) -> usize {
        self.ptr().with_extra(|extra| extra.requests())
    }

    fn set_cancel_reason(&self, reason: CancelReason) {
        let old = self.with_extra(|extra| extra.reason.replace(reason));
        drop(old);
    }

    fn reason_to_cancel(
        &self,
        message: Option<&str>,
        site: &'static Location<'static>,
    ) -> CancelReason {
        let name = self.if_extra(|extra| extra.name.clone());
        if message.is_none() && name.is_none() {
            return CancelReason::at_by(site, self.id());
        }
        let reason = message.map(CancelReason::new).unwrap_or_default();
        reason.at(site).by(self.id(), name.as_deref())
    }

    fn request_cancel(&self) -> bool {
        if self.is_done() {
            return false;
        }
        self.ptr().set(ENDING);
        if !self.is_running() {
            self.runnable().schedule();
        }
        true
    }

    fn mark_cancelling(&self) {
        if !self.is_done() {
            self.ptr().set(ENDING);
        }
    }

    fn withdraw_cancel(&self) {
        self.ptr().clear(ENDING);
    }

    fn set_supervisor(&self, new: Option<Rc<dyn Supervisor>>) -> Option<Rc<dyn Supervisor>> {
        match &new {
            _ if self.is_done() => return None,
            Some(_) => self.ptr().set(SUPERVISED),
            None => self.ptr().clear(SUPERVISED),
        }
        self.with_extra(|extra| std::mem::replace(&mut extra.supervisor, new))
    }

    #[inline]
    fn supervisor(&self) -> Option<Rc<dyn Supervisor>> {
        if self.ptr().has(SUPERVISED) {
            self.if_extra(|extra| extra.supervisor.clone())
        } else {
            None
        }
    }

    fn on_done(&self, callback: CallbackRef) {
        if self.is_done() {
            callback.schedule();
        } else {
            self.with_extra(|extra| extra.on_done.push(callback));
        }
    }

    fn on_done_for(&self, callback: CallbackRef, awaiter: Option<u64>) {
        if let Some(awaiter) = awaiter.filter(|_| !self.is_done()) {
            // Cancelled ones are dropped out here: they may be a user's.
            let stale = self.with_extra(|extra| {
                let all = std::mem::take(&mut extra.awaited_by).into_iter();
                let (stale, mut told): (Vec<_>, Vec<_>) =
                    all.partition(|(told, _)| told.is_cancelled());
                told.push((callback.clone(), awaiter));
                extra.awaited_by = told;
                stale
            });
            drop(stale);
        }
        self.on_done(callback);
    }

    fn remove_on_done(&self, callback: &CallbackRef) -> usize {
        // Dropped out here, with whatever it holds.
        let gone = self.if_extra(|extra| {
            // Not the last reference: the caller has one.
            extra.awaited_by.retain(|(told, _)| told != callback);
            extra.on_done.remove(callback)
        });
        usize::from(gone.is_some())
    }

    fn awaited(&self) -> Option<TaskRef> {
        // Promise 10: not DONE, so alive.
        self.ptr().awaited().map(Self::share)
    }

    fn mark_seen(&self) {
        if self.is_done() {
            self.ptr().set(OBSERVED);
        }
    }
}
