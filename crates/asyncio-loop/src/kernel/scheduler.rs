//! The scheduler of a loop: its ready queue, its remote queue, and its tasks.

use std::alloc::Layout;
use std::any::Any;
use std::cell::{Cell, UnsafeCell};
use std::fmt;
use std::ptr::{self, NonNull};
use std::rc::{Rc, Weak};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, compiler_fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;

use slab::Slab;

use super::guest_queue::GuestQueue;
use super::header::{self, Header, Runnable, RunnableRef, TASK};
use super::host;
use super::members::{Member, Members};
use super::memory::Memory;
use super::place::Place;
use super::ready::ReadyQueue;
use super::remote_queue::RemoteQueue;
use super::ring::{Ring, cause};
use super::task::Noted;
use crate::clock::LoopTime;
use crate::gauges::Gauges;
use crate::primitives::{is_thread, thread_id};

/// The scheduler of a loop. Other threads can reach the remote queue, the owner's thread
/// everything.
pub(crate) struct Scheduler {
    thread: u64,
    pub(super) remote: RemoteQueue<Header>,
    /// Ends the poll that the owner is parked in.
    unpark: Box<dyn Fn() + Send + Sync>,
    /// Written on the owner's thread.
    pub(super) gauges: Gauges,
    /// The callback or task that runs now. It is written on the owner's thread. Others may compare
    /// it; a signal handler on the owner's thread may look at what it points to.
    current: AtomicPtr<Header>,
    /// Whether the owner's thread is changing the name of a task. Read by signal handlers on that
    /// thread.
    renaming: AtomicBool,
    /// Where events are recorded, for other threads.
    pub(super) ring: Mutex<Option<Arc<Ring>>>,
    local: UnsafeCell<Local>,
}

/// The owner's part.
pub(super) struct Local {
    pub(super) ready: ReadyQueue<Runnable>,
    /// Every task that has not ended; each entry owns a local reference.
    pub(super) tasks: Members<Runnable>,
    /// The sets of children that have not been dropped.
    pub(super) sets: Members<SetPtr>,
    /// One for each callback or task whose local side is alive, for each set, and for the open
    /// loop.
    shares: usize,
    pub(super) closed: bool,
    pub(super) memory: Memory,
    /// Foreign wakers that wait for the end of a task, each with the number of the task inside
    /// which it was polled, or zero.
    pub(super) outside: Slab<(Waker, u64)>,
    /// When the loop last read its clock.
    pub(super) tick: Tick,
    /// The loop that the scheduler is part of, as long as it is there.
    pub(super) owner: Weak<dyn Any>,
    /// Chooses the place of a child that becomes ready, for tests.
    pub(super) pick: Option<Pick>,
    /// The queue of a guest.
    pub(super) guest: Option<Box<GuestQueue<Runnable>>>,
    /// The flags that a new task gets: `TRACED` if hooks get its events, `RECORDED` if they are
    /// recorded.
    pub(super) new_flags: u32,
    /// Called with each recorded task that becomes ready.
    pub(super) woken: fn(Runnable),
    /// Whether the loop's hooks get the events.
    pub(super) hooked: bool,
    /// Where events are recorded.
    pub(super) ring: Option<Arc<Ring>>,
    /// The present cause of wakes, if it is not a task: one of `ring::cause`.
    pub(super) cause: u8,
    /// The tasks whose next poll is traced.
    pub(super) traced: Vec<Request>,
}

/// A requested trace.
pub(super) struct Request {
    pub(super) task: RunnableRef,
    /// Dropped when no one waits for the answer any more.
    pub(super) tell: Weak<dyn Fn(Vec<Place>)>,
    /// What the task waited for, and since when, if it was blocked.
    pub(super) before: Option<(Noted, Tick)>,
}

/// Chooses one of `count` items.
pub(crate) type Pick = Rc<dyn Fn(usize) -> usize>;

/// A moment of the loop's clock, in hundredths of a second. It overflows after 497 days, so only
/// the distance of two of them means something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tick(u32);

impl Tick {
    const NANOS: u64 = 10_000_000;

    #[inline]
    pub(crate) fn of(time: LoopTime) -> Self {
        Self((time.as_nanos() / Self::NANOS) as u32)
    }

    /// The latest moment up to `now` that this can be.
    pub(crate) fn before(self, now: LoopTime) -> LoopTime {
        let ago = Self::of(now).0.wrapping_sub(self.0);
        let nanos = now.as_nanos() / Self::NANOS * Self::NANOS;
        LoopTime::from_nanos(nanos.saturating_sub(u64::from(ago) * Self::NANOS))
    }
}

