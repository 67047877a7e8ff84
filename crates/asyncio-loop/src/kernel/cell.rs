//! The header of a cell, its two counts, and how it ends.

use std::alloc::Layout;
use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::children;
use super::home::Home;
use crate::context::ContextSlot;
use crate::primitives::{Arc, AtomicPtr, AtomicU32, Ordering};
use crate::report;

/// The cell is in the ready queue, which keeps it alive. Never set again before the step.
pub(super) const SCHEDULED: u32 = 1;
/// The cell is being stepped, which keeps it alive.
pub(super) const RUNNING: u32 = 1 << 1;
/// The cell has ended and is never stepped again: it ran, was cancelled, or its loop was closed.
pub(super) const DONE: u32 = 1 << 2;
/// The stage holds a live value: callback or future before `DONE`, output after it.
pub(super) const FULL: u32 = 1 << 3;
/// Ended by a panic; the stage holds its payload while `FULL`.
pub(super) const PANICKED: u32 = 1 << 4;
/// Ended by a cancellation, without an output.
pub(super) const CANCELLED: u32 = 1 << 5;
/// A `RawTask` exists and decides about the output.
pub(super) const JOINED: u32 = 1 << 6;
/// A cancellation was requested and has not been looked at.
pub(super) const ENDING: u32 = 1 << 7;
/// The task has a supervisor, which is asked before and after each poll.
pub(super) const SUPERVISED: u32 = 1 << 8;
/// The cell is a task (its memory begins with a `TaskHeader`).
pub(super) const TASK: u32 = 1 << 9;
/// A task of the machinery: nobody sees it as `current_task` or in `all_tasks`.
pub(super) const HIDDEN: u32 = 1 << 10;
/// The panic in the stage has been looked at: nobody needs to be told.
pub(super) const OBSERVED: u32 = 1 << 11;
/// Another thread made the cell; the owner has not seen it yet.
pub(super) const FOREIGN: u32 = 1 << 12;
/// The task belongs to a set of children (its memory begins with a `ChildHeader`).
pub(super) const CHILD: u32 = 1 << 13;
/// A reference to the output was given out: it stays with its handle, also when its set is dropped.
pub(super) const LENT: u32 = 1 << 14;
/// Three bits at the end: what the task waits for, as it has noted in this step (see `WaitsFor`).
pub(super) const WAIT_SHIFT: u32 = 29;
/// Those bits. A step begins by clearing them.
pub(super) const WAIT: u32 = 0b111 << WAIT_SHIFT;

/// `shared`: the cell is in the inbox, or was refused by a closed one.
const QUEUED: u32 = 1;
/// `shared`: the local side (all local references together) is alive.
const LOCAL: u32 = 1 << 1;
/// `shared`: one waker, or the inbox's own reference.
const ONE: u32 = 1 << 2;

#[cfg(loom)]
std::thread_local! {
    /// loom runs all threads of a model on one thread of the system.
    static LIVE_CELLS: Cell<usize> = const { Cell::new(0) };
}

/// Cells that were made and not freed.
#[cfg(all(test, loom))]
pub(super) fn live_cells() -> usize {
    LIVE_CELLS.with(Cell::get)
}

/// What differs between the kinds of cells.
pub(super) struct VTable {
    /// Runs the callback, or polls the future. The caller has set `RUNNING`.
    pub(super) step: unsafe fn(NonNull<Header>),
    /// Drops what is in the stage. The caller has cleared `FULL`.
    pub(super) drop_stage: unsafe fn(NonNull<Header>, flags: u32),
    /// Drops what the local side of a task has besides the stage.
    pub(super) drop_local: unsafe fn(NonNull<Header>),
    /// The whole cell.
    pub(super) layout: Layout,
    /// From the header to the stage.
    pub(super) stage: usize,
    /// The Rust type of the callback or future, for reports.
    pub(super) type_name: fn() -> &'static str,
}

