//! The header of a callback or a task, its two counts, and the end of its memory.

use std::alloc::Layout;
use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

use super::host;
use super::members::Member;
use super::remote_queue::Linked;
use super::ring::TypeName;
use super::scheduler::{Scheduler, SchedulerPtr};
use super::waits_for::WAIT_BITS;
use crate::context::ContextSlot;
use crate::primitives::{Arc, AtomicPtr, AtomicU32, Ordering};

/// It is in a ready queue, which keeps it alive. Never set again before it runs.
pub(super) const SCHEDULED: u32 = 1;
/// It is being run or polled, which keeps it alive.
pub(super) const RUNNING: u32 = 1 << 1;
/// It has ended and never runs again: it ran, was cancelled, or its loop was closed.
pub(super) const DONE: u32 = 1 << 2;
/// The stage holds a live value: the callback or future before `DONE`, the output after it.
pub(super) const FULL: u32 = 1 << 3;
/// It ended by a panic; the stage holds the payload while `FULL`.
pub(super) const PANICKED: u32 = 1 << 4;
/// It ended by a cancellation, without an output.
pub(super) const CANCELLED: u32 = 1 << 5;
/// A `RawTask` exists and decides about the output.
pub(super) const JOINED: u32 = 1 << 6;
/// A cancellation was requested and has not been handled.
pub(super) const ENDING: u32 = 1 << 7;
/// The task has a supervisor, which is asked before and after each poll.
pub(super) const SUPERVISED: u32 = 1 << 8;
/// It is a task: its memory begins with a `TaskHeader`.
pub(super) const TASK: u32 = 1 << 9;
/// A hidden task: `current_task` and `all_tasks` leave it out.
pub(super) const HIDDEN: u32 = 1 << 10;
/// The panic in the stage has been seen: it is not reported.
pub(super) const OBSERVED: u32 = 1 << 11;
/// Another thread made it, and the owner has not seen it yet.
pub(super) const FOREIGN: u32 = 1 << 12;
/// The task belongs to a set of children: its vtable has a [`SetVTable`].
pub(super) const CHILD: u32 = 1 << 13;
/// A reference to the output was given out: the output stays with its handle when its set is
/// dropped.
pub(super) const LENT: u32 = 1 << 14;
/// The task waits for another one, which its `detail` names (promise 10).
pub(super) const LINKED: u32 = 1 << 15;
/// The task's events are reported to hooks, or a poll of it is traced: see `task/traced.rs`.
pub(super) const TRACED: u32 = 1 << 16;
/// An error in the output has to be reported unless it is retrieved: see `task/unseen.rs`.
pub(super) const LOOKED_FOR: u32 = 1 << 17;
/// The task's events are recorded: see `task/recorded.rs`.
pub(super) const RECORDED: u32 = 1 << 18;
/// The bits of [`WaitsFor`](super::WaitsFor): what the task waits for, as it has noted in this
/// poll. A poll begins by clearing them.
pub(super) const WAIT: u32 = WAIT_BITS;

/// `shared`: it is in the remote queue, or was refused by a closed one.
const QUEUED: u32 = 1;
/// `shared`: the local side (all local references together) is alive.
const LOCAL: u32 = 1 << 1;
/// `shared`: one waker, or the remote queue's own reference.
const ONE: u32 = 1 << 2;

#[cfg(loom)]
std::thread_local! {
    /// loom runs all threads of a model on one thread of the system.
    static LIVE: Cell<usize> = const { Cell::new(0) };
}

/// Callbacks and tasks that were made and not freed.
#[cfg(all(test, loom))]
pub(super) fn live_count() -> usize {
    LIVE.with(Cell::get)
}

/// The functions and sizes of one Rust type of callback or task.
pub(super) struct VTable {
    /// Runs the callback, or polls the future. The caller has set `RUNNING`, and it was not `DONE`.
    pub(super) run: unsafe fn(Runnable),
    /// Drops the value in the stage. The caller has cleared `FULL`.
    pub(super) drop_stage: unsafe fn(Runnable, flags: u32),
    /// Drops the local parts of a task other than the stage, once.
    pub(super) drop_local: unsafe fn(Runnable),
    /// The set that the task belongs to, of a `CHILD`.
    pub(super) set: Option<&'static SetVTable>,
    /// The whole allocation.
    pub(super) layout: Layout,
    /// From the header to the stage.
    pub(super) stage: usize,
    /// The Rust type of the callback or future, for reports.
    pub(super) type_name: TypeName,
}