/// The part of a set of children that the scheduler knows: `all_tasks` looks there.
pub(super) struct Set {
    place: Cell<u32>,
    /// Unfinished children, and finished ones whose output was not taken; each entry owns a local
    /// reference.
    members: UnsafeCell<Members<Runnable>>,
}

impl Set {
    pub(super) fn new() -> Self {
        Self { place: Cell::new(u32::MAX), members: UnsafeCell::new(Members::new()) }
    }

    #[inline]
    pub(super) fn with_members<R>(&self, f: impl FnOnce(&mut Members<Runnable>) -> R) -> R {
        // SAFETY: promises 1 and 5: `f` is code of the kernel that calls no user.
        f(unsafe { &mut *self.members.get() })
    }
}

/// A set of children that is alive: in the scheduler's list until it is dropped.
#[derive(Clone, Copy)]
pub(super) struct SetPtr(NonNull<Set>);

impl SetPtr {
    pub(super) fn get(&self) -> &Set {
        // SAFETY: a set leaves the list before it is freed.
        unsafe { self.0.as_ref() }
    }
}

impl Member for SetPtr {
    fn place(&self) -> &Cell<u32> {
        &self.get().place
    }
}

// SAFETY: `local` is used on the thread `thread` only (promise 1). When the last count goes, on
// whatever thread, it holds no callback or task any more, only empty buffers.
unsafe impl Send for Scheduler {}
// SAFETY: as above; the rest is `Sync` by itself.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    /// A scheduler of this thread, with one share for its loop.
    pub(super) fn new(unpark: impl Fn() + Send + Sync + 'static) -> Self {
        let local = Local {
            ready: ReadyQueue::new(),
            tasks: Members::new(),
            sets: Members::new(),
            shares: 1,
            closed: false,
            memory: Memory::new(),
            outside: Slab::new(),
            tick: Tick::default(),
            owner: Weak::<()>::new(),
            pick: None,
            guest: None,
            new_flags: 0,
            woken: |_| (),
            hooked: false,
            ring: None,
            cause: cause::NONE,
            traced: Vec::new(),
        };
        Self {
            thread: thread_id(),
            remote: RemoteQueue::new(),
            unpark: Box::new(unpark),
            gauges: Gauges::default(),
            current: AtomicPtr::default(),
            renaming: AtomicBool::new(false),
            ring: Mutex::default(),
            local: UnsafeCell::new(local),
        }
    }

    /// Whether this is its thread.
    #[inline]
    pub(super) fn is_owner(&self) -> bool {
        is_thread(self.thread)
    }

    /// Where events are recorded, if they are.
    pub(super) fn ring(&self) -> Option<Arc<Ring>> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says where events are recorded.
    pub(super) fn set_ring(&self, ring: Option<Arc<Ring>>) {
        *self.ring.lock().unwrap_or_else(PoisonError::into_inner) = ring;
    }

    /// Whether the name of a task is being changed, for a signal handler on the owner's thread.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android")),
        allow(dead_code, reason = "the watchdog uses it, where it can interrupt a thread")
    )]
    pub(super) fn is_renaming(&self) -> bool {
        let renaming = self.renaming.load(Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
        renaming
    }

    /// The callback or task that runs now, to be compared only.
    pub(super) fn running(&self) -> *mut Header {
        self.current.load(Ordering::Relaxed)
    }

    /// Ends the poll that the owner is parked in.
    pub(super) fn unpark(&self) {
        (self.unpark)();
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler").field("thread", &self.thread).finish_non_exhaustive()
    }
}

/// A scheduler that is alive, on its own thread (promises 1 and 4). To make one is unsafe.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct SchedulerPtr(NonNull<Scheduler>);

impl SchedulerPtr {
    /// # Safety
    ///
    /// On the owner's thread, with `scheduler` alive for as long as the result is used.
    #[inline]
    pub(super) unsafe fn new(scheduler: NonNull<Scheduler>) -> Self {
        Self(scheduler)
    }

    #[inline]
    pub(super) fn as_ptr(self) -> NonNull<Scheduler> {
        self.0
    }

    /// The numbers that other threads may read.
    #[inline]
    pub(super) fn gauges(&self) -> &Gauges {
        // SAFETY: alive.
        &unsafe { self.0.as_ref() }.gauges
    }

    /// Runs `f`, which calls no code of a user (promise 5), with the owner's part.
    #[inline]
    pub(super) fn with<R>(self, f: impl FnOnce(&mut Local) -> R) -> R {
        // SAFETY: alive.
        let local = unsafe { self.0.as_ref() }.local.get();
        // SAFETY: promises 1 and 5.
        f(unsafe { &mut *local })
    }

    /// Runs `f` with the recorder's ring, if the loop records.
    #[inline]
    pub(super) fn with_ring(self, f: impl FnOnce(&Ring)) {
        self.with(|local| local.ring.as_deref().map_or((), f));
    }

