//! Tasks that belong to a future instead of the loop: the children of a task group.
//!
//! Their futures may borrow what the owner of the set may. The owner polls them, one
//! [`step`](Children::step) at a time, so they run only while what they borrow is alive; everything
//! else that points at their cells sees headers. A child that is woken stands in line in its set
//! and wakes whoever polls that.

use std::alloc::Layout;
use std::any::type_name;
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::task::Context;

use super::cell::{
    CHILD, CellRef, DONE, FULL, HIDDEN, Header, LENT, RUNNING, SCHEDULED, VTable, WAIT,
};
use super::home::Home;
use super::memory;
use super::task::{self, RawTask, Spawn, Stage, TaskHeader, TaskRef};
use super::waker::LoopWaker;
use crate::event_loop::LoopRef;
use crate::spawn::TaskOptions;

/// What a child's cell begins with.
#[repr(C)]
pub(super) struct ChildHeader {
    task: TaskHeader,
    /// The set, for as long as this is a member of it.
    set: Cell<Option<NonNull<Core>>>,
}

#[repr(C)]
struct ChildCell<F: Future> {
    child: ChildHeader,
    stage: UnsafeCell<Stage<F>>,
}

impl<F: Future> ChildCell<F> {
    const VTABLE: &'static VTable = &VTable {
        step: task::step::<F>,
        drop_stage: task::drop_stage::<F>,
        drop_local: task::drop_local,
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: type_name::<F>,
    };
}

/// The part of a set that its members point at.
pub(super) struct Core {
    home: NonNull<Home>,
    /// Where the set stands in the home's list of sets.
    pub(super) place: Cell<usize>,
    /// Unfinished children, and finished ones whose output nobody has taken: each entry owns a
    /// local reference, and knows its index by its `slot`.
    members: UnsafeCell<Vec<NonNull<Header>>>,
    /// Children to be stepped.
    ready: UnsafeCell<VecDeque<NonNull<Header>>>,
    /// Who is to step them.
    waker: UnsafeCell<Option<LoopWaker>>,
    /// Children that have not ended.
    live: Cell<usize>,
    closing: Cell<bool>,
    /// The task whose step steps a child now.
    stepper: Cell<Option<NonNull<Header>>>,
}

impl Core {
    /// # Safety
    ///
    /// On the owner's thread; the reference must not live across code of a user (promise 5).
    #[allow(clippy::mut_from_ref, reason = "promise 5 keeps the references apart")]
    unsafe fn members(&self) -> &mut Vec<NonNull<Header>> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.members.get() }
    }

    /// # Safety
    ///
    /// As for `members`.
    #[allow(clippy::mut_from_ref, reason = "promise 5 keeps the references apart")]
    unsafe fn ready(&self) -> &mut VecDeque<NonNull<Header>> {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.ready.get() }
    }

    /// The unfinished children that users see.
    pub(super) fn tasks(&self) -> impl Iterator<Item = TaskRef> {
        // SAFETY: promise 1; the list is copied here and now.
        let members = unsafe { self.members() };
        // SAFETY: the list's references keep its entries alive; all are tasks.
        let tasks: Vec<_> = members.iter().map(|cell| unsafe { TaskRef::share(*cell) }).collect();
        tasks.into_iter().filter(|task| !task.header().has(HIDDEN | DONE))
    }

    fn wake(&self) {
        let Some(waker) = self.replace_waker(None) else { return };
        // One of ours is there for the next time. To clone or wake another may be code of a user, which may
        // drop this very set, so nothing comes after that.
        self.replace_waker(waker.clone_local());
        waker.wake();
    }

    fn replace_waker(&self, waker: Option<LoopWaker>) -> Option<LoopWaker> {
        // SAFETY: promises 1 and 5: the caller drops the old one.
        std::mem::replace(unsafe { &mut *self.waker.get() }, waker)
    }
}

/// # Safety
///
/// `cell` is a live child.
unsafe fn child<'a>(cell: NonNull<Header>) -> &'a ChildHeader {
    // SAFETY: a child's memory begins with a `ChildHeader` (`repr(C)`), used by shared reference only.
    unsafe { cell.cast::<ChildHeader>().as_ref() }
}

/// # Safety
///
/// As for `child`; the result is used while the cell stays a member.
unsafe fn set_of<'a>(cell: NonNull<Header>) -> Option<&'a Core> {
    // SAFETY: promise 9: a set outlives its members' membership.
    unsafe { child(cell) }.set.get().map(|core| unsafe { core.as_ref() })
}

