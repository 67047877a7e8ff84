//! What cells belong to: one home a loop, with the ready queue and the list of live tasks.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::{Rc, Weak};

use super::callback::{self, CallbackRef};
use super::cell::{self, CellRef, DONE, FOREIGN, HIDDEN, Header, RUNNING, SCHEDULED, WAIT};
use super::children::Core;
use super::inbox::{Batch, Closed, Inbox};
use super::memory::Memory;
use super::ready::Ready;
use super::task::{self, TaskRef};
use crate::context::{self, ContextSlot};
use crate::event_loop::{Inner, LoopRef};
use crate::primitives::{Arc, is_thread, thread_id};

pub(crate) struct Home {
    thread: u64,
    pub(super) inbox: Inbox,
    /// Ends the poll that the owner blocks in.
    unpark: Box<dyn Fn() + Send + Sync>,
    local: UnsafeCell<Local>,
}

/// The owner's part.
struct Local {
    ready: Ready,
    /// Every task that has not ended; each entry owns a local reference.
    owned: Vec<NonNull<Header>>,
    /// The sets of children that have not been dropped.
    sets: Vec<NonNull<Core>>,
    /// The task that is being stepped.
    current: Option<NonNull<Header>>,
    /// Cells whose local side is alive, and one for the open loop.
    cells: usize,
    closed: bool,
    memory: Memory,
    /// The loop itself, as long as it is there.
    event_loop: Weak<Inner>,
}

// SAFETY: `local` is used on the thread `thread` only (promise 1); when the last count goes, on
// whatever thread, it holds no cell any more, only empty buffers.
unsafe impl Send for Home {}
// SAFETY: as above; the rest is `Sync` by itself.
unsafe impl Sync for Home {}

impl Home {
    /// Whether this is the thread of the home.
    #[inline]
    pub(super) fn is_owner(&self) -> bool {
        is_thread(self.thread)
    }

    pub(super) fn unpark(&self) {
        (self.unpark)();
    }

    /// # Safety
    ///
    /// On the owner's thread, with `home` alive; the reference must not live across code of a user
    /// (promise 5).
    #[inline]
    unsafe fn local<'a>(home: NonNull<Self>) -> &'a mut Local {
        // SAFETY: the caller's promise.
        let local = unsafe { home.as_ref() }.local.get();
        // SAFETY: promises 1 and 5.
        unsafe { &mut *local }
    }

    /// # Safety
    ///
    /// On the owner's thread, with `home` and `cell` alive and the cell marked `SCHEDULED`.
    #[inline]
    pub(super) unsafe fn push_ready(home: NonNull<Self>, cell: NonNull<Header>) {
        // SAFETY: the caller's promise.
        if !unsafe { Self::local(home) }.ready.push(cell) {
            // SAFETY: the caller's promise.
            unsafe { cell.as_ref() }.clear(SCHEDULED);
        }
    }

    /// Memory for a new cell, which counts from now on.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive; the caller makes a cell of it.
    #[inline]
    pub(super) unsafe fn allocate(home: NonNull<Self>, layout: Layout) -> NonNull<u8> {
        // SAFETY: the caller's promise.
        let local = unsafe { Self::local(home) };
        local.cells += 1;
        local.memory.take(layout)
    }

    /// Takes the memory of a cell back.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive; `memory` is of the padded `layout`, and unused.
    #[inline]
    pub(super) unsafe fn free(home: NonNull<Self>, memory: NonNull<u8>, layout: Layout) {
        // SAFETY: the caller's promise.
        let local = unsafe { Self::local(home) };
        // SAFETY: the caller's promise.
        unsafe { local.memory.put(memory, layout) };
        if local.closed {
            local.memory.clear();
        }
    }

    /// Notes that the local side of a cell, or the loop, has ended; with the last of them the
    /// owner's count of the home goes.
    ///
    /// # Safety
    ///
    /// On the owner's thread, once for each cell and once for the loop.
    #[inline]
    pub(super) unsafe fn forget_cell(home: NonNull<Self>) {
        // SAFETY: the caller's count keeps the home alive.
        let local = unsafe { Self::local(home) };
        local.cells -= 1;
        if local.cells == 0 {
            // SAFETY: the owner's count, given back once.
            unsafe { cell::release_home(home) };
        }
    }

    /// Takes a task into the list of live ones, together with a local reference.
    ///
    /// # Safety
    ///
    /// On the owner's thread with both alive; the caller gives up one local reference.
    #[inline]
    pub(super) unsafe fn own(home: NonNull<Self>, task: NonNull<Header>) {
        // SAFETY: the caller's promise.
        let owned = &mut unsafe { Self::local(home) }.owned;
        let slot = u32::try_from(owned.len()).expect("fewer than 2^32 tasks");
        // SAFETY: the caller's promise.
        unsafe { task.as_ref() }.slot.set(slot);
        owned.push(task);
    }

