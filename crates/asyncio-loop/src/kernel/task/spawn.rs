//! Making a task.

use std::alloc::Layout;
use std::any::type_name;
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::mem::offset_of;
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;

use super::extra::ExtraSlot;
use super::header::{Origin, Stage, TaskHeader, TaskPtr};
use super::outcome::Outcome;
use super::poll::{self, destroy};
use super::raw_task::RawTask;
use super::traced::created;
use crate::context::ContextSlot;
use crate::kernel::frames;
use crate::kernel::header::{
    CHILD, DONE, ENDING, FULL, HIDDEN, Header, JOINED, RECORDED, RUNNING, Runnable, RunnableRef,
    TASK, TRACED, VTable,
};
use crate::kernel::memory;
use crate::kernel::scheduler::{Scheduler, SchedulerPtr};

/// The allocation of a task.
#[repr(C)]
struct TaskMemory<F: Future> {
    task: TaskHeader,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> TaskMemory<F> {
    const VTABLE: &'static VTable = &VTable {
        run: poll::poll::<F>,
        drop_stage: poll::drop_stage::<F>,
        drop_local: poll::drop_local,
        set: None,
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: type_name::<F>,
    };
}

/// Options of a new task.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) context: ContextSlot,
    pub(crate) site: &'static Location<'static>,
    pub(crate) hidden: bool,
    pub(crate) eager: bool,
}

/// The numbers of hidden tasks, which are far from the numbers of users' tasks: the first task of a
/// program is `Task-1`.
#[cold]
fn next_hidden_id() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT: AtomicU64 = AtomicU64::new(FIRST_HIDDEN);
    match OWN_HIDDEN.get() {
        Some(next) => {
            OWN_HIDDEN.set(Some(next + 1));
            next
        }
        None => NEXT.fetch_add(1, Ordering::Relaxed),
    }
}

/// The first number of a hidden task.
const FIRST_HIDDEN: u64 = 1 << 63;
/// Numbers that a thread takes at once, so that a task costs no atomic operation.
const BLOCK: u64 = 1 << 10;

thread_local! {
    static LAST: Cell<u64> = const { Cell::new(0) };
    /// The next block of a thread that numbers by itself.
    static OWN_BLOCK: Cell<Option<u64>> = const { Cell::new(None) };
    static OWN_HIDDEN: Cell<Option<u64>> = const { Cell::new(None) };
}

/// While this exists, the tasks of this thread are numbered from 1, regardless of earlier tasks and
/// other threads, so that two runs of a test give the same names.
#[derive(Debug)]
pub struct NumbersFromOne {
    last: u64,
    block: Option<u64>,
    hidden: Option<u64>,
    _not_send: PhantomData<*const ()>,
}

impl NumbersFromOne {
    /// Begins with 1.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "it has an effect")]
    pub fn new() -> Self {
        Self {
            last: LAST.replace(0),
            block: OWN_BLOCK.replace(Some(0)),
            hidden: OWN_HIDDEN.replace(Some(FIRST_HIDDEN)),
            _not_send: PhantomData,
        }
    }
}

impl Drop for NumbersFromOne {
    fn drop(&mut self) {
        LAST.set(self.last);
        OWN_BLOCK.set(self.block);
        OWN_HIDDEN.set(self.hidden);
    }
}

/// The first number, less one, of the thread's next block.
#[cold]
fn next_block() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};

    static NEXT_BLOCK: AtomicU64 = AtomicU64::new(0);
    match OWN_BLOCK.get() {
        Some(next) => {
            OWN_BLOCK.set(Some(next + BLOCK));
            next
        }
        None => NEXT_BLOCK.fetch_add(BLOCK, Ordering::Relaxed),
    }
}

/// Numbers for tasks: unique in the process, rising on each thread.
#[inline]
fn next_id() -> u64 {
    LAST.with(|last| {
        if last.get() % BLOCK == 0 {
            last.set(next_block());
        }
        last.set(last.get() + 1);
        last.get()
    })
}

/// The lower half of the number of a task that makes another one; zero if users do not see it.
#[inline]
fn parent(current: Option<Runnable>) -> u32 {
    let task = current.filter(|current| !current.has(HIDDEN)).and_then(TaskPtr::of);
    task.map_or(0, |task| task.id as u32)
}