/// The task inside whose step `cell` is being stepped.
///
/// # Safety
///
/// On the owner's thread; `cell` is a live child.
pub(super) unsafe fn stepper(cell: NonNull<Header>) -> Option<TaskRef> {
    // SAFETY: the caller's promise.
    let stepper = unsafe { set_of(cell) }?.stepper.get()?;
    // SAFETY: it is being stepped further up this thread's stack, so it is alive, and a task.
    Some(unsafe { TaskRef::share(stepper) })
}

/// Puts a child, marked as `SCHEDULED`, into the line of its set.
///
/// # Safety
///
/// On the owner's thread; `cell` is a live child.
pub(super) unsafe fn push_ready(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    match unsafe { set_of(cell) } {
        Some(core) if !core.closing.get() => {
            // SAFETY: promises 1 and 5.
            let ready = unsafe { core.ready() };
            ready.push_back(cell);
            if ready.len() == 1 {
                core.wake();
            }
        }
        // SAFETY: alive.
        _ => unsafe { cell.as_ref() }.clear(SCHEDULED),
    }
}

/// Counts out a child that has ended, before anybody is told: whoever is told may take the output, and with
/// that the child out of the set.
///
/// # Safety
///
/// On the owner's thread, once, with a child that has just become `DONE`.
pub(super) unsafe fn ended(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if let Some(core) = unsafe { set_of(cell) } {
        core.live.set(core.live.get() - 1);
    }
}

/// Takes an ended child out of its set once its stage is empty.
///
/// # Safety
///
/// On the owner's thread; something besides the set keeps `cell`, a child that is `DONE`, alive.
pub(super) unsafe fn leave_if_empty(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    if !unsafe { cell.as_ref() }.has(FULL) {
        // SAFETY: the caller's promise.
        unsafe { leave(cell) };
    }
}

/// Takes an ended child out of its set, unless it has left already.
///
/// # Safety
///
/// As for `leave_if_empty`, with a stage that is empty or its handle's alone (promise 9).
unsafe fn leave(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    // SAFETY: the caller's promise.
    let Some(core) = (unsafe { set_of(cell) }) else { return };
    // SAFETY: the caller's promise.
    unsafe { child(cell) }.set.set(None);
    // SAFETY: promises 1 and 5.
    let members = unsafe { core.members() };
    let index = header.slot.replace(u32::MAX) as usize;
    members.swap_remove(index);
    if let Some(moved) = members.get(index) {
        // SAFETY: the list's reference keeps each entry alive.
        unsafe { moved.as_ref() }.slot.set(index as u32);
    }
    // SAFETY: the list's reference, given back once.
    unsafe { Header::release(cell) };
}

/// Tasks that are polled by whoever owns this, and may borrow what lives for `'a`.
///
/// Dropping it drops every future, and every output that was not taken, at once and on this
/// thread. An output that was looked at by [`RawTask::peek`] stays with its handle. If the set is
/// leaked instead, they leak with it, and are never polled again.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{Children, EventLoop, TaskOptions, running_loop};
///
/// let event_loop = EventLoop::new()?;
/// let sum = Cell::new(0);
/// event_loop.run_until_complete(async {
///     let children = Children::new(&running_loop());
///     for number in 1..=3 {
///         let sum = &sum;
///         drop(children.spawn(async move { sum.set(sum.get() + number) }, TaskOptions::new()));
///     }
///     poll_fn(|cx| {
///         children.set_waker(cx);
///         while children.step() {}
///         if children.live() == 0 { Poll::Ready(()) } else { Poll::Pending }
///     })
///     .await;
/// })?;
/// assert_eq!(sum.get(), 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Children<'a> {
    core: NonNull<Core>,
    event_loop: LoopRef,
    /// Invariant in `'a`: a set must not be taken for one whose futures may die sooner.
    _borrows: PhantomData<Cell<&'a ()>>,
}