    /// Takes a task out of the list; its reference passes to the caller.
    ///
    /// # Safety
    ///
    /// On the owner's thread with both alive.
    #[inline]
    pub(super) unsafe fn disown(home: NonNull<Self>, task: NonNull<Header>) {
        // SAFETY: the caller's promise.
        let slot = unsafe { task.as_ref() }.slot.replace(u32::MAX);
        // SAFETY: the caller's promise.
        let owned = &mut unsafe { Self::local(home) }.owned;
        debug_assert_eq!(owned.get(slot as usize), Some(&task));
        owned.swap_remove(slot as usize);
        if let Some(moved) = owned.get(slot as usize) {
            // SAFETY: the list's reference keeps each entry alive.
            unsafe { moved.as_ref() }.slot.set(slot);
        }
    }

    /// The loop that the home is part of, unless it is gone.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive.
    pub(super) unsafe fn event_loop(home: NonNull<Self>) -> Option<LoopRef> {
        // SAFETY: the caller's promise.
        unsafe { Self::local(home) }.event_loop.upgrade().map(LoopRef::from_inner)
    }

    /// Takes a set of children into the list of sets.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive; the set is taken out before it is freed.
    pub(super) unsafe fn add_set(home: NonNull<Self>, set: NonNull<Core>) {
        // SAFETY: the caller's promise.
        let sets = &mut unsafe { Self::local(home) }.sets;
        // SAFETY: the caller's promise.
        unsafe { set.as_ref() }.place.set(sets.len());
        sets.push(set);
    }

    /// Takes a set out of the list.
    ///
    /// # Safety
    ///
    /// On the owner's thread with both alive, once for each `add_set`.
    pub(super) unsafe fn remove_set(home: NonNull<Self>, set: NonNull<Core>) {
        // SAFETY: the caller's promise.
        let sets = &mut unsafe { Self::local(home) }.sets;
        // SAFETY: the caller's promise.
        let place = unsafe { set.as_ref() }.place.get();
        sets.swap_remove(place);
        if let Some(moved) = sets.get(place) {
            // SAFETY: sets in the list are alive.
            unsafe { moved.as_ref() }.place.set(place);
        }
    }

    /// The task that is being stepped.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive.
    #[inline]
    pub(super) unsafe fn current_cell(home: NonNull<Self>) -> Option<NonNull<Header>> {
        // SAFETY: the caller's promise.
        unsafe { Self::local(home) }.current
    }

    /// Makes `task` the current one; returns the one before.
    ///
    /// # Safety
    ///
    /// On the owner's thread with `home` alive.
    #[inline]
    pub(super) unsafe fn set_current(
        home: NonNull<Self>,
        task: Option<NonNull<Header>>,
    ) -> Option<NonNull<Header>> {
        // SAFETY: the caller's promise.
        std::mem::replace(&mut unsafe { Self::local(home) }.current, task)
    }
}

impl fmt::Debug for Home {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Home").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// What was current before a cell was entered.
#[must_use = "pass it to `leave`"]
pub(super) struct Before {
    current: Option<NonNull<Header>>,
    context: context::Entered,
}

/// Makes `current` the current task and enters the context of `cell`.
///
/// # Safety
///
/// On the owner's thread; `cell` is alive, and not entered already.
#[inline]
pub(super) unsafe fn enter(cell: NonNull<Header>, current: Option<NonNull<Header>>) -> Before {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    // SAFETY: the local side of a live cell keeps the home alive.
    let current = unsafe { Home::set_current(header.home, current) };
    Before { current, context: header.context.enter() }
}

/// Undoes `enter`. Nothing may unwind in between (promise 7).
///
/// # Safety
///
/// On the owner's thread; `cell` is alive, and `before` came from entering it.
#[inline]
pub(super) unsafe fn leave(cell: NonNull<Header>, before: Before) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    header.context.exit(before.context);
    // SAFETY: as in `enter`.
    unsafe { Home::set_current(header.home, before.current) };
}

/// The door for other threads.
#[derive(Clone, Debug)]
pub(crate) struct SharedHome(Arc<Home>);

