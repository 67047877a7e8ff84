//! A poll of a task, and the ways it ends.

use std::pin::Pin;
use std::task::{Context, Poll, RawWakerVTable};

use super::awaiter::Awaiter;
use super::extra::Extra;
use super::header::TaskPtr;
use super::recorded;
use super::supervisor::Verdict;
use super::traced::tell;
use super::unseen::{self, unseen_error};
use crate::kernel::callback::CallbackRef;
use crate::kernel::frames;
use crate::kernel::header::{
    CANCELLED, DONE, ENDING, FULL, HIDDEN, JOINED, LOOKED_FOR, PANICKED, RECORDED, RUNNING,
    Runnable, RunnableRef, SUPERVISED, TRACED,
};
use crate::kernel::host::{self, Failure, Moment, caught, report_panic};
use crate::kernel::panics::{Payload, catch};
use crate::kernel::trace;
use crate::kernel::waker;

/// A task with one of these flags takes other ways into a poll and out of it.
const RARE: u32 = ENDING | SUPERVISED | TRACED;

/// A task that is being polled or ended: the holder is alone in its stage, which holds the future
/// (promise 3).
struct Active(TaskPtr);

/// A task that is being ended: the holder is alone in its stage, which is empty.
struct Emptied(TaskPtr);

/// Polls a task once.
///
/// # Safety
///
/// `task` is a task of `F`, not `DONE`, with `RUNNING` set.
pub(in crate::kernel) unsafe fn poll<F: Future>(task: Runnable) {
    task.enter(Some(task), || {
        // SAFETY: the caller's promise.
        let active = Active(unsafe { TaskPtr::new(task) });
        // SAFETY: promise 3: RUNNING is set, and the task is not DONE.
        unsafe { poll_once::<F>(active) };
    });
}

/// # Safety
///
/// A task of `F`.
#[inline]
unsafe fn poll_once<F: Future>(active: Active) {
    let Some((active, vtable)) = active.begin() else { return };
    let task = active.0.get();
    let poll = || {
        // SAFETY: promise 3: the stage holds the future.
        let future = unsafe { &mut *task.stage::<F>() };
        // SAFETY: promise 6.
        let future = unsafe { Pin::new_unchecked(future) };
        // SAFETY: the task is alive for the whole poll.
        let waker = unsafe { waker::borrowed(task, vtable) };
        future.poll(&mut Context::from_waker(&waker))
    };
    match catch(poll) {
        Ok(Poll::Pending) => {
            active.0.polled(task.scheduler().with(|local| local.tick));
            active.pend();
        }
        // SAFETY: the caller's promise.
        Ok(Poll::Ready(output)) => unsafe { active.end_with_output::<F>(output) },
        Err(payload) => active.end_panicked(payload),
    }
}

impl Active {
    /// Ends the task if it was asked to end, and its supervisor agrees; else gives it back, with
    /// the functions of the waker for its poll.
    #[inline]
    fn begin(self) -> Option<(Self, &'static RawWakerVTable)> {
        if self.0.has(RARE | RECORDED) { self.begin_rarely() } else { Some((self, waker::usual())) }
    }

    #[cold]
    fn begin_rarely(self) -> Option<(Self, &'static RawWakerVTable)> {
        if self.0.has(RECORDED) {
            recorded::begins(self.0);
        }
        if self.0.has(RARE) { self.begin_otherwise() } else { Some((self, waker::usual())) }
    }

    #[cold]
    #[inline(never)]
    fn begin_otherwise(self) -> Option<(Self, &'static RawWakerVTable)> {
        if self.0.has(TRACED) {
            tell(self.0, Moment::Begins);
        }
        let active = self.unless_asked_to_end(None)?;
        let is_watched = active.0.has(TRACED) && trace::begin(active.0);
        Some((active, if is_watched { waker::watched() } else { waker::usual() }))
    }