/// The functions of a set of children for its members.
pub(super) struct SetVTable {
    /// Queues a child, which is marked as `SCHEDULED`.
    pub(super) push_ready: fn(Runnable),
    /// Counts a child that has just become `DONE`.
    pub(super) ended: fn(Runnable),
    /// Takes a child that is `DONE` out of the set if its stage is empty. The caller keeps it
    /// alive.
    pub(super) leave_if_empty: fn(Runnable),
}

/// The first part of every callback and task.
pub(super) struct Header {
    pub(super) vtable: &'static VTable,
    /// References on the owner's thread.
    pub(super) refs: Cell<u32>,
    pub(super) flags: Cell<u32>,
    /// References of wakers, and two bits.
    shared: AtomicU32,
    /// The place among the tasks of the scheduler, or of a child among the members of its set.
    place: Cell<u32>,
    pub(super) scheduler: NonNull<Scheduler>,
    /// The next entry of the remote queue, while it is in there.
    next_remote: AtomicPtr<Header>,
    /// The context that it runs in.
    pub(super) context: ContextSlot,
}

impl Header {
    /// Writes a header with the given number of local references, field by field. A header that is
    /// built elsewhere and moved here would be written in small pieces and read in large ones,
    /// which stalls processors.
    ///
    /// # Safety
    ///
    /// `at` is memory for a header.
    #[inline]
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one header, field by field")]
    pub(super) unsafe fn write(
        at: NonNull<Self>,
        vtable: &'static VTable,
        scheduler: NonNull<Scheduler>,
        refs: u32,
        flags: u32,
        context: ContextSlot,
    ) {
        #[cfg(loom)]
        LIVE.with(|live| live.set(live.get() + 1));
        let at = at.as_ptr();
        // SAFETY: the caller's promise; all fields are written.
        unsafe {
            (&raw mut (*at).vtable).write(vtable);
            (&raw mut (*at).refs).write(Cell::new(refs));
            (&raw mut (*at).flags).write(Cell::new(flags));
            (&raw mut (*at).shared).write(AtomicU32::new(LOCAL));
            (&raw mut (*at).place).write(Cell::new(u32::MAX));
            (&raw mut (*at).scheduler).write(scheduler);
            (&raw mut (*at).next_remote).write(AtomicPtr::new(std::ptr::null_mut()));
            (&raw mut (*at).context).write(context);
        }
    }