impl SharedHome {
    /// Runs `callback` on the owner's thread; gives it back if the loop is closed.
    pub(crate) fn call_soon<F: FnOnce() + Send + 'static>(&self, callback: F) -> Result<(), F> {
        // SAFETY: the home is alive, and `F` is `Send`.
        let cell = unsafe { callback::new_foreign(self.ptr(), callback) };
        // SAFETY: the inbox takes the cell over with its one reference.
        match unsafe { self.0.inbox.push(cell) } {
            Ok(true) => self.0.unpark(),
            Ok(false) => {}
            // SAFETY: refused, so this thread is still the only one that knows the cell, which is
            // one of `F`.
            Err(Closed) => return Err(unsafe { callback::take_foreign(cell) }),
        }
        Ok(())
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.0.is_owner()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.inbox.is_closed()
    }

    /// The home with the whole of its `Arc`, so that counts may be taken through the pointer.
    fn ptr(&self) -> NonNull<Home> {
        NonNull::new(Arc::as_ptr(&self.0).cast_mut()).expect("an Arc is not null")
    }
}

/// The owner's handle, on the thread that made it.
pub(crate) struct HomeOwner {
    home: NonNull<Home>,
    _not_send: PhantomData<*const ()>,
}

impl HomeOwner {
    /// A home for this thread; `unpark` ends the poll that its owner blocks in.
    pub(crate) fn new(unpark: impl Fn() + Send + Sync + 'static) -> Self {
        let local = Local {
            ready: Ready::new(),
            owned: Vec::new(),
            sets: Vec::new(),
            current: None,
            cells: 1,
            closed: false,
            memory: Memory::new(),
            event_loop: Weak::new(),
        };
        let home = Arc::new(Home {
            thread: thread_id(),
            inbox: Inbox::new(),
            unpark: Box::new(unpark),
            local: UnsafeCell::new(local),
        });
        let home = NonNull::new(Arc::into_raw(home).cast_mut()).expect("an Arc is not null");
        Self { home, _not_send: PhantomData }
    }

    #[inline]
    pub(super) fn ptr(&self) -> NonNull<Home> {
        self.home
    }

    #[inline]
    fn home(&self) -> &Home {
        // SAFETY: this handle counts for one in `cells`, so the owner's count is still there.
        unsafe { self.home.as_ref() }
    }

    #[inline]
    #[allow(clippy::mut_from_ref, reason = "promise 5 keeps the references apart")]
    fn local(&self) -> &mut Local {
        // SAFETY: a `HomeOwner` stays on its thread; every use in this file is short (promise 5).
        unsafe { Home::local(self.home) }
    }

    /// Tells it which loop it is part of.
    pub(crate) fn set_event_loop(&self, event_loop: &Rc<Inner>) {
        self.local().event_loop = Rc::downgrade(event_loop);
    }

    /// A door for other threads.
    pub(crate) fn shared(&self) -> SharedHome {
        // SAFETY: the home is alive.
        unsafe { cell::retain_home(self.home) };
        // SAFETY: the count that was just taken.
        SharedHome(unsafe { Arc::from_raw(self.home.as_ptr().cast_const()) })
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.local().closed
    }