    /// After a poll that was pending: ends the task if it was asked to end, and its supervisor
    /// agrees.
    #[inline]
    fn pend(self) {
        if self.0.has(RARE | RECORDED) {
            self.pend_rarely();
        }
    }

    #[cold]
    fn pend_rarely(self) {
        if self.0.has(RARE) {
            self.pend_otherwise();
        } else {
            recorded::pends(self.0);
        }
    }

    #[cold]
    #[inline(never)]
    fn pend_otherwise(self) {
        let task = self.0;
        if self.unless_asked_to_end(Some(false)).is_none() {
            return;
        }
        if task.has(RECORDED) {
            recorded::pends(task);
        }
        if task.has(TRACED) {
            tell(task, Moment::Pends);
            trace::end(task, false);
        }
    }

    /// Ends the task if it was asked to end, and its supervisor agrees; else gives it back.
    fn unless_asked_to_end(self, polled: Option<bool>) -> Option<Self> {
        match is_to_end(self.0, polled) {
            Ok(false) => return Some(self),
            Ok(true) => frames::while_cancelling(|| self.end_cancelled()),
            Err(payload) => self.end_panicked(payload),
        }
        None
    }

    /// Ends the task with the output of its future.
    ///
    /// # Safety
    ///
    /// A task of `F`.
    unsafe fn end_with_output<F: Future>(self, output: F::Output) {
        let task = self.0;
        // By its type instead of the vtable: most futures have nothing left to drop.
        // SAFETY: a task of `F`, by the caller's promise; promise 3 as in `drop_future`.
        let (emptied, dropped) = self.drop_by(|task| unsafe { drop_stage::<F>(task, 0) });
        if dropped.is_err() || task.has(ENDING | SUPERVISED | LOOKED_FOR) {
            // SAFETY: the caller's promise.
            unsafe { emptied.end_rarely::<F>(output, dropped) }
        } else if task.has(JOINED) {
            // SAFETY: promise 3: the stage is empty, the holder's, and made for an `F::Output`.
            unsafe { task.get().stage::<F::Output>().write(output) };
            emptied.finish(FULL);
        } else {
            drop_caught(task, output);
            emptied.finish(0);
        }
    }

    /// Drops the future and ends the task by a panic.
    fn end_panicked(self, payload: Payload) {
        let (emptied, dropped) = self.drop_future();
        if let Err(second) = dropped {
            report_panic(emptied.0.type_name(), second);
        }
        emptied.finish_panicked(payload);
    }

    /// Drops the future and ends the task as cancelled, or by the panic of a destructor.
    fn end_cancelled(self) {
        match self.drop_future() {
            (emptied, Ok(())) => emptied.finish(CANCELLED),
            (emptied, Err(payload)) => emptied.finish_panicked(payload),
        }
    }

    /// Drops the future in place, whatever its type.
    fn drop_future(self) -> (Emptied, Result<(), Payload>) {
        // SAFETY: promise 3: this is alone in the stage, which holds the future, and ends here.
        self.drop_by(|task| unsafe { (task.vtable.drop_stage)(task, 0) })
    }

    /// Drops the future in place, by `drop_in_place`.
    #[inline]
    fn drop_by(self, drop_in_place: impl FnOnce(Runnable)) -> (Emptied, Result<(), Payload>) {
        let task = self.0;
        task.clear(FULL);
        let dropped = catch(|| drop_in_place(task.get()));
        (Emptied(task), dropped)
    }
}

