//! One step of a task, and the ways it ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

use crate::kernel::callback::CallbackRef;
use crate::kernel::cell::{
    CANCELLED, CHILD, CellRef, DONE, ENDING, FULL, HIDDEN, Header, JOINED, PANICKED, RUNNING,
    SUPERVISED, TASK,
};
use crate::kernel::home::{Home, enter, leave};
use crate::kernel::waker::{self, LoopWaker};
use crate::kernel::{children, frames};
use crate::report;

use super::{Extra, Payload, TaskRef, Verdict, task_header};

/// # Safety
///
/// `cell` is a live cell of `F`, not `DONE`, with `RUNNING` set, on the owner's thread.
pub(in crate::kernel) unsafe fn step<F: Future>(cell: NonNull<Header>) {
    // SAFETY: RUNNING keeps it alive, and a running cell is entered by its step only.
    let before = unsafe { enter(cell, Some(cell)) };
    // SAFETY: the caller's promise.
    unsafe { poll_once::<F>(cell) };
    // SAFETY: entered above, and kept alive by RUNNING. Nothing in between unwinds (promise 7).
    unsafe { leave(cell, before) };
}

/// # Safety
///
/// As for `step`, with the cell entered.
#[inline]
unsafe fn poll_once<F: Future>(cell: NonNull<Header>) {
    // SAFETY: RUNNING keeps it alive.
    let header = unsafe { cell.as_ref() };

    // SAFETY: promise 3: this step is alone in the stage, which holds the future.
    if unsafe { end_if_asked(cell, None) } {
        return;
    }

    let future = || {
        // SAFETY: promise 3; the stage holds the future, since the cell is not DONE.
        let future = unsafe { &mut *header.stage::<F>(cell) };
        // SAFETY: promise 6.
        let future = unsafe { Pin::new_unchecked(future) };
        // SAFETY: the cell is alive for the whole poll.
        let waker = unsafe { waker::borrowed(cell) };
        future.poll(&mut Context::from_waker(&waker))
    };
    match catch_unwind(AssertUnwindSafe(future)) {
        Ok(Poll::Pending) => {
            // SAFETY: the poll is over, so this step is alone in the stage again.
            unsafe { end_if_asked(cell, Some(false)) };
        }
        // SAFETY: the poll is over, so this step is alone in the stage again.
        Ok(Poll::Ready(output)) => unsafe { end_with_output::<F>(cell, output) },
        // SAFETY: as above.
        Err(payload) => unsafe { end_panicked(cell, payload) },
    }
}

/// Ends the task instead of going on, if it is to end; true if it was.
///
/// # Safety
///
/// As for `step`, with the future in the stage.
#[inline]
unsafe fn end_if_asked(cell: NonNull<Header>, polled: Option<bool>) -> bool {
    // SAFETY: the caller's promise.
    let asked = unsafe { cell.as_ref() }.has(ENDING | SUPERVISED);
    // SAFETY: the caller's promise.
    asked && unsafe { end_as_asked(cell, polled) }
}

/// # Safety
///
/// As for `step`, with the future in the stage.
#[cold]
unsafe fn end_as_asked(cell: NonNull<Header>, polled: Option<bool>) -> bool {
    // SAFETY: a live task.
    match unsafe { is_to_end(cell, polled) } {
        Ok(false) => return false,
        // SAFETY: the caller's promise.
        Ok(true) => frames::while_cancelling(|| unsafe { end_cancelled(cell) }),
        // SAFETY: the caller's promise.
        Err(payload) => unsafe { end_panicked(cell, payload) },
    }
    true
}

/// Whether the task is to end instead of going on; an error if its supervisor panicked.
///
/// # Safety
///
/// `cell` is a live task on the owner's thread.
#[inline]
unsafe fn is_to_end(cell: NonNull<Header>, polled: Option<bool>) -> Result<bool, Payload> {
    // SAFETY: the caller's promise.
    if !unsafe { cell.as_ref() }.has(ENDING | SUPERVISED) {
        return Ok(false);
    }
    // SAFETY: the caller's promise.
    unsafe { verdict(cell, polled) }.map(|verdict| verdict == Verdict::End)
}

/// Asks the supervisor, or without one says that a task that was asked to end does.
///
/// # Safety
///
/// `cell` is a live task on the owner's thread.
#[cold]
unsafe fn verdict(cell: NonNull<Header>, polled: Option<bool>) -> Result<Verdict, Payload> {
    // SAFETY: the caller's promise.
    let task = unsafe { task_header(cell) };
    // SAFETY: promises 1 and 5.
    let supervisor = unsafe { &*task.extra.get() }.get().and_then(|x| x.supervisor.clone());
    let Some(supervisor) = supervisor else {
        return Ok(if task.header.has(ENDING) { Verdict::End } else { Verdict::Continue });
    };
    // Moved in, since it may have been replaced and be dropped here.
    report::catch(move || match polled {
        None => supervisor.before_poll(),
        Some(ready) => supervisor.after_poll(ready),
    })
}

