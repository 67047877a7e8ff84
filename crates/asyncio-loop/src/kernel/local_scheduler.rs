//! The owner's handle of a scheduler, and the one for other threads.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::rc::Rc;
use std::task::Waker;

use super::callback::{self, CallbackRef};
use super::children::{self, ChildSet};
use super::glimpse::Glimpse;
use super::guest_queue::{Back, GuestQueue};
use super::header::{self, DONE, FOREIGN, HIDDEN, Header, RUNNING, Runnable, RunnableRef};
use super::header::{SCHEDULED, TASK, WAIT};
use super::host::{self, Host, caught};
use super::remote_queue::{Batch, Closed};
use super::ring::{Entry, Ring, What};
use super::scheduler::{Pick, Scheduler, SchedulerPtr, Tick};
use super::site::Site;
use super::task::{self, Outcome, RawTask, Spawn, TaskPtr, TaskRef};
use crate::clock::LoopTime;
use crate::context::ContextSlot;
use crate::gauges::Gauges;
use crate::primitives::Arc;

/// The handle of a scheduler for other threads.
#[derive(Clone, Debug)]
pub(crate) struct RemoteScheduler(Arc<Scheduler>);

impl RemoteScheduler {
    /// Runs `callback` on the owner's thread; gives it back if the loop is closed.
    #[track_caller]
    pub(crate) fn call_soon<F: FnOnce() + Send + 'static>(&self, callback: F) -> Result<(), F> {
        // SAFETY: the scheduler is alive, and `F` is `Send`.
        let new = unsafe { callback::new_foreign(self.ptr(), callback) };
        // SAFETY: the queue takes the callback over with its one reference.
        match unsafe { self.0.remote.push(new) } {
            Ok(true) => self.0.unpark(),
            Ok(false) => {}
            // SAFETY: refused, so this thread is still the only one that knows the callback, which
            // is one of `F`.
            Err(Closed) => return Err(unsafe { callback::take_foreign(new) }),
        }
        Ok(())
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.0.is_owner()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.0.remote.is_closed()
    }

    /// Whether both are of the same loop.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Where events are recorded, if they are.
    pub(crate) fn ring(&self) -> Option<std::sync::Arc<Ring>> {
        self.0.ring()
    }

    /// The number of the turn, and a number that differs for each step of a turn and is 0 between
    /// steps.
    pub(crate) fn position(&self) -> (u64, usize) {
        (self.0.gauges.turns.get(), self.0.running().addr())
    }

    /// Reads the running callback or task. Allowed in a signal handler.
    ///
    /// # Safety
    ///
    /// On the owner's thread.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android")),
        allow(dead_code, reason = "the watchdog uses it, where it can interrupt a thread")
    )]
    pub(crate) unsafe fn glimpse(&self) -> Option<Glimpse> {
        // SAFETY: the caller's promise; alive by this handle.
        let running = unsafe { SchedulerPtr::new(self.ptr()) }.running()?;
        // SAFETY: it runs, on this thread.
        Some(unsafe { Glimpse::of(running) })
    }

    /// The numbers that the loop has published for other threads.
    pub(crate) fn gauges(&self) -> &Gauges {
        &self.0.gauges
    }

    /// The scheduler with the whole of its `Arc`, so that counts may be taken through the pointer.
    fn ptr(&self) -> NonNull<Scheduler> {
        NonNull::new(Arc::as_ptr(&self.0).cast_mut()).expect("an Arc is not null")
    }
}

/// The handle of a scheduler for the loop on its thread. Dropping it closes the scheduler.
pub(crate) struct LocalScheduler {
    scheduler: SchedulerPtr,
    _not_send: PhantomData<*const ()>,
}

impl LocalScheduler {
    /// Makes a scheduler for this thread; `unpark` ends the poll in which its owner is parked.
    pub(crate) fn new(host: &'static Host, unpark: impl Fn() + Send + Sync + 'static) -> Self {
        host::set_host(host);
        let scheduler = Arc::into_raw(Arc::new(Scheduler::new(unpark))).cast_mut();
        let scheduler = NonNull::new(scheduler).expect("an Arc is not null");
        // SAFETY: on this thread; alive by the owner's count, which the loop's share keeps.
        let scheduler = unsafe { SchedulerPtr::new(scheduler) };
        Self { scheduler, _not_send: PhantomData }
    }

    pub(super) fn ptr(&self) -> SchedulerPtr {
        self.scheduler
    }

    fn remote_queue(&self) -> &Scheduler {
        // SAFETY: alive by this handle's share.
        unsafe { self.scheduler.as_ptr().as_ref() }
    }