impl Emptied {
    /// Ends a task with the output of its future that has a supervisor, was asked to end or is
    /// looked at for errors, or whose future has panicked when it was dropped.
    ///
    /// # Safety
    ///
    /// A task of `F`.
    #[cold]
    unsafe fn end_rarely<F: Future>(self, output: F::Output, dropped: Result<(), Payload>) {
        let task = self.0;
        let cancelled = match (dropped, is_to_end(task, Some(true))) {
            (Ok(()), cancelled) => cancelled,
            (Err(payload), Ok(_)) => Err(payload),
            (Err(payload), Err(second)) => {
                report_panic(task.type_name(), second);
                Err(payload)
            }
        };
        match cancelled {
            Ok(false) if task.has(JOINED) => {
                // SAFETY: promise 3: the stage is empty, the holder's, and made for an `F::Output`.
                unsafe { task.get().stage::<F::Output>().write(output) };
                self.finish(FULL);
            }
            Ok(false) if task.has(LOOKED_FOR) => {
                // SAFETY: an output of the task.
                let error = unsafe { unseen_error(task, (&raw const output).cast()) };
                drop_caught(task, output);
                self.finish_unseen(error);
            }
            Ok(cancelled) => {
                drop_caught(task, output);
                self.finish(if cancelled { CANCELLED } else { 0 });
            }
            Err(payload) => {
                drop_caught(task, output);
                self.finish_panicked(payload);
            }
        }
    }

    /// Ends the task by a panic. Without a handle it is reported.
    fn finish_panicked(self, payload: Payload) {
        let task = self.0.get();
        host::notice_panic(&RunnableRef::share(task), &payload);
        if task.has(JOINED) {
            // SAFETY: promise 3: the stage is empty, the holder's, and made for a payload.
            unsafe { task.stage::<Payload>().write(payload) };
            self.finish(PANICKED | FULL);
        } else {
            let task = RunnableRef::share(task);
            self.finish(PANICKED);
            host::report(Failure::Task { task: &task, payload });
        }
    }

    /// Ends a task whose output is not taken, and reports an error in it.
    #[cold]
    fn finish_unseen(self, error: Option<String>) {
        let task = RunnableRef::share(self.0.get());
        self.finish(0);
        error.into_iter().for_each(|error| unseen::report(&task, error));
    }

    /// Marks the task as ended, wakes those that wait for it, and gives up the reference of the
    /// loop or set. RUNNING keeps the task alive.
    fn finish(self, flags: u32) {
        let Self(task) = self;
        let runnable = task.get();
        task.change(ENDING, DONE | flags);
        let set = task.vtable.set;
        match set {
            Some(set) => (set.ended)(runnable),
            None => runnable.scheduler().with(|local| local.tasks.remove(runnable)),
        }
        if task.has(TRACED | RECORDED) {
            tell_end(task);
        }
        let awaiter = task.take_awaiter();
        if task.with_extra(|extra| extra.get().is_some()) {
            wake_all(task, awaiter);
        } else if let Some(awaiter) = awaiter {
            awaiter.wake();
        }
        match set {
            Some(set) => (set.leave_if_empty)(runnable),
            // SAFETY: the reference of the list; RUNNING keeps the task.
            None => unsafe { runnable.release() },
        }
    }
}

/// Tells the recorder and hooks that a task has ended.
#[cold]
fn tell_end(task: TaskPtr) {
    if task.has(RECORDED) {
        recorded::ends(task);
    }
    if task.has(TRACED) {
        tell(task, Moment::Ends);
        trace::end(task, true);
    }
}

/// Schedules the awaiter and the callbacks in the order in which they were registered, and tells
/// the supervisor. The wakers may be code of a user. The name in `extra` stays.
#[cold]
fn wake_all(task: TaskPtr, awaiter: Option<Awaiter>) {
    let take = |extra: &mut Extra| {
        let awaited_by = std::mem::take(&mut extra.awaited_by);
        (std::mem::take(&mut extra.on_done), awaited_by, extra.supervisor.take())
    };
    let taken = task.with_extra(|extra| extra.get_mut().map(take));
    let (on_done, _awaited_by, supervisor) = taken.unwrap_or_default();
    on_done.before_awaiter().for_each(CallbackRef::schedule);
    awaiter.into_iter().for_each(Awaiter::wake);
    on_done.after_awaiter().for_each(CallbackRef::schedule);
    if let Some(supervisor) = supervisor {
        caught("a supervisor", || supervisor.ended());
    }
}