    #[inline]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(super) fn set(&self, flags: u32) {
        self.store_flags(self.flags.get() | flags);
    }

    #[inline]
    pub(super) fn clear(&self, flags: u32) {
        self.store_flags(self.flags.get() & !flags);
    }

    /// Clears some flags and sets others.
    #[inline]
    pub(super) fn change(&self, clear: u32, set: u32) {
        self.store_flags(self.flags.get() & !clear | set);
    }

    /// Stores the whole word. The compiler would make a store of one byte of a change of one bit,
    /// and a load of the word soon after would have to wait until that byte is in the cache.
    #[inline]
    fn store_flags(&self, flags: u32) {
        // SAFETY: the flags are a `Cell` of this thread (promise 1), without references into it.
        unsafe { self.flags.as_ptr().write_volatile(flags) };
    }

    /// The Rust type of the callback or future.
    pub(super) fn type_name(&self) -> &'static str {
        (self.vtable.type_name)()
    }

    /// Takes a counted reference for a waker, or for the remote queue.
    ///
    /// # Safety
    ///
    /// `this` is alive; any thread.
    pub(super) unsafe fn retain_shared(this: NonNull<Self>) {
        // SAFETY: the caller's promise; `shared` and `scheduler` may be read on any thread.
        let header = unsafe { this.as_ref() };
        let before = header.shared.fetch_add(ONE, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // As `Arc` does: a program that leaks so many may leak on until the count is wrong.
            std::process::abort();
        }
        if before / ONE == 0 {
            // SAFETY: promise 4: without a counted waker, the caller's is a borrowed one inside a
            // poll, or this is being made by a holder of the scheduler: that is alive.
            unsafe { retain_scheduler(header.scheduler) };
        }
    }

    /// Gives a counted reference back; frees the memory if it was the last of all.
    ///
    /// # Safety
    ///
    /// The caller owns one counted reference, and does not use it again; any thread.
    pub(super) unsafe fn release_shared(this: NonNull<Self>) {
        // SAFETY: the reference that is given back keeps it alive until the subtraction.
        let header = unsafe { this.as_ref() };
        let scheduler = header.scheduler;
        let before = header.shared.fetch_sub(ONE, Ordering::AcqRel);
        if before / ONE == 1 {
            if before & LOCAL == 0 {
                // SAFETY: promise 2: both sides have ended, and this is the last to look.
                unsafe { free(this) };
            }
            // SAFETY: the count that the first waker took (promise 4).
            unsafe { release_scheduler(scheduler) };
        }
    }

    /// Notes a wake from another thread. Returns whether the caller has to put it into the remote
    /// queue.
    pub(super) fn mark_queued(&self) -> bool {
        self.shared.fetch_or(QUEUED, Ordering::AcqRel) & QUEUED == 0
    }

    /// Whether the local side is alive. On the owner's thread, which alone ends it.
    pub(super) fn has_local_side(&self) -> bool {
        self.shared.load(Ordering::Relaxed) & LOCAL != 0
    }

    /// Undoes `mark_queued`, before the poll that answers the wakes up to here.
    pub(super) fn clear_queued(&self) {
        self.shared.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    /// Takes a local reference.
    #[inline]
    pub(super) fn retain(&self) {
        self.refs.set(self.refs.get().checked_add(1).expect("too many references to one task"));
    }
}

impl Linked for Header {
    fn link(&self) -> &AtomicPtr<Self> {
        &self.next_remote
    }
}

/// A callback or a task, as a plain pointer to its header.
///
/// Promise 11 holds for every one that exists: this is the owner's thread, and the local side is
/// alive. So everything that needs no more than that is safe to call. To make one is unsafe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Runnable(NonNull<Header>);

impl Deref for Runnable {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        // SAFETY: promise 11; `Header` is used by shared reference only.
        unsafe { self.0.as_ref() }
    }
}

impl Member for Runnable {
    #[inline]
    fn place(&self) -> &Cell<u32> {
        // SAFETY: as in `deref`.
        &unsafe { self.0.as_ref() }.place
    }
}

impl Runnable {
    /// # Safety
    ///
    /// Promise 11 holds for as long as the result or a copy of it is used.
    #[inline]
    pub(super) unsafe fn new(header: NonNull<Header>) -> Self {
        Self(header)
    }

    #[inline]
    pub(super) fn as_ptr(self) -> NonNull<Header> {
        self.0
    }

    #[inline]
    pub(super) fn scheduler(self) -> SchedulerPtr {
        // SAFETY: promise 4: the local side keeps its scheduler alive; this is its thread.
        unsafe { SchedulerPtr::new(self.scheduler) }
    }

    /// A pointer to the stage, for a caller that knows its type.
    #[inline]
    pub(super) fn stage<S>(self) -> *mut S {
        // Within the allocation, the whole of which the pointer was made from.
        self.0.as_ptr().wrapping_byte_add(self.vtable.stage).cast()
    }

    /// Puts it into its ready queue unless it is there or has ended.
    #[inline]
    pub(super) fn schedule(self) {
        let flags = self.flags.get();
        if flags & (SCHEDULED | DONE) == 0 {
            self.flags.set(flags | SCHEDULED);
            if flags & (CHILD | RECORDED) == 0 {
                if !self.scheduler().push_ready(self) {
                    self.push_refused();
                }
            } else {
                self.push_elsewhere();
            }
        }
    }

