//! Cells that poll a future and keep its output for whoever joins.

use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use super::callback::CallbackRef;
use super::cell::{
    CANCELLED, CHILD, CellRef, DONE, ENDING, FULL, HIDDEN, Header, JOINED, OBSERVED, PANICKED,
    RUNNING, SCHEDULED, SUPERVISED, TASK, VTable,
};
use super::home::{Home, HomeOwner, enter, leave};
use super::memory;
use super::wait::Wait;
use super::waker::{self, LocalWaker};
use super::{children, frames};
use crate::cancel_reason::CancelReason;
use crate::context::{Context as Variables, ContextSlot};
use crate::event_loop::LoopRef;
use crate::report;

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// What every task's cell begins with.
#[repr(C)]
pub(super) struct TaskHeader {
    header: Header,
    id: u64,
    site: &'static Location<'static>,
    /// What few tasks have.
    extra: UnsafeCell<Option<Box<Extra>>>,
    /// The task that waits in `poll_join`; a waiter that is none of ours is in `extra`.
    awaiter: UnsafeCell<Option<CellRef>>,
    /// The unfinished task whose `awaiter` this one is, if it waits for it outside of any frame.
    awaiting: Cell<Option<NonNull<Header>>>,
}

/// What a task costs besides its future; there is one more pointer in the list of live tasks.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<TaskHeader>() == 88);

#[derive(Default)]
struct Extra {
    name: Option<Rc<str>>,
    supervisor: Option<Rc<dyn Supervisor>>,
    on_done: Vec<CallbackRef>,
    awaiter: Option<Waker>,
    /// How often it was asked to end, less what was taken back.
    requests: usize,
    /// What the last of them said.
    reason: Option<CancelReason>,
}

#[repr(C)]
struct TaskCell<F: Future> {
    task: TaskHeader,
    stage: UnsafeCell<Stage<F>>,
}

impl Extra {
    #[cold]
    fn named(name: Rc<str>) -> Box<Self> {
        Box::new(Self { name: Some(name), ..Self::default() })
    }
}

/// Which field is alive is said by the flags: `FULL` without `DONE` is the future, with `DONE` the
/// output, or with `PANICKED` too the payload.
#[allow(dead_code, reason = "read through a pointer to the whole stage")]
pub(super) union Stage<F: Future> {
    pub(super) future: ManuallyDrop<F>,
    output: ManuallyDrop<F::Output>,
    panic: ManuallyDrop<Payload>,
}

/// Decides, poll by poll, how a task that was asked to end goes about it.
///
/// A task without one drops its future at its next step once it was asked to end. One with a
/// supervisor is polled and dropped as that says. This is the seam between the loop, which steps
/// tasks, and what knows about cancellation scopes.
pub trait Supervisor {
    /// Asked before each poll.
    fn before_poll(self: Rc<Self>) -> Verdict;

    /// Asked after each poll; `ready` says that the future has returned its output.
    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict;

    /// The supervisor as its own type.
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// What a [`Supervisor`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Go on as if nobody had asked.
    Continue,
    /// Drop the future, or the output if there is one already: the task ends cancelled.
    End,
}

/// How a task is made.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) context: ContextSlot,
    pub(crate) site: &'static Location<'static>,
    pub(crate) hidden: bool,
    pub(crate) eager: bool,
}

/// How a task ended.
#[derive(Debug)]
pub enum Outcome<T> {
    /// The future returned this.
    Value(T),
    /// The future panicked with this payload.
    Panicked(Box<dyn Any + Send + 'static>),
    /// The future was dropped before it returned.
    Cancelled,
}

impl<F: Future> TaskCell<F> {
    const VTABLE: &'static VTable = &VTable {
        step: step::<F>,
        drop_stage: drop_stage::<F>,
        drop_local,
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: std::any::type_name::<F>,
    };
}

/// # Safety
///
/// `cell` is a live task cell.
unsafe fn task_header<'a>(cell: NonNull<Header>) -> &'a TaskHeader {
    // SAFETY: a task's memory begins with a `TaskHeader` (`repr(C)`), used by shared reference only.
    unsafe { cell.cast::<TaskHeader>().as_ref() }
}

