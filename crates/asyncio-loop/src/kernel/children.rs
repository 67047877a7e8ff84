//! Tasks that belong to a future instead of the loop: the children of a task group.
//!
//! Their futures may borrow everything that the owner of the set may borrow. The owner polls them,
//! one at a time by [`step`](Children::step), so they run only while their borrows are alive; all
//! other pointers to them see only headers. A child that is woken is queued in its set, and wakes
//! the task that polls the set.

use std::alloc::Layout;
use std::any::type_name;
use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::task::Context;

use super::header::{
    CHILD, DONE, FULL, HIDDEN, LENT, RECORDED, RUNNING, Runnable, RunnableRef, SCHEDULED,
    SetVTable, TRACED, VTable, WAIT,
};
use super::memory;
use super::scheduler::{Pick, SchedulerPtr, Set};
use super::task::{self, RawTask, Spawn, Stage, TaskHeader, TaskPtr, TaskRef};
use super::waker::LoopWaker;

/// The first part of every child.
#[repr(C)]
struct ChildHeader {
    task: TaskHeader,
    /// The set, for as long as this is a member of it.
    set: Cell<Option<NonNull<Core>>>,
}

/// The allocation of a child.
#[repr(C)]
struct ChildMemory<F: Future> {
    child: ChildHeader,
    stage: UnsafeCell<Stage<F>>,
}

/// The functions of a set for its members.
static SET: SetVTable = SetVTable { push_ready, ended, leave_if_empty };

impl<F: Future> ChildMemory<F> {
    const VTABLE: &'static VTable = &VTable {
        run: task::poll::<F>,
        drop_stage: task::drop_stage::<F>,
        drop_local: task::drop_local,
        set: Some(&SET),
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: type_name::<F>,
    };
}

/// The reaction of a set to a child that becomes ready.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SetState {
    /// Queues it.
    Open,
    /// Queues it at a place that the scheduler's `pick` chooses.
    Picked,
    /// Forgets it.
    Closing,
}

/// The part of a set that its members point at.
struct Core {
    set: Set,
    /// Kept alive by the share that the set has.
    scheduler: SchedulerPtr,
    /// Children to be polled.
    ready: UnsafeCell<VecDeque<Runnable>>,
    /// Wakes the task that polls them.
    waker: UnsafeCell<Option<LoopWaker>>,
    /// Children that have not ended.
    live: Cell<usize>,
    state: Cell<SetState>,
    /// The task inside whose poll a child is being polled.
    poller: Cell<Option<TaskPtr>>,
}

impl Core {
    /// Runs `f`, which calls no code of a user, with the queue.
    fn with_ready<R>(&self, f: impl FnOnce(&mut VecDeque<Runnable>) -> R) -> R {
        // SAFETY: promises 1 and 5.
        f(unsafe { &mut *self.ready.get() })
    }

    fn pick(&self) -> Option<Pick> {
        self.scheduler.with(|local| local.pick.clone())
    }

    fn wake(&self) {
        let Some(waker) = self.replace_waker(None) else { return };
        // A waker of this project is kept for the next time. Cloning or waking another one may run
        // code of a user, which may drop this very set, so nothing comes after that.
        self.replace_waker(waker.clone_local());
        waker.wake();
    }

    /// The caller drops the old one.
    fn replace_waker(&self, waker: Option<LoopWaker>) -> Option<LoopWaker> {
        // SAFETY: promises 1 and 5.
        std::mem::replace(unsafe { &mut *self.waker.get() }, waker)
    }

    fn is_woken_by(&self, cx: &Context<'_>) -> bool {
        // SAFETY: promises 1 and 5: comparing wakers calls no user.
        unsafe { &*self.waker.get() }.as_ref().is_some_and(|waker| waker.will_wake(cx))
    }
}

/// The unfinished members of a set that users see.
pub(super) fn tasks_of(set: &Set) -> impl Iterator<Item = TaskRef> {
    let members: Vec<_> = set.with_members(|members| members.iter().collect());
    let tasks = members.into_iter().filter_map(TaskPtr::of);
    tasks.filter(|task| !task.has(HIDDEN | DONE)).map(TaskRef::share)
}

/// The place for the set of `child`.
fn place_of(child: Runnable) -> &'static Cell<Option<NonNull<Core>>> {
    // SAFETY: promise 11, and a child's memory begins with a `ChildHeader` (`repr(C)`). The callers
    // in this file use the place while the child is alive.
    unsafe { &(*child.as_ptr().cast::<ChildHeader>().as_ptr()).set }
}

/// The set of a child, unless it has left. The callers in this file use it while the child stays.
fn set_of(child: Runnable) -> Option<&'static Core> {
    // SAFETY: promise 9: a set outlives its members' membership.
    place_of(child).get().map(|core| unsafe { core.as_ref() })
}