/// # Safety
///
/// As for `step`, after a poll that returned `output`.
unsafe fn end_with_output<F: Future>(cell: NonNull<Header>, output: F::Output) {
    // SAFETY: the caller keeps it alive.
    let header = unsafe { cell.as_ref() };
    // SAFETY: promise 3.
    let dropped = unsafe { drop_future(cell) };
    // SAFETY: a live task.
    let cancelled = unsafe { is_to_end(cell, Some(true)) };
    let cancelled = match (dropped, cancelled) {
        (Ok(()), cancelled) => cancelled,
        (Err(payload), Ok(_)) => Err(payload),
        (Err(payload), Err(second)) => {
            report::callback_panicked((header.vtable.type_name)(), second);
            Err(payload)
        }
    };
    match cancelled {
        Err(payload) => {
            drop_caught(header, output);
            // SAFETY: the stage is empty.
            unsafe { finish_panicked(cell, payload) };
        }
        Ok(true) => {
            drop_caught(header, output);
            // SAFETY: the stage is empty.
            unsafe { finish(cell, CANCELLED) };
        }
        Ok(false) if header.has(JOINED) => {
            // SAFETY: the stage is empty, this step's, and made for an `F::Output`.
            unsafe { header.stage::<F::Output>(cell).write(output) };
            // SAFETY: the stage holds the output.
            unsafe { finish(cell, FULL) };
        }
        Ok(false) => {
            drop_caught(header, output);
            // SAFETY: the stage is empty.
            unsafe { finish(cell, 0) };
        }
    }
}

/// # Safety
///
/// As for `step`, with the future in the stage.
unsafe fn end_panicked(cell: NonNull<Header>, payload: Payload) {
    // SAFETY: promise 3.
    if let Err(second) = unsafe { drop_future(cell) } {
        // SAFETY: the caller keeps it alive.
        report::callback_panicked((unsafe { cell.as_ref() }.vtable.type_name)(), second);
    }
    // SAFETY: the stage is empty.
    unsafe { finish_panicked(cell, payload) };
}

/// Drops the future and ends the task as cancelled, or panicked if its destructor did.
///
/// # Safety
///
/// As for `step`, with the future in the stage.
unsafe fn end_cancelled(cell: NonNull<Header>) {
    // SAFETY: promise 3.
    match unsafe { drop_future(cell) } {
        // SAFETY: the stage is empty.
        Ok(()) => unsafe { finish(cell, CANCELLED) },
        // SAFETY: the stage is empty.
        Err(payload) => unsafe { finish_panicked(cell, payload) },
    }
}

/// Drops the future in place.
///
/// # Safety
///
/// The caller is alone in the stage, which holds the future; the cell is entered.
unsafe fn drop_future(cell: NonNull<Header>) -> Result<(), Payload> {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    header.clear(FULL);
    // SAFETY: the stage held the future, which is dropped in place once: FULL is clear.
    catch_unwind(AssertUnwindSafe(|| unsafe { (header.vtable.drop_stage)(cell, 0) }))
}

/// Drops a value of a user; a panic is reported.
pub(super) fn drop_caught<T>(header: &Header, value: T) {
    report::caught((header.vtable.type_name)(), || drop(value));
}

/// # Safety
///
/// As for `finish`, with an empty stage.
unsafe fn finish_panicked(cell: NonNull<Header>, payload: Payload) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    if header.has(JOINED) {
        // SAFETY: the stage is empty, the caller's, and made for a payload.
        unsafe { header.stage::<Payload>(cell).write(payload) };
        // SAFETY: the stage holds the payload.
        unsafe { finish(cell, PANICKED | FULL) };
    } else {
        // SAFETY: a live task.
        let task = unsafe { TaskRef::share(cell) };
        // SAFETY: the stage is empty.
        unsafe { finish(cell, PANICKED) };
        report::task_panicked(&task, payload);
    }
}

/// Marks the task as ended, tells who waits for it, and gives up the loop's reference.
///
/// # Safety
///
/// On the owner's thread with `RUNNING` set, which keeps the cell alive beyond this call; the
/// stage is as the flags say.
unsafe fn finish(cell: NonNull<Header>, flags: u32) {
    // SAFETY: the caller's promise.
    let task = unsafe { task_header(cell) };
    task.header.clear(ENDING);
    task.header.set(DONE | flags);
    if task.header.has(CHILD) {
        // SAFETY: DONE just now.
        unsafe { children::ended(cell) };
    } else {
        // SAFETY: the home of a live cell is alive; an unfinished task is in its list.
        unsafe { Home::disown(task.header.home, cell) };
    }
    // SAFETY: promises 1 and 5: the slot is emptied before anything in it is called.
    let awaiter = unsafe { take_awaiter(cell) };
    // SAFETY: as above; the name stays.
    match unsafe { (*task.extra.get()).get_mut() } {
        None => awaiter.iter().for_each(CellRef::schedule),
        Some(extra) => tell(extra, awaiter),
    }
    if task.header.has(CHILD) {
        // SAFETY: DONE, and RUNNING keeps the cell.
        unsafe { children::leave_if_empty(cell) };
    } else {
        // SAFETY: the reference of the list; RUNNING keeps the cell.
        unsafe { Header::release(cell) };
    }
}