/// # Safety
///
/// `cell` is a live cell of `F`, not `DONE`, with `RUNNING` set, on the owner's thread.
pub(super) unsafe fn step<F: Future>(cell: NonNull<Header>) {
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
    let supervisor = unsafe { &*task.extra.get() }.as_ref().and_then(|x| x.supervisor.clone());
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
fn drop_caught<T>(header: &Header, value: T) {
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
    if !task.header.has(CHILD) {
        // SAFETY: the home of a live cell is alive; an unfinished task is in its list.
        unsafe { Home::disown(task.header.home, cell) };
    }
    // SAFETY: promises 1 and 5: the slot is emptied before anything in it is called.
    if let Some(awaiter) = unsafe { take_awaiter(cell) } {
        awaiter.schedule();
    }
    // SAFETY: as above; the name stays.
    if let Some(extra) = unsafe { (*task.extra.get()).as_mut() } {
        let supervisor = extra.supervisor.take();
        let on_done = std::mem::take(&mut extra.on_done);
        let awaiter = extra.awaiter.take();
        on_done.iter().for_each(CallbackRef::schedule);
        if let Some(waker) = awaiter {
            report::caught("a waker", || waker.wake());
        }
        drop_caught(&task.header, supervisor);
    }
    if task.header.has(CHILD) {
        // SAFETY: DONE just now; RUNNING keeps the cell.
        unsafe { children::ended(cell) };
    } else {
        // SAFETY: the reference of the list; RUNNING keeps the cell.
        unsafe { Header::release(cell) };
    }
}

/// Empties the place of whoever awaits a task, and the link back to it.
///
/// # Safety
///
/// `cell` is a live task on the owner's thread.
unsafe fn take_awaiter(cell: NonNull<Header>) -> Option<CellRef> {
    // SAFETY: a live task.
    let task = unsafe { task_header(cell) };
    // SAFETY: promises 1 and 5.
    let awaiter = unsafe { (*task.awaiter.get()).take() }?;
    unlink(&awaiter, cell);
    Some(awaiter)
}

/// Clears the link from a task to the one that it awaits (promise 10).
fn unlink(awaiter: &CellRef, awaited: NonNull<Header>) {
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
pub(super) unsafe fn destroy(cell: NonNull<Header>) {
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
pub(super) unsafe fn end_quietly(cell: NonNull<Header>) {
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
pub(super) unsafe fn drop_output(cell: NonNull<Header>) {
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
pub(super) unsafe fn drop_stage<F: Future>(cell: NonNull<Header>, flags: u32) {
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
pub(super) unsafe fn drop_local(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let task = unsafe { task_header(cell) };
    // SAFETY: the last look at it (promise 1).
    drop(unsafe { (*task.extra.get()).take() });
    // SAFETY: as above.
    drop(unsafe { take_awaiter(cell) });
}

/// Numbers for tasks: unique in the process, rising on each thread.
#[inline]
fn next_id() -> u64 {
    use std::cell::Cell;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Numbers that a thread takes at once, so that a task costs no atomic operation.
    const BLOCK: u64 = 1 << 10;
    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static LAST: Cell<u64> = const { Cell::new(0) };
    }
    LAST.with(|last| {
        if last.get() % BLOCK == 0 {
            last.set(NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed));
        }
        last.set(last.get() + 1);
        last.get()
    })
}

/// What a new task's cell begins with.
#[inline]
pub(super) fn new_header(
    vtable: &'static VTable,
    home: NonNull<Home>,
    how: Spawn,
    flags: u32,
) -> TaskHeader {
    let flags = flags | TASK | FULL | JOINED | if how.hidden { HIDDEN } else { 0 };
    let extra = how.name.map(Extra::named);
    TaskHeader {
        header: Header::new(vtable, home, flags, how.context),
        id: next_id(),
        site: how.site,
        extra: UnsafeCell::new(extra),
        awaiter: UnsafeCell::new(None),
        awaiting: Cell::new(None),
    }
}

/// Makes a task and schedules it, or starts it at once.
///
/// # Safety
///
/// Whatever `F` and its output borrow outlives the cell's future and output: the caller ends the
/// task and drops the `RawTask` before, or `F: 'static`.
unsafe fn spawn_unchecked<F: Future>(
    home: &HomeOwner,
    future: F,
    how: Spawn,
) -> RawTask<F::Output> {
    let eager = how.eager;
    let task = new_header(TaskCell::<F>::VTABLE, home.ptr(), how, 0);
    let stage = UnsafeCell::new(Stage { future: ManuallyDrop::new(future) });
    // SAFETY: the owner keeps the home alive, and is on its thread.
    let memory = unsafe { Home::allocate(home.ptr(), TaskCell::<F>::VTABLE.layout) };
    // SAFETY: memory for this cell.
    unsafe { memory.cast().write(TaskCell { task, stage }) };
    let cell: NonNull<Header> = memory.cast();
    // SAFETY: a new cell has one local reference.
    let task = TaskRef(unsafe { CellRef::from_raw(cell) });
    task.header().retain();
    // SAFETY: on the owner's thread; the reference taken above is the list's.
    unsafe { Home::own(home.ptr(), cell) };
    if eager {
        // SAFETY: new, so never scheduled.
        unsafe { start_eagerly(cell) };
    } else {
        task.0.schedule();
    }
    RawTask { task, _output: PhantomData }
}

/// Steps a new task inside the call that makes it.
///
/// # Safety
///
/// `cell` is a live task that was never stepped nor scheduled, on the owner's thread.
pub(super) unsafe fn start_eagerly(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    header.set(RUNNING);
    // SAFETY: neither DONE nor running before.
    let step = || unsafe { (header.vtable.step)(cell) };
    // A task of the loop does not stand in the scopes of the one that starts it.
    if header.has(CHILD) {
        step()
    } else {
        frames::isolated(step)
    }
    header.clear(RUNNING);
}

impl HomeOwner {
    /// Makes a task.
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F, how: Spawn) -> RawTask<F::Output> {
        // SAFETY: nothing is borrowed.
        unsafe { spawn_unchecked(self, future, how) }
    }

    /// Makes a task of a future that may borrow, lets `drive` run the loop, and takes the task
    /// apart again: an unfinished future is dropped, and `None` returned.
    pub(crate) fn run_scoped<F: Future>(
        &self,
        future: F,
        how: Spawn,
        drive: impl FnOnce(&mut RawTask<F::Output>),
    ) -> Option<Outcome<F::Output>> {
        /// Ends the task on every way out.
        struct Scope<T>(RawTask<T>);
        impl<T> Drop for Scope<T> {
            fn drop(&mut self) {
                let header = self.0.task.header();
                if !header.has(DONE) {
                    // It is ended on purpose, which is no news.
                    header.set(ENDING);
                    // SAFETY: alive and not DONE; not RUNNING either: a task that is being
                    // stepped is below `drive` on the stack, which has returned or unwound.
                    unsafe { destroy(self.0.task.0.ptr()) };
                }
            }
        }
        // SAFETY: `scope` ends the future and owns the `RawTask`, which drops the output, before
        // this function returns or unwinds, so both before what they borrow.
        let mut scope = Scope(unsafe { spawn_unchecked(self, future, how) });
        drive(&mut scope.0);
        scope.0.take()
    }
}

/// A task, whatever it returns: to look at, name, wake and end it.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
/// let task = raw.task().clone();
/// drop(raw);
/// assert!(!task.is_done(), "the loop owns it");
/// task.request_end();
/// event_loop.run_until_complete(async {})?;
/// assert!(task.is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskRef(CellRef);

impl TaskRef {
    /// # Safety
    ///
    /// As for `CellRef::share`, with a task.
    pub(super) unsafe fn share(cell: NonNull<Header>) -> Self {
        // SAFETY: the caller's promise.
        Self(unsafe { CellRef::share(cell) })
    }

    pub(crate) fn from_cell(cell: CellRef) -> Result<Self, CellRef> {
        if cell.header().has(TASK) { Ok(Self(cell)) } else { Err(cell) }
    }

    pub(super) fn header(&self) -> &Header {
        self.0.header()
    }

    fn task(&self) -> &TaskHeader {
        // SAFETY: a live task.
        unsafe { task_header(self.0.ptr()) }
    }

    /// Runs `f` with the task's extra part, which is made if it is missing.
    fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        // SAFETY: promises 1 and 5: `f` is code of this file that calls nobody.
        let extra = unsafe { &mut *self.task().extra.get() };
        f(extra.get_or_insert_default())
    }

    /// Runs `f` with the task's extra part, if there is one.
    fn if_extra<R>(&self, f: impl FnOnce(&mut Extra) -> Option<R>) -> Option<R> {
        // SAFETY: as above.
        unsafe { &mut *self.task().extra.get() }.as_deref_mut().and_then(f)
    }

    /// The task's number: unique in the process, and rising on each thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let first = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let second = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(first.task().id() < second.task().id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.task().id
    }

    /// The name it was given, or `Task-N` with its number.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(*raw.task().name(), format!("Task-{}", raw.task().id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Rc<str> {
        self.if_extra(|extra| extra.name.clone())
            .unwrap_or_else(|| format!("Task-{}", self.id()).into())
    }

    /// Gives it another name.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let main = async {
    ///     let task = running_loop().current_task().unwrap();
    ///     task.set_name("main");
    ///     task.name()
    /// };
    /// assert_eq!(&*EventLoop::new()?.run_until_complete(main)?, "main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_name(&self, name: &str) {
        let name = Some(Rc::from(name));
        self.with_extra(|extra| extra.name = name);
    }

    /// Where it was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(raw.task().site().line() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.task().site
    }

    /// The Rust type of its future.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Ready;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::ready(1), TaskOptions::new())?;
    /// assert_eq!(raw.task().type_name(), std::any::type_name::<Ready<i32>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.header().vtable.type_name)()
    }

    /// The context it runs in: its own copy, unless it was made in a given one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions, context_var};
    ///
    /// context_var! { static STEP: u32 = 0; }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { drop(STEP.set(1)) }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(raw.task().context().run(|| STEP.get()), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn context(&self) -> Variables {
        // The slot of a task that is being stepped is empty. An eager child may be on top of it,
        // so it has to be the innermost one.
        if self.header().has(RUNNING) {
            ContextSlot::current()
        } else {
            self.header().context.to_context()
        }
    }

    /// The loop that it belongs to, unless that is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(raw.task().event_loop().as_ref(), Some(&*event_loop));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_loop")]
    #[must_use]
    pub fn event_loop(&self) -> Option<LoopRef> {
        // SAFETY: the local side of a live cell keeps its home alive.
        unsafe { Home::event_loop(self.header().home) }
    }

    /// Whether it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(!raw.task().is_done());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.header().has(DONE)
    }

    /// Whether it has ended without returning and without a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.header().has(CANCELLED)
    }

    /// Whether it was asked to end and has not yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// assert!(raw.task().is_ending() && !raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.header().has(ENDING)
    }

    /// Whether it has ended by a panic.
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.header().has(PANICKED)
    }

    /// Whether it is one of [`Children`](super::Children), which their owner steps.
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.header().has(CHILD)
    }

    /// Of one of [`Children`](super::Children) that is being stepped: the task inside whose step that
    /// happens.
    #[must_use]
    pub fn stepper(&self) -> Option<Self> {
        // SAFETY: a live child, on its thread.
        if self.is_child() { unsafe { children::stepper(self.0.ptr()) } } else { None }
    }

    /// Whether it is being stepped.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.header().has(RUNNING)
    }

    /// Whether it stands in line to be stepped.
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.header().has(SCHEDULED)
    }

    /// What it waits for, if it is blocked and has said so.
    ///
    /// Where it waits for several things at once, the last one that it looked at.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, TaskOptions, Wait};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let blocked = poll_fn(|cx| (Wait::Signal.note(cx), Poll::<()>::Pending).1);
    /// let raw = event_loop.spawn(blocked, TaskOptions::new())?;
    /// assert_eq!(raw.task().waits_for(), None, "it has not started");
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(raw.task().waits_for(), Some(Wait::Signal));
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn waits_for(&self) -> Option<Wait> {
        let flags = self.header().flags.get();
        let is_blocked = flags & (DONE | RUNNING | SCHEDULED) == 0;
        is_blocked.then(|| Wait::of_flags(flags)).flatten()
    }

    /// The unfinished task that it awaits outside of every frame.
    #[must_use]
    pub fn awaited(&self) -> Option<Self> {
        let awaited = self.task().awaiting.get()?;
        // SAFETY: promise 10: not DONE, so alive.
        Some(unsafe { Self::share(awaited) })
    }

    /// Counts a request to end, which says this about itself.
    pub fn add_request(&self, reason: CancelReason) {
        let old = self.with_extra(|extra| {
            extra.requests += 1;
            extra.reason.replace(reason)
        });
        drop(old);
    }

    /// Counts one request less; returns how many are left.
    pub fn remove_request(&self) -> usize {
        let left = self.if_extra(|extra| {
            extra.requests = extra.requests.saturating_sub(1);
            Some(extra.requests)
        });
        left.unwrap_or(0)
    }

    /// How often it was asked to end, less what was taken back.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.if_extra(|extra| Some(extra.requests)).unwrap_or(0)
    }

    /// What the last request to end said.
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.if_extra(|extra| extra.reason.clone())
    }

    /// Sets what is said when it ends cancelled.
    pub fn set_cancel_reason(&self, reason: CancelReason) {
        let old = self.with_extra(|extra| extra.reason.replace(reason));
        drop(old);
    }

    /// A reason that names this task as the one that asks.
    #[must_use]
    pub fn sign(&self, reason: CancelReason) -> CancelReason {
        let name = self.if_extra(|extra| extra.name.clone());
        reason.by(self.id(), name.as_deref())
    }

    /// Has it stepped again, as its waker would.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut polls = 0;
    /// let second_poll = poll_fn(move |_| {
    ///     polls += 1;
    ///     if polls < 2 { Poll::Pending } else { Poll::Ready(()) }
    /// });
    /// let raw = event_loop.spawn(second_poll, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(!raw.task().is_done());
    /// raw.task().wake();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wake(&self) {
        self.0.schedule();
    }

    /// Asks it to end: at its next step (in this one, if it is being stepped) its future is
    /// dropped, unless its [`Supervisor`] decides otherwise. False if it has ended already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert!(raw.task().request_end());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// assert!(!raw.task().request_end(), "it has ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_end(&self) -> bool {
        if self.is_done() {
            return false;
        }
        self.header().set(ENDING);
        if !self.is_running() {
            self.0.schedule();
        }
        true
    }

    /// Notes that it was asked to end, for its [`Supervisor`] to look at when it is stepped next.
    pub fn mark_ending(&self) {
        if !self.is_done() {
            self.header().set(ENDING);
        }
    }

    /// Clears the request: it was taken back, or answered.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// raw.task().withdraw_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done() && !raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn withdraw_end(&self) {
        self.header().clear(ENDING);
    }

    /// Puts a supervisor in charge, or nobody. Returns the one before.
    pub fn set_supervisor(&self, new: Option<Rc<dyn Supervisor>>) -> Option<Rc<dyn Supervisor>> {
        match &new {
            _ if self.is_done() => return None,
            Some(_) => self.header().set(SUPERVISED),
            None => self.header().clear(SUPERVISED),
        }
        self.with_extra(|extra| std::mem::replace(&mut extra.supervisor, new))
    }

    /// The supervisor in charge.
    #[must_use]
    pub fn supervisor(&self) -> Option<Rc<dyn Supervisor>> {
        if self.header().has(SUPERVISED) {
            self.if_extra(|extra| extra.supervisor.clone())
        } else {
            None
        }
    }

    /// Schedules `callback` when the task ends, or now if it has.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let this = event_loop.handle_to_self();
    /// raw.task().on_done(event_loop.callback(move || this.stop()));
    /// event_loop.run_forever()?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_done(&self, callback: CallbackRef) {
        if self.is_done() {
            callback.schedule();
        } else {
            self.with_extra(|extra| extra.on_done.push(callback));
        }
    }

    /// Takes back callbacks that were given to [`on_done`](Self::on_done) and are not scheduled
    /// yet; returns how many there were.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let callback = event_loop.callback(|| unreachable!("removed"));
    /// raw.task().on_done(callback.clone());
    /// assert_eq!(raw.task().remove_on_done(&callback), 1);
    /// event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_on_done(&self, callback: &CallbackRef) -> usize {
        let mut removed = Vec::new();
        self.if_extra(|extra| {
            removed.extend(extra.on_done.extract_if_eq(callback));
            Some(())
        });
        removed.len()
    }
}