fn push_ready(child: Runnable) {
    match set_of(child) {
        Some(core) if core.state.get() == SetState::Open => {
            let is_first = core.with_ready(|ready| {
                ready.push_back(child);
                ready.len() == 1
            });
            if is_first {
                core.wake();
            }
        }
        Some(core) if core.state.get() == SetState::Picked => push_picked(core, child),
        _ => child.clear(SCHEDULED),
    }
}

/// Puts a child at the place that `pick` chooses; 0 is the end.
#[cold]
fn push_picked(core: &Core, child: Runnable) {
    let (count, pick) = (core.with_ready(|ready| ready.len()), core.pick());
    let back = pick.map_or(0, |pick| pick(count + 1)).min(count);
    core.with_ready(|ready| ready.insert(count - back, child));
    if count == 0 {
        core.wake();
    }
}

/// A child is counted as ended before its waiters are woken, because they may take the output, and
/// so remove the child from the set.
fn ended(child: Runnable) {
    if let Some(core) = set_of(child) {
        core.live.set(core.live.get() - 1);
    }
}

fn leave_if_empty(child: Runnable) {
    if !child.has(FULL) {
        leave(child);
    }
}

/// Takes a child that is `DONE` out of its set, unless it has left already. Its stage is empty or
/// belongs to its handle alone (promise 9). The caller keeps it alive.
fn leave(child: Runnable) {
    let Some(core) = set_of(child) else { return };
    place_of(child).set(None);
    core.set.with_members(|members| members.remove(child));
    // SAFETY: the list's reference, given back once.
    unsafe { child.release() };
}

/// The task that polls the set of a child.
fn owner_of(child: Runnable) -> Option<TaskRef> {
    let core = set_of(child)?;
    // SAFETY: promises 1 and 5: to look calls no user.
    unsafe { &*core.waker.get() }.as_ref()?.task()
}

impl TaskRef {
    /// The numbers of the tasks that await this one, each once.
    #[must_use]
    pub(crate) fn awaiters(&self) -> Vec<u64> {
        let mut awaiters = self.noted_awaiters();
        if self.ptr().has(CHILD) && !self.is_done() {
            awaiters.extend(owner_of(self.ptr().get()).map(|task| task.id()));
        }
        awaiters.sort_unstable();
        awaiters.dedup();
        awaiters.retain(|awaiter| *awaiter != self.id());
        awaiters
    }

    /// The task inside whose poll this one, a child of a group, is being polled.
    #[doc(hidden)]
    #[must_use]
    pub fn stepper(&self) -> Option<Self> {
        let task = self.ptr();
        if !task.has(CHILD) {
            return None;
        }
        // It is being polled further up this thread's stack, so it is alive.
        set_of(task.get())?.poller.get().map(Self::share)
    }
}

/// Tasks that are polled by the owner of this set, and may borrow values that live for `'a`. See
/// [`Children`](crate::machinery::Children).
pub struct ChildSet<'a> {
    core: NonNull<Core>,
    /// Invariant in `'a`: a set must not be taken for one whose futures may die sooner.
    _borrows: PhantomData<Cell<&'a ()>>,
}

impl<'a> ChildSet<'a> {
    pub(super) fn with_scheduler(scheduler: SchedulerPtr) -> Self {
        let core = Box::new(Core {
            set: Set::new(),
            scheduler,
            ready: UnsafeCell::default(),
            waker: UnsafeCell::default(),
            live: Cell::new(0),
            state: Cell::new(SetState::Open),
            poller: Cell::new(None),
        });
        if core.pick().is_some() {
            core.state.set(SetState::Picked);
        }
        let core = NonNull::from(Box::leak(core));
        let this = Self { core, _borrows: PhantomData };
        // SAFETY: `drop` takes it out again.
        unsafe { scheduler.add_set(NonNull::from(&this.core().set)) };
        this
    }

    fn core(&self) -> &Core {
        // SAFETY: freed by `drop` only.
        unsafe { self.core.as_ref() }
    }