    /// As [`schedule`](Self::schedule), if that calls no code of a user; false if it would, and
    /// then nothing was done.
    #[inline]
    pub(super) fn schedule_quietly(self) -> bool {
        let flags = self.flags.get();
        if flags & (SCHEDULED | DONE) != 0 {
            return true;
        }
        let is_quiet = flags & (CHILD | RECORDED) == 0 && self.scheduler().push_ready(self);
        if is_quiet {
            self.flags.set(flags | SCHEDULED);
        }
        is_quiet
    }

    /// Schedules a child, or a task of a loop that records.
    fn push_elsewhere(self) {
        if self.has(RECORDED) {
            self.scheduler().with(|local| local.woken)(self);
        }
        match self.vtable.set {
            Some(set) => (set.push_ready)(self),
            None if self.scheduler().push_ready(self) => {}
            None => self.push_refused(),
        }
    }

    /// Called when the ready queue has refused the entry: the loop is closed, or it is a resting
    /// guest.
    #[cold]
    fn push_refused(self) {
        if !self.scheduler().push_for_host(self) {
            self.clear(SCHEDULED);
        }
    }

    /// Runs `f` with its context entered and `current` as the current task. `f` must not unwind
    /// (promise 7). It must not be entered already.
    #[inline]
    pub(super) fn enter(self, current: Option<Self>, f: impl FnOnce()) {
        let before = self.scheduler().set_current(current);
        let context = self.context.enter();
        f();
        self.context.exit(context);
        self.scheduler().set_current(before);
    }

    /// Gives a local reference back, and ends the local side if nothing else keeps it.
    ///
    /// # Safety
    ///
    /// The caller owns one local reference, and does not use it again.
    #[inline]
    pub(super) unsafe fn release(self) {
        self.refs.set(self.refs.get() - 1);
        // SAFETY: the caller's promise.
        unsafe { self.end_if_unused() };
    }

    /// Ends the local side if there is no reference and no queue or poll keeps it.
    ///
    /// # Safety
    ///
    /// The caller does not use it afterwards unless something else keeps it alive.
    #[inline]
    pub(super) unsafe fn end_if_unused(self) {
        if self.refs.get() == 0 && !self.has(SCHEDULED | RUNNING) {
            self.end_local();
        }
    }

    /// Drops all that belongs to the owner's thread, then the memory if no waker is left. Only for
    /// `end_if_unused`.
    fn end_local(self) {
        let flags = self.flags.get();
        // RUNNING stays set while destructors run: a reference that they take and give back must
        // not end the local side a second time.
        self.flags.set((flags | DONE | RUNNING) & !FULL);
        let vtable = self.vtable;
        if flags & FULL != 0 {
            // SAFETY: promise 3: no reference, so no `RawTask`, and DONE is set.
            unsafe { (vtable.drop_stage)(self, flags) };
        }
        // SAFETY: the local side ends here, once.
        unsafe { (vtable.drop_local)(self) };
        if let Some(context) = self.context.take() {
            // The values in it are the user's.
            host::caught("the end of a context", || drop(context));
        }
        let (scheduler, memory) = (self.scheduler(), self.0);
        let is_last = self.shared.load(Ordering::Acquire) == LOCAL
            || self.shared.fetch_and(!LOCAL, Ordering::AcqRel) / ONE == 0;
        if is_last {
            // SAFETY: promise 2: no waker counts, and without a poll there is no borrowed one.
            unsafe { drop_atomics(memory) };
            // SAFETY: as above: nothing uses the memory, which was allocated with this layout.
            unsafe { scheduler.free(memory.cast(), vtable.layout) };
        }
        // SAFETY: the local side's share, which kept the scheduler alive up to here (promise 4).
        unsafe { scheduler.forget() };
    }
}

/// Frees the memory on a thread that need not be the owner's.
///
/// # Safety
///
/// Promise 2: both sides have ended.
pub(super) unsafe fn free(this: NonNull<Header>) {
    // SAFETY: alive until the end of this function.
    let layout = unsafe { this.as_ref() }.vtable.layout;
    // SAFETY: the caller's promise.
    unsafe { drop_atomics(this) };
    // SAFETY: the memory is of the global allocator, with the layout of the vtable.
    unsafe { std::alloc::dealloc(this.as_ptr().cast(), layout) };
}