impl<'a> Children<'a> {
    /// An empty set of a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// assert_eq!((children.live(), children.ready()), (0, 0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(event_loop: &LoopRef) -> Self {
        let core = Box::new(Core {
            home: event_loop.home().ptr(),
            place: Cell::new(0),
            members: UnsafeCell::default(),
            ready: UnsafeCell::default(),
            waker: UnsafeCell::default(),
            live: Cell::new(0),
            closing: Cell::new(false),
            stepper: Cell::new(None),
        });
        let core = NonNull::from(Box::leak(core));
        // SAFETY: the owner keeps the home alive, and is on its thread; the set leaves the list
        // when it is dropped.
        unsafe { Home::add_set(event_loop.home().ptr(), core) };
        Self { core, event_loop: event_loop.clone(), _borrows: PhantomData }
    }

    fn core(&self) -> &Core {
        // SAFETY: freed by `drop` only.
        unsafe { self.core.as_ref() }
    }

    /// Makes a child, to be stepped by this set. Every child is a task: it has a number and a
    /// context, and is found by `all_tasks`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let name = String::from("borrowed");
    /// let children = Children::new(&event_loop.handle_to_self());
    /// let mut child = children.spawn(async { name.len() }, TaskOptions::new());
    /// assert!(event_loop.all_tasks().contains(child.task()));
    /// assert!(children.step());
    /// assert!(matches!(child.take(), Some(asyncio_loop::Outcome::Value(8))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn spawn<F: Future + 'a>(&self, future: F, mut options: TaskOptions) -> RawTask<F::Output> {
        self.event_loop.apply_factory(&mut options);
        let mut how = options.take_spawn();
        how.eager = how.eager && self.event_loop.is_running();
        // SAFETY: promise 9: future and output are dropped by this set before `'a` ends, or never.
        unsafe { self.spawn_unchecked(future, how) }
    }

    /// # Safety
    ///
    /// What `F` and its output borrow outlives this set.
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cell, field by field")]
    unsafe fn spawn_unchecked<F: Future>(&self, future: F, how: Spawn) -> RawTask<F::Output> {
        let eager = how.eager;
        let vtable = ChildCell::<F>::VTABLE;
        // SAFETY: on the home's thread, with the loop keeping it alive.
        let memory = unsafe { Home::allocate(self.core().home, vtable.layout) };
        let cell: NonNull<Header> = memory.cast();
        let new: *mut ChildCell<F> = memory.cast().as_ptr();
        // SAFETY: memory for this cell, which begins with the task's header (`repr(C)`).
        unsafe {
            task::write_header(memory.cast(), vtable, self.core().home, how, CHILD);
            (&raw mut (*new).child.set).write(Cell::new(Some(self.core)));
            (&raw mut (*new).stage).cast::<F>().write(future);
        }

        // SAFETY: a new cell has one local reference.
        let cell_ref = unsafe { CellRef::from_raw(cell) };
        // SAFETY: a task of `F`, and this is the first handle.
        let raw = unsafe { RawTask::from_cell(cell_ref) };
        let header = raw.task().header();
        header.retain();
        // SAFETY: promises 1 and 5; the reference that was just taken is the list's.
        let members = unsafe { self.core().members() };
        header.slot.set(u32::try_from(members.len()).expect("fewer than 2^32 children"));
        members.push(cell);
        self.core().live.set(self.core().live.get() + 1);
        if eager {
            // SAFETY: new, so never scheduled.
            self.within_current(|| unsafe { task::start_eagerly(cell) });
        } else {
            raw.task().wake();
        }
        raw
    }

    /// Has the set woken by the waker of this poll when a child is. To be called in each poll: the waker of
    /// another executor serves once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{Children, EventLoop, TaskOptions, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let children = Children::new(&running_loop());
    ///     let mut polls = 0;
    ///     poll_fn(|cx| {
    ///         children.set_waker(cx);
    ///         polls += 1;
    ///         if polls == 1 {
    ///             drop(children.spawn(async {}, TaskOptions::new())); // wakes the set
    ///         }
    ///         children.step();
    ///         if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
    ///     })
    ///     .await;
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_waker(&self, cx: &Context<'_>) {
        // SAFETY: promises 1 and 5: to compare wakers calls nobody.
        let known = unsafe { &*self.core().waker.get() };
        if known.as_ref().is_none_or(|waker| !waker.will_wake(cx)) {
            drop(self.core().replace_waker(Some(LoopWaker::from_context(cx))));
        }
    }

    /// Has the set woken, as if a child were ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{Children, EventLoop, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let children = Children::new(&running_loop());
    ///     let mut polls = 0;
    ///     poll_fn(|cx| {
    ///         children.set_waker(cx);
    ///         children.wake();
    ///         polls += 1;
    ///         if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
    ///     })
    ///     .await;
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wake(&self) {
        self.core().wake();
    }

    /// How many children are ready to be stepped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// drop(children.spawn(async {}, TaskOptions::new()));
    /// assert_eq!(children.ready(), 1);
    /// children.step();
    /// assert_eq!(children.ready(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn ready(&self) -> usize {
        // SAFETY: promises 1 and 5.
        unsafe { self.core().ready() }.len()
    }

    /// How many children have not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// drop(children.spawn(async {}, TaskOptions::new()));
    /// drop(children.spawn(std::future::pending::<()>(), TaskOptions::new()));
    /// while children.step() {}
    /// assert_eq!(children.live(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn live(&self) -> usize {
        self.core().live.get()
    }

    /// The children that have not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// let child = children.spawn(std::future::pending::<()>(), TaskOptions::new());
    /// assert_eq!(children.tasks(), [child.task().clone()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskRef> {
        self.core().tasks().collect()
    }

    /// Steps the child that has been ready for longest; false if none is, or if that one is being
    /// stepped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// let child = children.spawn(async {}, TaskOptions::new());
    /// assert!(children.step());
    /// assert!(child.task().is_done());
    /// assert!(!children.step(), "nobody is ready");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&self) -> bool {
        // SAFETY: promises 1 and 5.
        let ready = unsafe { self.core().ready() };
        let Some(cell) = ready.pop_front() else { return false };
        // SAFETY: SCHEDULED kept the cell alive in the line, RUNNING does from here.
        let header = unsafe { cell.as_ref() };
        let flags = header.flags.get();
        if flags & RUNNING != 0 {
            // A child that was started eagerly steps its own set.
            ready.push_front(cell);
            return false;
        }
        if flags & DONE == 0 {
            header.flags.set(flags & !(SCHEDULED | WAIT) | RUNNING);
            // SAFETY: neither DONE nor RUNNING. The set lives on: it is borrowed.
            self.within_current(|| unsafe { (header.vtable.step)(cell) });
            header.clear(RUNNING);
        } else {
            header.clear(SCHEDULED);
        }
        // SAFETY: alive so far, and the local side has not ended.
        unsafe { Header::end_if_unused(cell) };
        true
    }

    /// Steps a child by `step`, which does not unwind, and notes in whose step that is.
    fn within_current(&self, step: impl FnOnce()) {
        let core = self.core();
        // SAFETY: on the home's thread, with the loop keeping it alive.
        let current = unsafe { Home::current_cell(core.home) };
        let before = core.stepper.replace(current);
        step();
        core.stepper.set(before);
    }

    /// Ends every child, and drops every output.
    fn clear(&self) {
        let core = self.core();
        core.closing.set(true);
        // A destructor may end or take others, so each look is a new one.
        // SAFETY: promises 1 and 5.
        while let Some(cell) = unsafe { core.members() }.last().copied() {
            // SAFETY: the list's reference keeps it alive; so does this one, to the end of the turn.
            let task = unsafe { TaskRef::share(cell) };
            let header = task.header();
            if !header.has(DONE) {
                // SAFETY: alive; not RUNNING, since a child is stepped with its set borrowed.
                unsafe { task::end_quietly(cell) };
            }
            if header.has(FULL) && !header.has(LENT) {
                header.clear(FULL);
                // SAFETY: promise 3: DONE, and FULL until now. The handle finds nothing any more, and nobody
                // has a reference.
                unsafe { task::drop_output(cell) };
            }
            // SAFETY: DONE, and kept by `task`; what is in the stage is LENT, so the handle's.
            unsafe { leave(cell) };
        }
        // SAFETY: promises 1 and 5.
        while let Some(cell) = unsafe { core.ready() }.pop_front() {
            // SAFETY: SCHEDULED kept the cell alive.
            unsafe { cell.as_ref() }.clear(SCHEDULED);
            // SAFETY: alive so far, and the local side has not ended.
            unsafe { Header::end_if_unused(cell) };
        }
    }
}

impl Drop for Children<'_> {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: added by `new`, on this thread; the `LoopRef` keeps the home alive.
        unsafe { Home::remove_set(self.core().home, self.core) };
        // SAFETY: from a `Box`; no member points at it any more.
        drop(unsafe { Box::from_raw(self.core.as_ptr()) });
    }
}

impl fmt::Debug for Children<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Children").field("live", &self.live()).finish_non_exhaustive()
    }
}
