//! Cells that poll a future and keep its output for whoever joins.

mod extra;
mod raw_task;
mod step;
mod task_ref;

use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::mem::{ManuallyDrop, offset_of};
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

use super::cell::{
    CHILD, CellRef, DONE, ENDING, FULL, HIDDEN, Header, JOINED, RUNNING, TASK, VTable,
};
use super::frames;
use super::home::{Home, HomeOwner};
use super::memory;
use crate::context::ContextSlot;

use extra::{Extra, ExtraSlot};
pub use raw_task::{Join, RawTask};
pub(super) use step::{destroy, drop_local, drop_output, drop_stage, end_quietly, step};
pub use task_ref::TaskRef;

/// What a panic carries.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// What every task's cell begins with.
#[repr(C)]
pub(super) struct TaskHeader {
    header: Header,
    id: u64,
    site: &'static Location<'static>,
    /// What few tasks have.
    extra: UnsafeCell<ExtraSlot>,
    /// The task that waits in `poll_join`; a waiter that is none of ours is in `extra`.
    awaiter: UnsafeCell<Option<CellRef>>,
    /// The unfinished task whose `awaiter` this one is, if it waits for it outside of any frame.
    awaiting: Cell<Option<NonNull<Header>>>,
}

/// What a task costs besides its future; there is one more pointer in the list of live tasks.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<TaskHeader>() == 88);

#[repr(C)]
struct TaskCell<F: Future> {
    task: TaskHeader,
    stage: UnsafeCell<Stage<F>>,
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
///
/// # Examples
///
/// ```
/// use std::any::Any;
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, Supervisor, TaskOptions, Verdict};
///
/// /// Grants one more poll to a task that was asked to end.
/// struct OnceMore(Cell<bool>);
///
/// impl Supervisor for OnceMore {
///     fn before_poll(self: Rc<Self>) -> Verdict {
///         if self.0.replace(false) { Verdict::Continue } else { Verdict::End }
///     }
///
///     fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
///         Verdict::Continue
///     }
///
///     fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
///         self
///     }
/// }
///
/// let event_loop = EventLoop::new()?;
/// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
/// raw.task().set_supervisor(Some(Rc::new(OnceMore(Cell::new(true)))));
/// raw.task().request_end();
/// event_loop.run_until_complete(async {})?;
/// assert!(raw.task().is_ending() && !raw.task().is_done());
/// raw.task().wake();
/// event_loop.run_until_complete(async {})?;
/// assert!(raw.task().is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Supervisor {
    /// Asked before each poll.
    fn before_poll(self: Rc<Self>) -> Verdict;

    /// Asked after each poll; `ready` says that the future has returned its output.
    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict;

    /// Told when the task has ended, however it did.
    fn ended(self: Rc<Self>) {}

    /// The supervisor as its own type.
    fn into_any(self: Rc<Self>) -> Rc<dyn Any>;
}

/// What a [`Supervisor`], which has an example, wants.
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
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let mut raw = event_loop.spawn(async { 7 }, TaskOptions::new())?;
/// event_loop.run_until_complete(async {})?;
/// assert!(matches!(raw.take(), Some(Outcome::Value(7))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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

/// Numbers for the tasks of the machinery, far from those of users: the first task of a program is `Task-1`.
#[cold]
fn next_hidden_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(1 << 63);
    NEXT.fetch_add(1, Ordering::Relaxed)
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

/// Writes what a new task's cell begins with.
///
/// # Safety
///
/// `at` is memory for a task's header.
#[inline]
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cell, field by field")]
pub(super) unsafe fn write_header(
    at: NonNull<TaskHeader>,
    vtable: &'static VTable,
    home: NonNull<Home>,
    how: Spawn,
    flags: u32,
) {
    let flags = flags | TASK | FULL | JOINED | if how.hidden { HIDDEN } else { 0 };
    let task = at.as_ptr();
    // SAFETY: the caller's promise; all fields are written.
    unsafe {
        // A task's header begins with the header of every cell.
        Header::write(at.cast(), vtable, home, flags, how.context);
        (&raw mut (*task).id).write(if how.hidden { next_hidden_id() } else { next_id() });
        (&raw mut (*task).site).write(how.site);
        (&raw mut (*task).extra)
            .write(UnsafeCell::new(how.name.map(ExtraSlot::named).unwrap_or_default()));
        (&raw mut (*task).awaiter).write(UnsafeCell::new(None));
        (&raw mut (*task).awaiting).write(Cell::new(None));
    }
}

/// Makes a task and schedules it, or starts it at once.
///
/// # Safety
///
/// Whatever `F` and its output borrow outlives the cell's future and output: the caller ends the
/// task and drops the `RawTask` before, or `F: 'static`.
#[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cell, field by field")]
unsafe fn spawn_unchecked<F: Future>(
    home: &HomeOwner,
    future: F,
    how: Spawn,
) -> RawTask<F::Output> {
    let eager = how.eager;
    let vtable = TaskCell::<F>::VTABLE;
    // SAFETY: the owner keeps the home alive, and is on its thread.
    let memory = unsafe { Home::allocate(home.ptr(), vtable.layout) };
    let new: NonNull<TaskCell<F>> = memory.cast();
    // SAFETY: memory for this cell, which begins with the header (`repr(C)`).
    unsafe {
        write_header(new.cast(), vtable, home.ptr(), how, 0);
        (&raw mut (*new.as_ptr()).stage).cast::<F>().write(future);
    }
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
    RawTask::new(task)
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
        frames::without_cancelling(step)
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
                let header = self.0.task().header();
                if !header.has(DONE) {
                    // It is ended on purpose, which is no news.
                    header.set(ENDING);
                    // SAFETY: alive and not DONE; not RUNNING either: a task that is being
                    // stepped is below `drive` on the stack, which has returned or unwound.
                    unsafe { destroy(self.0.task().0.ptr()) };
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