/// loom's atomics own memory; the real ones have nothing to drop.
///
/// # Safety
///
/// Promise 2: both sides have ended, and no code reads the header any more.
#[inline]
unsafe fn drop_atomics(this: NonNull<Header>) {
    #[cfg(loom)]
    LIVE.with(|live| live.set(live.get() - 1));
    #[cfg(loom)]
    // SAFETY: there is no other access to the header, which loom checks in `with_mut`; loom's
    // atomics own memory of their own.
    unsafe {
        (*this.as_ptr()).shared.with_mut(|_| ());
        std::ptr::drop_in_place(&raw mut (*this.as_ptr()).shared);
        std::ptr::drop_in_place(&raw mut (*this.as_ptr()).next_remote);
    }
    #[cfg(not(loom))]
    let _ = this;
}

/// # Safety
///
/// `scheduler` is inside a live `Arc`.
pub(super) unsafe fn retain_scheduler(scheduler: NonNull<Scheduler>) {
    // SAFETY: the caller's promise; the pointer came from `Arc::into_raw`/`as_ptr`.
    let scheduler = unsafe { Arc::from_raw(scheduler.as_ptr().cast_const()) };
    std::mem::forget(Arc::clone(&scheduler));
    std::mem::forget(scheduler);
}

/// How many counts `scheduler` has: one of its loop, and those of wakers and of handles for other
/// threads.
///
/// # Safety
///
/// `scheduler` is inside a live `Arc`.
pub(super) unsafe fn scheduler_count(scheduler: NonNull<Scheduler>) -> usize {
    // SAFETY: the caller's promise; the pointer came from `Arc::into_raw`/`as_ptr`.
    let scheduler = unsafe { Arc::from_raw(scheduler.as_ptr().cast_const()) };
    let count = Arc::strong_count(&scheduler);
    std::mem::forget(scheduler);
    count
}

/// # Safety
///
/// The caller owns one count of `scheduler`.
pub(super) unsafe fn release_scheduler(scheduler: NonNull<Scheduler>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(scheduler.as_ptr().cast_const()) });
}

/// A counted local reference to a callback or a task.
pub(crate) struct RunnableRef {
    runnable: Runnable,
    _not_send: PhantomData<*const ()>,
}

impl RunnableRef {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// The caller owns one local reference.
    pub(super) unsafe fn from_raw(runnable: Runnable) -> Self {
        Self { runnable, _not_send: PhantomData }
    }

    /// Takes a reference of its own.
    #[inline]
    pub(super) fn share(runnable: Runnable) -> Self {
        runnable.retain();
        Self { runnable, _not_send: PhantomData }
    }

    #[inline]
    pub(super) fn get(&self) -> Runnable {
        self.runnable
    }

    #[inline]
    pub(super) fn runnable(&self) -> Runnable {
        self.runnable
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        &self.runnable
    }

    /// Puts it into its ready queue.
    #[inline]
    pub(crate) fn schedule(&self) {
        self.runnable.schedule();
    }

    /// Schedules it unless it is a child of a group, whose waker may be code of a user. Returns
    /// whether it did.
    #[inline]
    pub(crate) fn schedule_unless_child(&self) -> bool {
        let is_child = self.runnable.has(CHILD);
        if !is_child {
            self.schedule();
        }
        !is_child
    }
}

impl Clone for RunnableRef {
    #[inline]
    fn clone(&self) -> Self {
        Self::share(self.runnable)
    }
}

impl Drop for RunnableRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reference is this value's, and used no more.
        unsafe { self.runnable.release() };
    }
}

impl PartialEq for RunnableRef {
    fn eq(&self, other: &Self) -> bool {
        self.runnable == other.runnable
    }
}

impl Eq for RunnableRef {}

impl Hash for RunnableRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.runnable.as_ptr().hash(state);
    }
}

impl fmt::Debug for RunnableRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.header().type_name())
    }
}