/// Schedules the awaiter and the callbacks of a task that has ended, in the order in which they were
/// registered.
fn tell(extra: &mut Extra, awaiter: Option<CellRef>) {
    let (supervisor, foreign) = (extra.supervisor.take(), extra.awaiter.take());
    let on_done = std::mem::take(&mut extra.on_done);
    let before = extra.before_awaiter.min(on_done.len());
    // Nothing of `extra` is used from here on: the wakers may be code of a user.
    let (before, after) = on_done.split_at(before);
    before.iter().for_each(CallbackRef::schedule);
    if let Some(awaiter) = awaiter.map(LoopWaker::from_cell).or(foreign) {
        awaiter.wake();
    }
    after.iter().for_each(CallbackRef::schedule);
    if let Some(supervisor) = supervisor {
        report::caught("a supervisor", || supervisor.ended());
    }
}

/// Empties the place of whoever awaits a task, and the link back to it.
///
/// # Safety
///
/// `cell` is a live task on the owner's thread.
pub(super) unsafe fn take_awaiter(cell: NonNull<Header>) -> Option<CellRef> {
    // SAFETY: a live task.
    let task = unsafe { task_header(cell) };
    // SAFETY: promises 1 and 5.
    let awaiter = unsafe { (*task.awaiter.get()).take() }?;
    unlink(&awaiter, cell);
    Some(awaiter)
}

/// Clears the link from a task to the one that it awaits (promise 10).
pub(super) fn unlink(awaiter: &CellRef, awaited: NonNull<Header>) {
    if awaiter.header().has(TASK) {
        // SAFETY: a live task.
        let awaiter = unsafe { task_header(awaiter.ptr()) };
        if awaiter.awaiting.get() == Some(awaited) {
            awaiter.awaiting.set(None);
        }
    }
}

/// Ends a task whose loop, or whose scope, goes away: drops the future without asking anybody.
///
/// # Safety
///
/// `cell` is a live task, neither `DONE` nor `RUNNING`, on the owner's thread.
pub(in crate::kernel) unsafe fn destroy(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if !unsafe { cell.as_ref() }.has(HIDDEN | ENDING) {
        // SAFETY: alive.
        report::task_destroyed(&unsafe { TaskRef::share(cell) });
    }
    // SAFETY: the caller's promise.
    unsafe { end_quietly(cell) };
}

/// Ends a task without telling anybody.
///
/// # Safety
///
/// As for `destroy`.
pub(in crate::kernel) unsafe fn end_quietly(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    header.set(RUNNING);
    // SAFETY: alive, and not running, so not entered.
    let before = unsafe { enter(cell, Some(cell)) };
    // SAFETY: RUNNING is this call's, so it is alone in the stage, which holds the future.
    unsafe { end_cancelled(cell) };
    // SAFETY: entered above, and kept alive by RUNNING.
    unsafe { leave(cell, before) };
    header.clear(RUNNING);
    // SAFETY: alive so far, and the local side has not ended.
    unsafe { Header::end_if_unused(cell) };
}

/// Drops the output, or the payload, of an ended task; a panic is reported.
///
/// # Safety
///
/// The caller is alone in the stage of the `DONE` task `cell`, and has cleared `FULL`.
pub(in crate::kernel) unsafe fn drop_output(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    let flags = header.flags.get();
    // SAFETY: the stage held what the flags say.
    let dropped = || unsafe { (header.vtable.drop_stage)(cell, flags) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(dropped)) {
        report::callback_panicked((header.vtable.type_name)(), payload);
    }
}

/// # Safety
///
/// `cell` is a live cell of `F`, and the caller is alone in its stage, which holds what `flags` say.
pub(in crate::kernel) unsafe fn drop_stage<F: Future>(cell: NonNull<Header>, flags: u32) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    if flags & DONE == 0 {
        // SAFETY: the future, dropped in place (promise 6).
        unsafe { header.stage::<F>(cell).drop_in_place() };
    } else if flags & PANICKED == 0 {
        // SAFETY: the output.
        unsafe { header.stage::<F::Output>(cell).drop_in_place() };
    } else {
        // SAFETY: the payload.
        unsafe { header.stage::<Payload>(cell).drop_in_place() };
    }
}

/// # Safety
///
/// `cell` is a live task cell at the end of its local side.
pub(in crate::kernel) unsafe fn drop_local(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let task = unsafe { task_header(cell) };
    // SAFETY: the last look at it (promise 1).
    drop(std::mem::take(unsafe { &mut *task.extra.get() }));
    // SAFETY: as above.
    drop(unsafe { take_awaiter(cell) });
}