    /// Sets the loop that the scheduler is part of.
    pub(crate) fn set_owner<T: 'static>(&self, owner: &Rc<T>) {
        let owner: Rc<dyn Any> = owner.clone();
        self.scheduler.with(|local| local.owner = Rc::downgrade(&owner));
    }

    /// The scheduler as other threads see it.
    pub(crate) fn remote(&self) -> RemoteScheduler {
        // SAFETY: the scheduler is alive.
        unsafe { header::retain_scheduler(self.scheduler.as_ptr()) };
        // SAFETY: the count that was just taken.
        RemoteScheduler(unsafe { Arc::from_raw(self.scheduler.as_ptr().as_ptr().cast_const()) })
    }

    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.scheduler.with(|local| local.closed)
    }

    /// A callback that is not scheduled yet.
    #[track_caller]
    pub(crate) fn callback<F: FnOnce() + 'static>(
        &self,
        f: F,
        context: ContextSlot,
    ) -> CallbackRef {
        callback::new(self.scheduler, f, context)
    }

    /// Makes a task.
    #[inline]
    pub(crate) fn spawn<F: Future + 'static>(&self, future: F, how: Spawn) -> RawTask<F::Output> {
        self.scheduler.spawn(future, how)
    }

    /// Makes a task of a future that may borrow, lets `drive` run the loop, and takes the task
    /// apart again: an unfinished future is dropped, and `None` returned.
    pub(crate) fn run_scoped<F: Future>(
        &self,
        future: F,
        how: Spawn,
        drive: impl FnOnce(&mut RawTask<F::Output>),
    ) -> Option<Outcome<F::Output>> {
        self.scheduler.run_scoped(future, how, drive)
    }

    /// An empty set of children.
    pub(crate) fn children<'a>(&self) -> ChildSet<'a> {
        ChildSet::with_scheduler(self.scheduler)
    }

    /// The numbers that other threads may read.
    #[inline]
    pub(crate) fn gauges(&self) -> &Gauges {
        self.scheduler.gauges()
    }

    /// Tells other threads where events are recorded.
    pub(super) fn share_ring(&self, ring: Option<std::sync::Arc<Ring>>) {
        self.remote_queue().set_ring(ring);
    }

    /// Where events are recorded, if they are.
    pub(crate) fn ring(&self) -> Option<std::sync::Arc<Ring>> {
        self.remote_queue().ring()
    }

    /// Turns so far.
    #[inline]
    pub(crate) fn turns(&self) -> u64 {
        self.gauges().turns.get()
    }

    /// Counts a turn that is over.
    #[inline]
    pub(crate) fn end_turn(&self) {
        self.gauges().turns.add(1);
    }

    /// Moves the entries of the remote queue to the ready queue.
    #[inline]
    pub(crate) fn take_remote(&self) {
        if !self.remote_queue().remote.is_empty() && !self.is_closed() {
            self.accept(self.remote_queue().remote.take(), Runnable::schedule);
        }
    }

    fn accept(&self, batch: Batch<Header>, each: fn(Runnable)) {
        for entry in batch {
            // SAFETY: the queue's reference keeps the header alive.
            let header = unsafe { entry.as_ref() };
            if header.has(FOREIGN) {
                header.clear(FOREIGN);
                self.scheduler.share();
                // SAFETY: alive by the maker's local reference, which came with the callback.
                let runnable = unsafe { Runnable::new(entry) };
                each(runnable);
                // SAFETY: that reference, given back once.
                unsafe { runnable.release() };
                continue;
            }
            header.clear_queued();
            if header.has_local_side() {
                // SAFETY: the local side is alive.
                each(unsafe { Runnable::new(entry) });
            }
            // SAFETY: the queue's counted reference, given back once.
            unsafe { Header::release_shared(entry) };
        }
    }

    /// Whether the remote queue has entries; a hint.
    pub(crate) fn has_remote(&self) -> bool {
        self.remote_mark() != 0
    }

    /// A number that changes with each push to the remote queue, and is 0 when it is empty.
    pub(crate) fn remote_mark(&self) -> usize {
        self.remote_queue().remote.mark()
    }

    /// Whether a waker or a handle that may be on another thread could still schedule something.
    pub(crate) fn is_held_elsewhere(&self) -> bool {
        // SAFETY: alive by this handle's share.
        unsafe { header::scheduler_count(self.scheduler.as_ptr()) > 1 }
    }

    /// How many wakers and handles that may be on other threads there are.
    pub(crate) fn holders(&self) -> usize {
        // SAFETY: alive by this handle's share.
        unsafe { header::scheduler_count(self.scheduler.as_ptr()) - 1 }
    }

    /// Makes `pick` choose the place of each child that becomes ready, in sets made from now on.
    pub(crate) fn set_pick(&self, pick: Option<Pick>) {
        let before = self.scheduler.with(|local| std::mem::replace(&mut local.pick, pick));
        drop(before);
    }

    /// Notes that the loop is going to park. Returns false if it must not park.
    pub(crate) fn prepare_park(&self) -> bool {
        // Memory of a burst of tasks is not kept forever.
        self.scheduler.with(|local| {
            local.ready.relax();
            local.tasks.shrink();
            local.memory.relax();
            if local.outside.is_empty() && local.outside.capacity() > 4096 {
                local.outside.shrink_to_fit();
            }
        });
        self.remote_queue().remote.prepare_park()
    }

    /// Notes that the loop runs again.
    pub(crate) fn unparked(&self) {
        self.remote_queue().remote.unparked();
    }

    /// Leaves the thread to the host of this guest. With a waker the guest rests, with nothing
    /// ready: the next callback or task that becomes ready wakes it.
    pub(crate) fn leave_to_host(&self, rest: Option<&Rc<Waker>>) {
        let rest = rest.cloned();
        self.scheduler.with(|local| {
            let guest = local.guest.get_or_insert_with(|| Box::new(GuestQueue::new()));
            guest.leave(&mut local.ready, rest);
        });
    }

    /// The guest runs again. Returns how many tasks that the host has woken go first; none without
    /// `overtake`.
    pub(crate) fn come_back(&self, overtake: bool) -> usize {
        let back = self.scheduler.with(|local| match &mut local.guest {
            Some(guest) => {
                guest.come_back(&mut local.ready, |runnable| overtake && runnable.has(TASK))
            }
            None => Back::default(),
        });
        caught("the waker of a loop's host", move || drop(back.host));
        back.at_front
    }

    /// Ends the rest of a guest, and wakes its host.
    #[cold]
    pub(crate) fn wake_host(&self) {
        if let Some(host) = self.scheduler.wake_guest() {
            caught("the waker of a loop's host", move || host.wake_by_ref());
        }
    }

    /// The number of callbacks and tasks that are ready.
    #[inline]
    pub(crate) fn ready(&self) -> usize {
        self.scheduler.with(|local| local.ready.len())
    }

    /// Tells the tasks the time, whenever the loop reads its clock.
    #[inline]
    pub(crate) fn set_time(&self, now: LoopTime) {
        self.scheduler.with(|local| local.tick = Tick::of(now));
    }

    /// A number that changes with each run of a callback or poll of a task.
    #[inline]
    pub(crate) fn steps(&self) -> usize {
        self.scheduler.with(|local| local.ready.taken())
    }

    /// The callback or task that `run` would run next.
    pub(crate) fn peek(&self) -> Option<RunnableRef> {
        self.scheduler.with(|local| local.ready.first()).map(RunnableRef::share)
    }

    /// Runs or polls the first `count` ready callbacks and tasks, or fewer if there are fewer.
    #[inline]
    pub(crate) fn run(&self, count: usize) {
        for _ in 0..count {
            let Some(next) = self.scheduler.with(|local| local.ready.pop()) else { return };
            Self::run_one(next);
        }
    }

    /// `run`, and records callbacks. Tasks record themselves.
    pub(crate) fn run_recorded(&self, count: usize) {
        for _ in 0..count {
            let next = self.scheduler.with(|local| local.ready.pop());
            let Some(next) = next else { return };
            if next.flags.get() & (TASK | DONE) == TASK {
                Self::run_one(next);
                self.scheduler.with_ring(Ring::go_on);
            } else if next.has(DONE) {
                Self::run_one(next);
                self.scheduler.with_ring(Ring::pause);
            } else {
                self.run_callback_recorded(next);
                self.scheduler.with_ring(Ring::go_on);
            }
        }
    }

    /// Makes the next step begin when it does, because code of a user may run before.
    pub(crate) fn pause_recording(&self) {
        self.scheduler.with_ring(Ring::pause);
    }

    fn run_callback_recorded(&self, callback: Runnable) {
        let kind = &callback.vtable.type_name;
        let site = Site::new(callback::site_of(callback)).bits();
        let begins = Entry::of(What::CallbackBegins).kind(kind).word(site);
        self.scheduler.with_ring(|ring| ring.push_begin(begins));
        Self::run_one(callback);
        self.scheduler.with_ring(|ring| ring.push(Entry::of(What::CallbackEnds).kind(kind)));
    }

    /// Runs an entry that was taken out of the ready queue.
    #[inline]
    pub(super) fn run_one(next: Runnable) {
        // SCHEDULED kept it alive in the queue, RUNNING does from here.
        let flags = next.flags.get();
        if flags & DONE == 0 {
            next.flags.set(flags & !(SCHEDULED | WAIT) | RUNNING);
            // SAFETY: RUNNING was not set: this function and `start_eagerly` set it for the time of
            // a run, inside of which no entry of the queue is run.
            unsafe { (next.vtable.run)(next) };
            next.clear(RUNNING);
        } else {
            next.clear(SCHEDULED);
        }
        // SAFETY: not used afterwards.
        unsafe { next.end_if_unused() };
    }

    /// The task that is being polled, unless it is hidden.
    pub(crate) fn current(&self) -> Option<TaskRef> {
        self.polled().filter(|task| !task.ptr().has(HIDDEN))
    }

    /// The number of the task that is being polled; zero if there is none or it is hidden.
    #[inline]
    pub(crate) fn current_number(&self) -> u64 {
        let Some(current) = self.scheduler.current() else { return 0 };
        // SAFETY: `current` gives tasks only.
        let task = unsafe { TaskPtr::new(current) };
        if task.has(HIDDEN) { 0 } else { task.number() }
    }

    /// The task that is being polled, including hidden tasks.
    pub(crate) fn polled(&self) -> Option<TaskRef> {
        self.scheduler.running().and_then(TaskPtr::of).map(TaskRef::share)
    }

    /// Every unfinished task that is not hidden, oldest first.
    pub(crate) fn tasks(&self) -> Vec<TaskRef> {
        let mut tasks: Vec<TaskRef> = self.scheduler.with(|local| {
            let own = local.tasks.iter().filter_map(TaskPtr::of);
            let own = own.filter(|task| !task.has(HIDDEN)).map(TaskRef::share);
            let children = local.sets.iter().flat_map(|set| {
                // A set in the list is alive.
                children::tasks_of(set.get()).collect::<Vec<_>>()
            });
            own.chain(children).collect()
        });
        tasks.sort_unstable_by_key(TaskRef::id);
        tasks
    }

    /// Whether this is the scheduler of a callback or task.
    pub(crate) fn owns(&self, runnable: &RunnableRef) -> bool {
        runnable.get().scheduler() == self.scheduler
    }

    /// The number of unfinished tasks that are not hidden.
    pub(crate) fn task_count(&self) -> usize {
        let is_seen = |task: &Runnable| !task.has(HIDDEN | DONE);
        self.scheduler.with(|local| {
            let own = local.tasks.iter().filter(is_seen).count();
            let children = local.sets.iter().map(|set| {
                set.get().with_members(|members| members.iter().filter(is_seen).count())
            });
            own + children.sum::<usize>()
        })
    }

    /// Drops every future and callback, on this thread, each with itself as the current task and
    /// in its own context. Nothing runs any more; later wakes do nothing.
    pub(crate) fn close(&self) {
        if self.scheduler.with(|local| std::mem::replace(&mut local.closed, true)) {
            return;
        }
        self.come_back(false);
        self.accept(self.remote_queue().remote.close(), |_| ());
        // A destructor may end or detach others, so each round looks again.
        while let Some(task) = self.scheduler.with(|local| local.tasks.last()) {
            // SAFETY: the list holds tasks only.
            let task = unsafe { TaskPtr::new(task) };
            // SAFETY: an entry has not ended; none is running, since a running loop is not closed
            // and tasks are polled in its runs only.
            unsafe { task::destroy(task) };
        }
        while let Some(next) = self.scheduler.with(|local| local.ready.pop()) {
            // SCHEDULED kept it alive. Tasks are DONE by now, so it is a callback, or has ended.
            next.clear(SCHEDULED);
            callback::discard(next);
            // SAFETY: not used afterwards.
            unsafe { next.end_if_unused() };
        }
        self.scheduler.with(|local| {
            local.ready.close();
            local.guest = None;
            local.tasks.shrink_to_fit();
            local.memory.clear();
        });
    }
}

impl Drop for LocalScheduler {
    fn drop(&mut self) {
        self.close();
        // The scheduler may end on another thread; this count may not.
        self.scheduler.with(|local| local.owner = std::rc::Weak::<()>::new());
        // SAFETY: the loop's share, given back once.
        unsafe { self.scheduler.forget() };
    }
}

impl TaskRef {
    /// The loop that the task belongs to, unless that is gone.
    pub(crate) fn owner(&self) -> Option<Rc<dyn Any>> {
        owner_of(self.runnable())
    }
}

/// The loop that a callback or task belongs to, unless that is gone.
pub(crate) fn owner_of(runnable: &RunnableRef) -> Option<Rc<dyn Any>> {
    runnable.get().scheduler().owner()
}

impl fmt::Debug for LocalScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.remote_queue().fmt(f)
    }
}