/// What every cell begins with.
pub(super) struct Header {
    pub(super) vtable: &'static VTable,
    /// References on the owner's thread.
    pub(super) refs: Cell<u32>,
    pub(super) flags: Cell<u32>,
    /// References from wakers, and two bits.
    shared: AtomicU32,
    /// Where the cell stands in `Home::owned`, or a child among the members of its set.
    pub(super) slot: Cell<u32>,
    pub(super) home: NonNull<Home>,
    /// The next entry of the inbox, while the cell is in it.
    pub(super) inbox_next: AtomicPtr<Header>,
    /// What the step runs in.
    pub(super) context: ContextSlot,
}

impl Header {
    /// Writes a header with one local reference, field by field: one that is built elsewhere and moved
    /// here is written in small pieces and read in large ones, which processors wait for.
    ///
    /// # Safety
    ///
    /// `at` is memory for a header.
    #[inline]
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cell, field by field")]
    pub(super) unsafe fn write(
        at: NonNull<Self>,
        vtable: &'static VTable,
        home: NonNull<Home>,
        flags: u32,
        context: ContextSlot,
    ) {
        #[cfg(loom)]
        LIVE_CELLS.with(|live| live.set(live.get() + 1));
        let at = at.as_ptr();
        // SAFETY: the caller's promise; all fields are written.
        unsafe {
            (&raw mut (*at).vtable).write(vtable);
            (&raw mut (*at).refs).write(Cell::new(1));
            (&raw mut (*at).flags).write(Cell::new(flags));
            (&raw mut (*at).shared).write(AtomicU32::new(LOCAL));
            (&raw mut (*at).slot).write(Cell::new(u32::MAX));
            (&raw mut (*at).home).write(home);
            (&raw mut (*at).inbox_next).write(AtomicPtr::new(std::ptr::null_mut()));
            (&raw mut (*at).context).write(context);
        }
    }

    #[inline]
    pub(super) fn has(&self, flags: u32) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(super) fn set(&self, flags: u32) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(super) fn clear(&self, flags: u32) {
        self.flags.set(self.flags.get() & !flags);
    }

    /// Where the stage of the cell `this` is, for a caller that knows what is in it.
    #[inline]
    pub(super) fn stage<S>(&self, this: NonNull<Self>) -> *mut S {
        // Within the cell's allocation, the whole of which `this` was made from.
        this.as_ptr().wrapping_byte_add(self.vtable.stage).cast()
    }

    /// Puts the cell into the ready queue unless it is there or has ended.
    ///
    /// # Safety
    ///
    /// On the owner's thread, with `this` alive.
    #[inline]
    pub(super) unsafe fn schedule(this: NonNull<Self>) {
        // SAFETY: the caller's promise.
        let header = unsafe { this.as_ref() };
        let flags = header.flags.get();
        if flags & (SCHEDULED | DONE) == 0 {
            header.flags.set(flags | SCHEDULED);
            if flags & CHILD == 0 {
                // SAFETY: the local side is alive, so the home is (promise 4); this is its thread.
                unsafe { Home::push_ready(header.home, this) };
            } else {
                // SAFETY: a live child, on its thread.
                unsafe { children::push_ready(this) };
            }
        }
    }

    /// Takes a counted reference for a waker, or for the inbox.
    ///
    /// # Safety
    ///
    /// `this` is alive; any thread.
    pub(super) unsafe fn retain_shared(this: NonNull<Self>) {
        // SAFETY: the caller's promise; `shared` and `home` may be read on any thread.
        let header = unsafe { this.as_ref() };
        let before = header.shared.fetch_add(ONE, Ordering::Relaxed);
        if before > u32::MAX / 2 {
            // As `Arc` does: whoever leaks that many may leak on until the count is wrong.
            std::process::abort();
        }
        if before / ONE == 0 {
            // SAFETY: promise 4: without a counted waker, the caller's is a borrowed one inside a
            // poll, or the cell is being made by a holder of the home: the home is alive.
            unsafe { retain_home(header.home) };
        }
    }