/// Whether the task is to end instead of going on; an error if its supervisor panicked.
#[inline]
fn is_to_end(task: TaskPtr, polled: Option<bool>) -> Result<bool, Payload> {
    if task.has(ENDING | SUPERVISED) { ask_supervisor(task, polled) } else { Ok(false) }
}

/// Asks the supervisor. Without one, a task that was asked to end does.
#[cold]
fn ask_supervisor(task: TaskPtr, polled: Option<bool>) -> Result<bool, Payload> {
    let supervisor = task.with_extra(|extra| extra.get().and_then(|x| x.supervisor.clone()));
    let Some(supervisor) = supervisor else { return Ok(task.has(ENDING)) };
    // Moved in, since it may have been replaced and be dropped here.
    let verdict = catch(move || match polled {
        None => supervisor.before_poll(),
        Some(ready) => supervisor.after_poll(ready),
    });
    verdict.map(|verdict| verdict == Verdict::End)
}

/// Drops a value of a user; a panic is reported.
pub(super) fn drop_caught<T>(task: TaskPtr, value: T) {
    caught(task.type_name(), || drop(value));
}

/// Ends a task whose loop or scope goes away: drops the future without asking the supervisor.
///
/// # Safety
///
/// `task` is neither `DONE` nor `RUNNING`.
pub(in crate::kernel) unsafe fn destroy(task: TaskPtr) {
    if !task.has(HIDDEN | ENDING) {
        host::report(Failure::Destroyed { task: &RunnableRef::share(task.get()) });
    }
    // SAFETY: the caller's promise.
    unsafe { end_quietly(task) };
}

/// Ends a task without a report.
///
/// # Safety
///
/// As for `destroy`.
pub(in crate::kernel) unsafe fn end_quietly(task: TaskPtr) {
    let runnable = task.get();
    task.set(RUNNING);
    // Promise 3: RUNNING is this call's, so it is alone in the stage, which holds the future.
    runnable.enter(Some(runnable), || {
        if task.has(RECORDED) {
            recorded::begins(task);
        }
        if task.has(TRACED) {
            tell(task, Moment::Begins);
        }
        Active(task).end_cancelled();
    });
    task.clear(RUNNING);
    // SAFETY: not used afterwards.
    unsafe { runnable.end_if_unused() };
}

/// Drops the output, or the payload, of an ended task; a panic is reported.
///
/// # Safety
///
/// The caller is alone in the stage of the `DONE` task, and has cleared `FULL`.
pub(in crate::kernel) unsafe fn drop_output(task: TaskPtr) {
    let flags = task.flags.get();
    // SAFETY: the caller's promise: the stage held the value that the flags say.
    let dropped = catch(|| unsafe { (task.vtable.drop_stage)(task.get(), flags) });
    if let Err(payload) = dropped {
        report_panic(task.type_name(), payload);
    }
}

/// # Safety
///
/// `task` is a task of `F`, and the caller is alone in its stage, which holds the value that
/// `flags` say.
pub(in crate::kernel) unsafe fn drop_stage<F: Future>(task: Runnable, flags: u32) {
    if flags & DONE == 0 {
        // SAFETY: the future, dropped in place (promise 6).
        unsafe { task.stage::<F>().drop_in_place() };
    } else if flags & PANICKED == 0 {
        // SAFETY: the output.
        unsafe { task.stage::<F::Output>().drop_in_place() };
    } else {
        // SAFETY: the payload.
        unsafe { task.stage::<Payload>().drop_in_place() };
    }
}

/// # Safety
///
/// `task` is a task at the end of its local side.
pub(in crate::kernel) unsafe fn drop_local(task: Runnable) {
    // SAFETY: the caller's promise.
    let task = unsafe { TaskPtr::new(task) };
    if task.has_awaiter() || task.with_extra(|extra| !extra.is_empty()) {
        drop(task.with_extra(std::mem::take));
        drop(task.take_awaiter());
    }
}