    /// A callback that nobody has scheduled yet.
    pub(crate) fn callback<F: FnOnce() + 'static>(
        &self,
        f: F,
        context: ContextSlot,
    ) -> CallbackRef {
        callback::new(self, f, context)
    }

    /// Whether other threads have left something.
    #[inline]
    pub(crate) fn has_mail(&self) -> bool {
        !self.home().inbox.is_empty() && !self.is_closed()
    }

    /// Moves what other threads have left to the ready queue.
    pub(crate) fn take_mail(&self) {
        if self.has_mail() {
            self.accept(self.home().inbox.take(), Header::schedule);
        }
    }

    fn accept(&self, batch: Batch, each: unsafe fn(NonNull<Header>)) {
        for cell in batch {
            // SAFETY: the inbox's reference keeps the cell alive.
            let header = unsafe { cell.as_ref() };
            if header.has(FOREIGN) {
                header.clear(FOREIGN);
                self.local().cells += 1;
                // SAFETY: alive, and on the owner's thread.
                unsafe { each(cell) };
                // SAFETY: the maker's local reference, which came with the cell.
                unsafe { Header::release(cell) };
                continue;
            }
            header.clear_queued();
            if header.has_local_side() {
                // SAFETY: alive, and on the owner's thread.
                unsafe { each(cell) };
            }
            // SAFETY: the inbox's counted reference, given back once.
            unsafe { Header::release_shared(cell) };
        }
    }

    /// Says that the loop is going to block; false if it must not.
    pub(crate) fn prepare_sleep(&self) -> bool {
        let local = self.local();
        local.ready.relax();
        // As for the queue: what a rush left behind is not kept for good.
        if local.owned.capacity() > 4096 && local.owned.len() < local.owned.capacity() / 8 {
            local.owned.shrink_to(local.owned.len() * 2);
        }
        self.home().inbox.prepare_sleep()
    }

    /// Says that the loop runs again.
    pub(crate) fn awake(&self) {
        self.home().inbox.awake();
    }

    /// How many cells are ready.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.local().ready.len()
    }

    /// A number that each step changes, for whatever counts by step.
    #[inline]
    pub(crate) fn steps(&self) -> usize {
        self.local().ready.taken()
    }

    /// The cell that `step` would run.
    pub(crate) fn peek(&self) -> Option<CellRef> {
        let cell = self.local().ready.first()?;
        // SAFETY: cells in the ready queue are alive.
        Some(unsafe { CellRef::share(cell) })
    }

    /// Runs the first `steps` ready cells, or fewer if there are fewer.
    #[inline]
    pub(crate) fn run(&self, steps: usize) {
        for _ in 0..steps {
            let Some(cell) = self.local().ready.pop() else { return };
            // SAFETY: cells in the ready queue are alive, and this one was taken out.
            unsafe { Self::step(cell) };
        }
    }

    /// # Safety
    ///
    /// On the owner's thread; `cell` comes out of the ready queue.
    #[inline]
    unsafe fn step(cell: NonNull<Header>) {
        // SAFETY: SCHEDULED kept the cell alive in the queue, RUNNING does from here.
        let header = unsafe { cell.as_ref() };
        let flags = header.flags.get();
        if flags & DONE == 0 {
            header.flags.set(flags & !(SCHEDULED | WAIT) | RUNNING);
            // SAFETY: RUNNING was not set, since a running cell is not DONE and only this function
            // and `task::start_eagerly` set it, the latter before the cell is ever scheduled.
            unsafe { (header.vtable.step)(cell) };
            header.clear(RUNNING);
        } else {
            header.clear(SCHEDULED);
        }
        // SAFETY: alive so far, and the local side has not ended.
        unsafe { Header::end_if_unused(cell) };
    }

    /// The task that is being stepped, if it is one that users see.
    pub(crate) fn current(&self) -> Option<TaskRef> {
        self.stepped().filter(|task| !task.header().has(HIDDEN))
    }

    /// The task that is being stepped, one of the machinery too.
    pub(crate) fn stepped(&self) -> Option<TaskRef> {
        let cell = self.local().current?;
        // SAFETY: the current task is alive, and a task.
        Some(unsafe { TaskRef::share(cell) })
    }

    /// Every unfinished task that users see, oldest first.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<TaskRef> = (self.local().owned.iter())
            // SAFETY: the list's references keep its entries alive; all are tasks.
            .map(|cell| unsafe { TaskRef::share(*cell) })
            .filter(|task| !task.header().has(HIDDEN))
            .collect();
        for set in &self.local().sets {
            // SAFETY: sets in the list are alive.
            tasks.extend(unsafe { set.as_ref() }.tasks());
        }
        tasks.sort_unstable_by_key(TaskRef::id);
        tasks
    }

    /// Drops every future and callback, on this thread, each with itself as the current task and
    /// in its own context. Nothing runs any more; wakes that come later do nothing.
    pub(crate) fn close(&self) {
        if std::mem::replace(&mut self.local().closed, true) {
            return;
        }
        fn ignore(_: NonNull<Header>) {}
        self.accept(self.home().inbox.close(), ignore);
        // A destructor may end or detach others, so each look is a new one.
        while let Some(cell) = self.local().owned.last().copied() {
            // SAFETY: an entry of the list is alive, and a task that has not ended; none is
            // running, since a running loop is not closed and tasks are stepped in its runs only.
            unsafe { task::destroy(cell) };
        }
        while let Some(cell) = self.local().ready.pop() {
            // SAFETY: SCHEDULED kept the cell alive.
            let header = unsafe { cell.as_ref() };
            header.clear(SCHEDULED);
            if !header.has(DONE) {
                // SAFETY: tasks are DONE by now, so this is a callback; it is not running.
                unsafe { callback::discard(cell) };
            }
            // SAFETY: alive so far, and the local side has not ended.
            unsafe { Header::end_if_unused(cell) };
        }
        let local = self.local();
        local.ready.close();
        local.owned.shrink_to_fit();
        local.memory.clear();
    }
}

impl Drop for HomeOwner {
    fn drop(&mut self) {
        self.close();
        // The home may end on another thread; this count may not.
        drop(std::mem::take(&mut self.local().event_loop));
        // SAFETY: the loop's share in `cells`, given back once.
        unsafe { Home::forget_cell(self.home) };
    }
}

impl fmt::Debug for HomeOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.home().fmt(f)
    }
}