    /// Makes a child.
    pub(crate) fn spawn_with<F: Future + 'a>(&self, future: F, how: Spawn) -> RawTask<F::Output> {
        // SAFETY: promise 9: future and output are dropped by this set before `'a` ends, or never.
        unsafe { self.spawn_unchecked(future, how) }
    }

    /// # Safety
    ///
    /// All that `F` and its output borrow outlives this set.
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one allocation, field by field")]
    unsafe fn spawn_unchecked<F: Future>(&self, future: F, how: Spawn) -> RawTask<F::Output> {
        let (eager, core) = (how.eager, self.core());
        let vtable = ChildMemory::<F>::VTABLE;
        let memory = core.scheduler.allocate(vtable.layout);
        let new: *mut ChildMemory<F> = memory.cast().as_ptr();
        // SAFETY: memory for this child, which begins with the task's header (`repr(C)`).
        unsafe {
            task::write_header(memory.cast(), vtable, core.scheduler.as_ptr(), how, CHILD);
            (&raw mut (*new).child.set).write(Cell::new(Some(self.core)));
            (&raw mut (*new).stage).cast::<F>().write(future);
        }
        // SAFETY: alive by its first reference, on the scheduler's thread.
        let child = unsafe { Runnable::new(memory.cast()) };
        // SAFETY: that reference is this one.
        let first = unsafe { RunnableRef::from_raw(child) };
        // SAFETY: a task of `F`, and its only handle.
        let raw = unsafe { RawTask::from_raw(first) };
        core.set.with_members(|members| members.push(child));
        core.live.set(core.live.get() + 1);
        if child.has(TRACED | RECORDED) {
            task::created(child);
        }
        if eager {
            // SAFETY: new, so neither DONE nor RUNNING: a hook may have scheduled it, but the set
            // is stepped by its owner only.
            self.within_current(|| unsafe { task::start_eagerly(child) });
        } else {
            child.schedule();
        }
        raw
    }

    /// Registers the task of `cx` to be woken when a child becomes ready. Call it in each poll: the
    /// waker of another executor is used once.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, TaskOptions, running_loop};
    /// use asyncio_loop::machinery::Children;
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
        if !self.core().is_woken_by(cx) {
            drop(self.core().replace_waker(Some(LoopWaker::from_context(cx))));
        }
    }

    /// Wakes the owner of the set, as if a child had become ready.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, running_loop};
    /// use asyncio_loop::machinery::Children;
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

    /// How many children are ready to be polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.loop_ref());
    /// drop(children.spawn(async {}, TaskOptions::new()));
    /// assert_eq!(children.ready(), 1);
    /// children.step();
    /// assert_eq!(children.ready(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn ready(&self) -> usize {
        self.core().with_ready(|ready| ready.len())
    }

    /// How many children have not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.loop_ref());
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
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.loop_ref());
    /// let child = children.spawn(std::future::pending::<()>(), TaskOptions::new());
    /// assert_eq!(children.tasks(), [child.task().clone()]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskRef> {
        tasks_of(&self.core().set).collect()
    }

    /// Polls the child that has been ready for longest. Returns false if none is ready, or if that
    /// one is being polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    /// use asyncio_loop::machinery::Children;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.loop_ref());
    /// let child = children.spawn(async {}, TaskOptions::new());
    /// assert!(children.step());
    /// assert!(child.task().is_done());
    /// assert!(!children.step(), "nobody is ready");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn step(&self) -> bool {
        let core = self.core();
        let Some(child) = core.with_ready(VecDeque::pop_front) else { return false };
        // SCHEDULED kept the child alive in the queue, RUNNING does from here.
        let flags = child.flags.get();
        if flags & RUNNING != 0 {
            // A child that was started eagerly polls its own set.
            core.with_ready(|ready| ready.push_front(child));
            return false;
        }
        if flags & DONE == 0 {
            child.flags.set(flags & !(SCHEDULED | WAIT) | RUNNING);
            // SAFETY: neither DONE nor RUNNING before. The set lives on: it is borrowed.
            self.within_current(|| unsafe { (child.vtable.run)(child) });
            child.clear(RUNNING);
        } else {
            child.clear(SCHEDULED);
        }
        // SAFETY: not used afterwards.
        unsafe { child.end_if_unused() };
        true
    }

    /// Calls `poll`, which polls a child and does not unwind, and notes in which task's poll that
    /// happens.
    fn within_current(&self, poll: impl FnOnce()) {
        let core = self.core();
        let current = core.scheduler.running().and_then(TaskPtr::of);
        let before = core.poller.replace(current);
        poll();
        core.poller.set(before);
    }

    /// Ends every child, and drops every output.
    fn clear(&self) {
        let core = self.core();
        core.state.set(SetState::Closing);
        // A destructor may end or take others, so each round looks again.
        while let Some(child) = core.set.with_members(|members| members.last()) {
            // The list's reference keeps it alive; so does this one, to the end of the round.
            let kept = RunnableRef::share(child);
            // SAFETY: members are tasks.
            let task = unsafe { TaskPtr::new(child) };
            if !task.has(DONE) {
                // SAFETY: not RUNNING, since a child is polled with its set borrowed.
                unsafe { task::end_quietly(task) };
            }
            if task.has(FULL) && !task.has(LENT) {
                task.clear(FULL);
                // SAFETY: promise 3: DONE, and FULL until now. The handle finds no output any more,
                // and there is no reference to it.
                unsafe { task::drop_output(task) };
            }
            leave(child);
            drop(kept);
        }
        while let Some(child) = core.with_ready(VecDeque::pop_front) {
            // SCHEDULED kept the child alive.
            child.clear(SCHEDULED);
            // SAFETY: not used afterwards.
            unsafe { child.end_if_unused() };
        }
    }
}

impl Drop for ChildSet<'_> {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: added by `with_scheduler`, and the scheduler is used no more.
        unsafe { self.core().scheduler.remove_set(NonNull::from(&self.core().set)) };
        // SAFETY: from a `Box`; no member points at it any more.
        drop(unsafe { Box::from_raw(self.core.as_ptr()) });
    }
}

impl fmt::Debug for ChildSet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChildSet").field("live", &self.live()).finish_non_exhaustive()
    }
}