/// `Vec::extract_if`, which is newer than this crate's oldest compiler.
trait ExtractIfEq<T> {
    fn extract_if_eq(&mut self, item: &T) -> Vec<T>;
}

impl<T: PartialEq> ExtractIfEq<T> for Vec<T> {
    fn extract_if_eq(&mut self, item: &T) -> Vec<T> {
        let (gone, kept) = std::mem::take(self).into_iter().partition(|each| each == item);
        *self = kept;
        gone
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.header().flags.get();
        let state = match flags {
            _ if flags & CANCELLED != 0 => "cancelled",
            _ if flags & PANICKED != 0 => "panicked",
            _ if flags & DONE != 0 => "finished",
            _ if flags & ENDING != 0 => "cancelling",
            _ if flags & RUNNING != 0 => "running",
            _ if flags & SCHEDULED != 0 => "ready",
            _ => "pending",
        };
        write!(f, "<Task {:?} {state}", self.name())?;
        match (self.awaited(), self.waits_for()) {
            (Some(task), _) => write!(f, ", waits for {:?},", task.name())?,
            (None, Some(wait)) => write!(f, ", waits for {wait},")?,
            (None, None) => {}
        }
        write!(f, " created at {}>", self.site())
    }
}

/// The one handle that takes a task's output.
///
/// Dropping it lets the task go on by itself.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let mut task = event_loop.spawn(async { "value" }, TaskOptions::new())?;
/// assert!(task.take().is_none());
/// event_loop.run_until_complete(async {})?;
/// assert!(matches!(task.take(), Some(Outcome::Value("value"))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawTask<T> {
    task: TaskRef,
    _output: PhantomData<T>,
}