    /// Gives a counted reference back; frees the memory if it was the last of all.
    ///
    /// # Safety
    ///
    /// The caller owns one counted reference, and does not use it again; any thread.
    pub(super) unsafe fn release_shared(this: NonNull<Self>) {
        // SAFETY: the reference that is given back keeps the cell alive until the subtraction.
        let header = unsafe { this.as_ref() };
        let home = header.home;
        let before = header.shared.fetch_sub(ONE, Ordering::AcqRel);
        if before / ONE == 1 {
            if before & LOCAL == 0 {
                // SAFETY: promise 2: both sides have ended, and this is the last to look.
                unsafe { free(this) };
            }
            // SAFETY: the count that the first waker took (promise 4).
            unsafe { release_home(home) };
        }
    }

    /// Notes a wake from another thread; true if the caller has to put the cell into the inbox.
    pub(super) fn mark_queued(&self) -> bool {
        self.shared.fetch_or(QUEUED, Ordering::AcqRel) & QUEUED == 0
    }

    /// Whether the local side is alive. On the owner's thread, which alone ends it.
    pub(super) fn has_local_side(&self) -> bool {
        self.shared.load(Ordering::Relaxed) & LOCAL != 0
    }

    /// Undoes `mark_queued`, before the step that answers the wakes up to here.
    pub(super) fn clear_queued(&self) {
        self.shared.fetch_and(!QUEUED, Ordering::AcqRel);
    }

    /// Takes a local reference.
    #[inline]
    pub(super) fn retain(&self) {
        self.refs.set(self.refs.get().checked_add(1).expect("too many references to one task"));
    }

    /// Gives a local reference back, and ends the local side if nothing keeps it.
    ///
    /// # Safety
    ///
    /// On the owner's thread; the caller owns one local reference, and does not use it again.
    #[inline]
    pub(super) unsafe fn release(this: NonNull<Self>) {
        // SAFETY: the reference that is given back keeps the cell alive.
        let header = unsafe { this.as_ref() };
        header.refs.set(header.refs.get() - 1);
        // SAFETY: the caller's promise.
        unsafe { Self::end_if_unused(this) };
    }

    /// Ends the local side if there is no reference and the loop has nothing to do with the cell.
    ///
    /// # Safety
    ///
    /// On the owner's thread, with the local side not ended yet; `this` may be gone afterwards.
    #[inline]
    pub(super) unsafe fn end_if_unused(this: NonNull<Self>) {
        // SAFETY: the caller's promise.
        let header = unsafe { this.as_ref() };
        if header.refs.get() == 0 && !header.has(SCHEDULED | RUNNING) {
            // SAFETY: the condition is promise 2's.
            unsafe { end_local(this) };
        }
    }
}

/// Drops everything that belongs to the owner's thread, then the memory if no waker is left.
///
/// # Safety
///
/// On the owner's thread, once a cell, when nothing local refers to it.
unsafe fn end_local(this: NonNull<Header>) {
    // SAFETY: the local side's share in `shared` keeps the cell alive until it is given back.
    let header = unsafe { this.as_ref() };
    let flags = header.flags.get();
    // RUNNING stays on while destructors run: a reference that they take and give back must not
    // end the local side a second time.
    header.flags.set((flags | DONE | RUNNING) & !FULL);
    let vtable = header.vtable;
    if flags & FULL != 0 {
        // SAFETY: promise 3: no reference, so no `RawTask`, and DONE is set.
        unsafe { (vtable.drop_stage)(this, flags) };
    }
    // SAFETY: the local side ends here, once.
    unsafe { (vtable.drop_local)(this) };
    if let Some(context) = header.context.take() {
        // The values in it are the user's.
        report::caught("the end of a context", || drop(context));
    }
    let home = header.home;

    let alone = header.shared.load(Ordering::Acquire) == LOCAL
        || header.shared.fetch_and(!LOCAL, Ordering::AcqRel) / ONE == 0;
    if alone {
        // SAFETY: promise 2: no waker counts, and without a poll there is no borrowed one.
        unsafe { drop_atomics(this) };
        // SAFETY: as above; the cell's share keeps the home alive, and this is its thread.
        unsafe { Home::free(home, this.cast(), vtable.layout) };
    }
    // SAFETY: this cell's local side kept the home alive up to here (promise 4).
    unsafe { Home::forget_cell(home) };
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
    // SAFETY: memory of cells is of the global allocator, with the layout of the vtable.
    unsafe { std::alloc::dealloc(this.as_ptr().cast(), layout) };
}