/// Writes the header of a new task, with two references: the handle's and that of the list that it
/// goes to.
///
/// # Safety
///
/// `at` is memory for a task's header; `scheduler` is alive, and this is its thread.
#[inline]
pub(in crate::kernel) unsafe fn write_header(
    at: NonNull<TaskHeader>,
    vtable: &'static VTable,
    scheduler: NonNull<Scheduler>,
    how: Spawn,
    flags: u32,
) {
    // SAFETY: the caller's promise: the scheduler is alive, and this is its thread.
    let loops = unsafe { SchedulerPtr::new(scheduler) };
    let current = loops.running();
    let (origin, new_flags) =
        loops.with(|local| (Origin { tick: local.tick, parent: parent(current) }, local.new_flags));
    let flags = flags | new_flags | TASK | FULL | JOINED | if how.hidden { HIDDEN } else { 0 };
    // SAFETY: the caller's promise; a task's header begins with the header of all (`repr(C)`).
    unsafe { Header::write(at.cast(), vtable, scheduler, 2, flags, how.context) };
    let id = if how.hidden { next_hidden_id() } else { next_id() };
    let extra = how.name.map(ExtraSlot::named).unwrap_or_default();
    // SAFETY: the caller's promise.
    unsafe { TaskHeader::write(at, id, how.site, extra, origin) };
}

/// Makes a task and schedules it, or starts it at once.
///
/// # Safety
///
/// All that `F` and its output borrow outlives the future and the output in the task: the caller
/// ends the task and drops the `RawTask` before, or `F: 'static`.
unsafe fn spawn_unchecked<F: Future>(
    scheduler: SchedulerPtr,
    future: F,
    how: Spawn,
) -> RawTask<F::Output> {
    let eager = how.eager;
    let vtable = TaskMemory::<F>::VTABLE;
    let memory = scheduler.allocate(vtable.layout);
    // SAFETY: memory for this task, which begins with the header (`repr(C)`).
    unsafe { write_header(memory.cast(), vtable, scheduler.as_ptr(), how, 0) };
    // SAFETY: alive by its first reference, on the scheduler's thread.
    let new = unsafe { Runnable::new(memory.cast()) };
    // SAFETY: the stage is within the memory, and made for an `F`.
    unsafe { new.stage::<F>().write(future) };
    // SAFETY: the first reference is this one.
    let first = unsafe { RunnableRef::from_raw(new) };
    // SAFETY: a task of `F`, and its only handle.
    let raw = unsafe { RawTask::from_raw(first) };
    scheduler.with(|local| local.tasks.push(new));
    if new.has(TRACED | RECORDED) {
        created(new);
    }
    if eager {
        // SAFETY: new, so neither DONE nor RUNNING: a hook may have scheduled it, but the loop
        // that would run it is inside of this call.
        unsafe { start_eagerly(new) };
    } else {
        new.schedule();
    }
    raw
}

/// Polls a new task inside the call that makes it.
///
/// # Safety
///
/// `task` is neither `DONE` nor `RUNNING`.
pub(in crate::kernel) unsafe fn start_eagerly(task: Runnable) {
    task.set(RUNNING);
    // SAFETY: neither DONE nor running before.
    let poll = || unsafe { (task.vtable.run)(task) };
    // A task of the loop is not inside the scopes of the task that starts it.
    if task.has(CHILD) {
        frames::without_cancelling(poll)
    } else {
        frames::isolated(poll)
    }
    task.clear(RUNNING);
}

impl SchedulerPtr {
    /// Makes a task.
    #[inline]
    pub(in crate::kernel) fn spawn<F: Future + 'static>(
        self,
        future: F,
        how: Spawn,
    ) -> RawTask<F::Output> {
        // SAFETY: nothing is borrowed.
        unsafe { spawn_unchecked(self, future, how) }
    }

    /// Makes a task of a future that may borrow, lets `drive` run the loop, and takes the task
    /// apart again: an unfinished future is dropped, and `None` returned.
    pub(in crate::kernel) fn run_scoped<F: Future>(
        self,
        future: F,
        how: Spawn,
        drive: impl FnOnce(&mut RawTask<F::Output>),
    ) -> Option<Outcome<F::Output>> {
        /// Ends the task on every way out.
        struct Scope<T>(RawTask<T>);
        impl<T> Drop for Scope<T> {
            fn drop(&mut self) {
                let task: TaskPtr = self.0.task().ptr();
                if !task.has(DONE) {
                    // It is ended on purpose, so it is not reported.
                    task.set(ENDING);
                    // SAFETY: not DONE; not RUNNING either: a task that is being polled is below
                    // `drive` on the stack, which has returned or unwound.
                    unsafe { destroy(task) };
                }
            }
        }
        // SAFETY: `scope` ends the future and owns the `RawTask`, which drops the output, before
        // this function returns or unwinds, so both before the values that they borrow.
        let mut scope = Scope(unsafe { spawn_unchecked(self, future, how) });
        drive(&mut scope.0);
        scope.0.take()
    }
}