impl<T> RawTask<T> {
    /// # Safety
    ///
    /// `cell` is a task whose output is a `T`, and this its only handle.
    pub(super) unsafe fn from_cell(cell: CellRef) -> Self {
        Self { task: TaskRef(cell), _output: PhantomData }
    }

    /// The task itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new().name("worker"))?;
    /// assert_eq!(&*raw.task().name(), "worker");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn task(&self) -> &TaskRef {
        &self.task
    }

    /// Looks at the outcome, once the task has ended and while nobody has taken it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// assert!(raw.peek().is_none());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(matches!(raw.peek(), Some(Outcome::Value(5))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<Outcome<&T>> {
        let header = self.task.header();
        let flags = header.flags.get();
        if flags & DONE == 0 {
            return None;
        }
        if flags & CANCELLED != 0 {
            return Some(Outcome::Cancelled);
        }
        if flags & FULL == 0 {
            return None;
        }
        if flags & PANICKED != 0 {
            header.set(OBSERVED);
            // SAFETY: DONE, FULL and PANICKED: the payload, which only this handle takes, by `&mut`.
            let payload = unsafe { &*header.stage::<Payload>(self.task.0.ptr()) };
            return Some(Outcome::Panicked(report::copy_payload(&**payload)));
        }
        // SAFETY: DONE and FULL: the output of type `T`, which only this handle takes, by `&mut`.
        Some(Outcome::Value(unsafe { &*header.stage::<T>(self.task.0.ptr()) }))
    }

    /// Takes the outcome, once the task has ended; `None` before, and after it was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(matches!(raw.take(), Some(Outcome::Value(5))));
    /// assert!(raw.take().is_none(), "it was taken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&mut self) -> Option<Outcome<T>> {
        let header = self.task.header();
        let flags = header.flags.get();
        if flags & DONE == 0 {
            return None;
        }
        if flags & CANCELLED != 0 {
            return Some(Outcome::Cancelled);
        }
        if flags & FULL == 0 {
            return None;
        }
        header.clear(FULL);
        let outcome = if flags & PANICKED != 0 {
            // SAFETY: the payload, taken once: FULL is clear now.
            Outcome::Panicked(unsafe { header.stage::<Payload>(self.task.0.ptr()).read() })
        } else {
            // SAFETY: the output of type `T`, taken once.
            Outcome::Value(unsafe { header.stage::<T>(self.task.0.ptr()).read() })
        };
        if flags & CHILD != 0 {
            // SAFETY: DONE, and kept alive by this handle.
            unsafe { children::leave_if_empty(self.task.0.ptr()) };
        }
        Some(outcome)
    }

    /// Waits for the outcome and takes it.
    ///
    /// # Panics
    ///
    /// When the task waits for itself, or the outcome was taken before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// let outcome = event_loop.run_until_complete(poll_fn(|cx| raw.poll_join(cx)))?;
    /// assert!(matches!(outcome, Outcome::Value(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_join(&mut self, cx: &Context<'_>) -> Poll<Outcome<T>> {
        if self.task.is_done() {
            return Poll::Ready(self.take_once());
        }
        self.note_awaiter(cx, false);
        Poll::Pending
    }

    /// As [`poll_join`](Self::poll_join); and if the task that waits does so outside of every frame,
    /// [`TaskRef::awaited`] of it says what it waits for.
    ///
    /// # Panics
    ///
    /// As there.
    #[inline]
    pub fn poll_linked(&mut self, cx: &Context<'_>) -> Join<T> {
        if self.task.is_done() {
            return Join::Ready { outcome: self.take_once(), ending: waker::has(cx, ENDING) };
        }
        self.note_awaiter(cx, true)
    }

    fn take_once(&mut self) -> Outcome<T> {
        self.take().expect("a task was polled after it gave its outcome")
    }

    #[inline]
    fn note_awaiter(&self, cx: &Context<'_>, link: bool) -> Join<T> {
        Wait::Task.note(cx);
        match LocalWaker::from_context(cx).into_cell() {
            Ok(awaiter) => self.await_in(awaiter, link),
            Err(waker) => {
                // SAFETY: promises 1 and 5: dropped after it was taken out.
                drop(unsafe { take_awaiter(self.task.0.ptr()) });
                let old = self.task.with_extra(|extra| extra.awaiter.replace(waker));
                drop(old);
                Join::Noted
            }
        }
    }

    /// Notes the task that awaits this one, and links the two if nothing stands in between.
    #[inline]
    fn await_in(&self, awaiter: CellRef, link: bool) -> Join<T> {
        let this = self.task.0.ptr();
        assert!(awaiter != self.task.0, "{:?} awaits itself", self.task);
        let flags = awaiter.header().flags.get();
        // SAFETY: promises 1 and 5: no reference lives on.
        let same = unsafe { &*self.task.task().awaiter.get() }.as_ref() == Some(&awaiter);
        if !same {
            // SAFETY: promises 1 and 5: dropped after it was taken out.
            drop(unsafe { take_awaiter(this) });
        }
        let linked = flags & TASK != 0 && {
            // SAFETY: a live task.
            let slot = unsafe { &task_header(awaiter.ptr()).awaiting };
            let free = slot.get().is_none_or(|awaited| awaited == this);
            if link && free && flags & ENDING == 0 && frames::is_bare() {
                slot.set(Some(this));
                true
            } else {
                unlink(&awaiter, this);
                false
            }
        };
        if !same {
            // SAFETY: promises 1 and 5: the place is empty.
            unsafe { *self.task.task().awaiter.get() = Some(awaiter) };
        }
        if linked { Join::Linked } else { Join::Noted }
    }
}

/// What waiting for a task has come to.
#[derive(Debug)]
pub enum Join<T> {
    /// The task has ended.
    Ready {
        /// How.
        outcome: Outcome<T>,
        /// Whether the task that was waiting has been asked to end.
        ending: bool,
    },
    /// The task that waits is woken, and [`TaskRef::awaited`] of it says what it waits for.
    Linked,
    /// Whoever waits is woken: inside a frame, in several places at once, or by a waker that is
    /// not ours.
    Noted,
}

impl<T> Drop for RawTask<T> {
    fn drop(&mut self) {
        let header = self.task.header();
        header.clear(JOINED);
        if !header.has(DONE) {
            // Nobody waits any more.
            // SAFETY: promises 1 and 5: dropped after it was taken out.
            drop(unsafe { take_awaiter(self.task.0.ptr()) });
            drop(self.task.if_extra(|extra| extra.awaiter.take()));
            return;
        }
        let observed = header.has(OBSERVED);
        match self.take() {
            Some(Outcome::Panicked(payload)) if !observed => {
                report::task_panicked(&self.task, payload);
            }
            Some(outcome) => drop_caught(self.task.header(), outcome),
            None => {}
        }
    }
}

impl<T> fmt::Debug for RawTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