/// loom's atomics own memory; the real ones have nothing to drop.
///
/// # Safety
///
/// Promise 2: both sides have ended, and nobody looks at the header any more.
#[inline]
unsafe fn drop_atomics(this: NonNull<Header>) {
    #[cfg(loom)]
    LIVE_CELLS.with(|live| live.set(live.get() - 1));
    #[cfg(loom)]
    // SAFETY: nobody else reaches the cell, which `with_mut` has loom check; loom's atomics own
    // memory of their own.
    unsafe {
        (*this.as_ptr()).shared.with_mut(|_| ());
        std::ptr::drop_in_place(&raw mut (*this.as_ptr()).shared);
        std::ptr::drop_in_place(&raw mut (*this.as_ptr()).inbox_next);
    }
    #[cfg(not(loom))]
    let _ = this;
}

/// # Safety
///
/// `home` is inside a live `Arc`.
pub(super) unsafe fn retain_home(home: NonNull<Home>) {
    // SAFETY: the caller's promise; the pointer came from `Arc::into_raw`/`as_ptr`.
    let home = unsafe { Arc::from_raw(home.as_ptr().cast_const()) };
    std::mem::forget(Arc::clone(&home));
    std::mem::forget(home);
}

/// # Safety
///
/// The caller owns one count of `home`.
pub(super) unsafe fn release_home(home: NonNull<Home>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Arc::from_raw(home.as_ptr().cast_const()) });
}

/// A local reference to a cell: sees the header only.
pub(crate) struct CellRef {
    ptr: NonNull<Header>,
    _not_send: PhantomData<*const ()>,
}

impl CellRef {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// On the owner's thread; the caller owns one local reference to the live cell.
    pub(super) unsafe fn from_raw(ptr: NonNull<Header>) -> Self {
        Self { ptr, _not_send: PhantomData }
    }

    /// Takes a reference of its own.
    ///
    /// # Safety
    ///
    /// On the owner's thread, with a live cell whose local side has not ended.
    #[inline]
    pub(super) unsafe fn share(ptr: NonNull<Header>) -> Self {
        // SAFETY: the caller's promise.
        unsafe { ptr.as_ref() }.retain();
        Self { ptr, _not_send: PhantomData }
    }

    #[inline]
    pub(super) fn ptr(&self) -> NonNull<Header> {
        self.ptr
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        // SAFETY: the reference keeps the cell alive (promise 2), and shared access is all that
        // `Header` needs.
        unsafe { self.ptr.as_ref() }
    }

    /// Puts the cell into the ready queue.
    #[inline]
    pub(crate) fn schedule(&self) {
        // SAFETY: a `CellRef` stays on the owner's thread, and keeps the cell alive.
        unsafe { Header::schedule(self.ptr) };
    }
}

impl CellRef {
    /// Puts the cell into the ready queue, unless it belongs to a set, whose waker may be anybody's and do anything;
    /// whether it did.
    #[inline]
    pub(crate) fn schedule_alone(&self) -> bool {
        let is_alone = !self.header().has(CHILD);
        if is_alone {
            self.schedule();
        }
        is_alone
    }
}

impl Clone for CellRef {
    #[inline]
    fn clone(&self) -> Self {
        self.header().retain();
        Self { ptr: self.ptr, _not_send: PhantomData }
    }
}

impl Drop for CellRef {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the reference is this value's, on the owner's thread, and used no more.
        unsafe { Header::release(self.ptr) };
    }
}

impl PartialEq for CellRef {
    fn eq(&self, other: &Self) -> bool {
        self.ptr == other.ptr
    }
}

impl Eq for CellRef {}

impl Hash for CellRef {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.ptr.hash(state);
    }
}

impl fmt::Debug for CellRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.header().vtable.type_name)())
    }
}