    /// Puts an entry that is marked as `SCHEDULED` into the ready queue; false if that is closed.
    #[inline]
    pub(super) fn push_ready(self, runnable: Runnable) -> bool {
        self.with(|local| local.ready.push(runnable))
    }

    /// Puts an entry that is marked as `SCHEDULED` and was refused into the queue of a resting
    /// guest, and wakes the host; false if the queue is closed.
    #[cold]
    pub(super) fn push_for_host(self, runnable: Runnable) -> bool {
        let host = self.wake_guest();
        let pushed = self.push_ready(runnable);
        if let Some(host) = host {
            host::caught("the waker of a loop's host", move || host.wake_by_ref());
        }
        pushed
    }

    /// Ends the rest of a guest, so that its queue takes entries. Returns the waker of the host,
    /// which the caller wakes.
    pub(super) fn wake_guest(self) -> Option<Rc<Waker>> {
        self.with(|local| local.guest.as_mut()?.end_rest(&mut local.ready))
    }

    /// Runs `f`, which changes the name of a task and calls no user.
    pub(super) fn renaming(self, f: impl FnOnce()) {
        // SAFETY: alive.
        let renaming = &unsafe { self.0.as_ref() }.renaming;
        renaming.store(true, Ordering::Relaxed);
        // The handler is on this thread, so the order of instructions is what counts.
        compiler_fence(Ordering::SeqCst);
        f();
        compiler_fence(Ordering::SeqCst);
        renaming.store(false, Ordering::Relaxed);
    }

    /// Takes one more share.
    #[inline]
    pub(super) fn share(self) {
        self.with(|local| local.shares += 1);
    }

    /// Allocates memory for a new callback or task, with a share for its local side.
    #[inline]
    pub(super) fn allocate(self, layout: Layout) -> NonNull<u8> {
        self.with(|local| {
            local.shares += 1;
            local.memory.take(layout)
        })
    }

    /// Takes memory back.
    ///
    /// # Safety
    ///
    /// `memory` was allocated with the padded `layout`, and is unused.
    #[inline]
    pub(super) unsafe fn free(self, memory: NonNull<u8>, layout: Layout) {
        self.with(|local| {
            // SAFETY: the caller's promise.
            unsafe { local.memory.put(memory, layout) };
            if local.closed {
                local.memory.clear();
            }
        });
    }

    /// Gives a share back. With the last one goes the owner's count of the scheduler.
    ///
    /// # Safety
    ///
    /// The caller owns a share. It does not use the scheduler afterwards unless something else
    /// keeps it alive.
    #[inline]
    pub(super) unsafe fn forget(self) {
        let left = self.with(|local| {
            local.shares -= 1;
            local.shares
        });
        if left == 0 {
            // SAFETY: the owner's count, given back once.
            unsafe { header::release_scheduler(self.0) };
        }
    }

    /// Makes `current` the one that runs; returns the one before.
    #[inline]
    pub(super) fn set_current(self, current: Option<Runnable>) -> Option<Runnable> {
        let before = self.running();
        let pointer = current.map_or(ptr::null_mut(), |current| current.as_ptr().as_ptr());
        // SAFETY: alive.
        unsafe { self.0.as_ref() }.current.store(pointer, Ordering::Relaxed);
        before
    }

    /// The callback or task that runs now.
    #[inline]
    pub(super) fn running(self) -> Option<Runnable> {
        // SAFETY: alive.
        let current = unsafe { self.0.as_ref() }.current.load(Ordering::Relaxed);
        // SAFETY: `set_current` was given it; it runs, so it is alive (promise 11).
        NonNull::new(current).map(|current| unsafe { Runnable::new(current) })
    }

    /// The task that is being polled.
    #[inline]
    pub(super) fn current(self) -> Option<Runnable> {
        self.running().filter(|current| current.has(TASK))
    }

    /// The loop that the scheduler is part of, unless that is gone.
    pub(super) fn owner(self) -> Option<Rc<dyn Any>> {
        self.with(|local| local.owner.upgrade())
    }

    /// Takes a set into the list of sets, with a share.
    ///
    /// # Safety
    ///
    /// `remove_set` is called before the set is freed.
    pub(super) unsafe fn add_set(self, set: NonNull<Set>) {
        self.share();
        self.with(|local| local.sets.push(SetPtr(set)));
    }

    /// Takes a set out of the list, and its share back.
    ///
    /// # Safety
    ///
    /// Once for each `add_set`. As for `forget`.
    pub(super) unsafe fn remove_set(self, set: NonNull<Set>) {
        self.with(|local| local.sets.remove(SetPtr(set)));
        // SAFETY: the share that `add_set` took.
        unsafe { self.forget() };
    }
}
