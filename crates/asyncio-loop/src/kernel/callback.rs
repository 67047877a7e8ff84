//! Callbacks: closures that run once.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::Location;
use std::ptr::NonNull;

use super::header::{self, CANCELLED, DONE, FOREIGN, FULL, Header, RUNNING, Runnable, RunnableRef};
use super::header::{TASK, VTable};
use super::host::report_panic;
use super::memory;
use super::panics::catch;
use super::scheduler::{Scheduler, SchedulerPtr};
use crate::context::ContextSlot;

/// The beginning of every callback's allocation.
#[repr(C)]
struct Head {
    header: Header,
    /// Where the callback was made.
    site: &'static Location<'static>,
}

/// The allocation of a callback.
#[repr(C)]
struct CallbackMemory<F> {
    head: Head,
    stage: UnsafeCell<ManuallyDrop<F>>,
}

impl<F: FnOnce()> CallbackMemory<F> {
    const VTABLE: &'static VTable = &VTable {
        run: run::<F>,
        drop_stage: drop_stage::<F>,
        drop_local: nothing,
        set: None,
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: std::any::type_name::<F>,
    };

    /// Makes a callback in memory for it.
    ///
    /// # Safety
    ///
    /// `memory` is of the layout of the vtable, and the caller's.
    #[inline]
    #[track_caller]
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one allocation, field by field")]
    unsafe fn write(
        memory: NonNull<u8>,
        scheduler: NonNull<Scheduler>,
        flags: u32,
        context: ContextSlot,
        callback: F,
    ) -> NonNull<Header> {
        let new: *mut Self = memory.cast().as_ptr();
        // SAFETY: the caller's promise; the allocation begins with the header (`repr(C)`).
        unsafe {
            Header::write(memory.cast(), Self::VTABLE, scheduler, 1, flags, context);
            (&raw mut (*new).head.site).write(Location::caller());
            (&raw mut (*new).stage).cast::<F>().write(callback);
        }
        memory.cast()
    }
}

/// # Safety
///
/// None; a vtable wants an unsafe function.
unsafe fn nothing(_: Runnable) {}

/// # Safety
///
/// `callback` is one of `F`, not `DONE`, with `RUNNING` set.
unsafe fn run<F: FnOnce()>(callback: Runnable) {
    callback.enter(Some(callback), || {
        callback.set(DONE);
        callback.clear(FULL);
        // SAFETY: promise 3: not DONE before, so the stage was full, and it is taken once.
        let closure = unsafe { callback.stage::<F>().read() };
        if let Err(payload) = catch(closure) {
            report_panic(callback.type_name(), payload);
        }
    });
}

/// # Safety
///
/// `callback` is one of `F`, whose stage was full and is the caller's.
unsafe fn drop_stage<F: FnOnce()>(callback: Runnable, _flags: u32) {
    // SAFETY: the caller's promise.
    let closure = unsafe { callback.stage::<F>().read() };
    if let Err(payload) = catch(|| drop(closure)) {
        report_panic(callback.type_name(), payload);
    }
}

/// A new callback, not scheduled.
#[track_caller]
pub(super) fn new<F: FnOnce() + 'static>(
    scheduler: SchedulerPtr,
    callback: F,
    context: ContextSlot,
) -> CallbackRef {
    let memory = scheduler.allocate(CallbackMemory::<F>::VTABLE.layout);
    // SAFETY: memory for this callback.
    let new = unsafe { CallbackMemory::write(memory, scheduler.as_ptr(), FULL, context, callback) };
    // SAFETY: alive by its one reference, on the scheduler's thread.
    let new = unsafe { Runnable::new(new) };
    // SAFETY: that reference is this one.
    CallbackRef(unsafe { RunnableRef::from_raw(new) })
}

/// A callback made on another thread. Until the owner sees it, its one local reference belongs to
/// that thread, and then to the remote queue.
///
/// # Safety
///
/// `scheduler` is alive, and the callback is given to its remote queue or to `take_foreign`.
#[track_caller]
pub(super) unsafe fn new_foreign<F: FnOnce() + Send + 'static>(
    scheduler: NonNull<Scheduler>,
    callback: F,
) -> NonNull<Header> {
    let (memory, context) =
        (memory::fresh(CallbackMemory::<F>::VTABLE.layout), ContextSlot::default());
    // SAFETY: memory for this callback.
    unsafe { CallbackMemory::write(memory, scheduler, FULL | FOREIGN, context, callback) }
}

/// Takes the closure out of a callback that no queue took, and frees that.
///
/// # Safety
///
/// `callback` is from `new_foreign::<F>`, and there is no other reference to it.
pub(super) unsafe fn take_foreign<F: FnOnce()>(callback: NonNull<Header>) -> F {
    // SAFETY: for this function it is this thread's alone, and alive.
    let closure = unsafe { Runnable::new(callback) }.stage::<F>();
    // SAFETY: an untouched callback of `F`: the stage is full, and taken once.
    let closure = unsafe { closure.read() };
    // SAFETY: there is no other reference to it; an empty context needs no drop.
    unsafe { header::free(callback) };
    closure
}

/// Ends a callback without running it, unless it runs or has ended. It is never scheduled again,
/// and if it is in the queue it is skipped there. A task is not changed.
pub(super) fn discard(callback: Runnable) {
    if callback.has(DONE | RUNNING | TASK) {
        return;
    }
    callback.set(DONE | RUNNING);
    callback.clear(FULL);
    callback.enter(None, || {
        // SAFETY: promise 3: DONE was not set, so the stage was full, and now it is this call's.
        unsafe { (callback.vtable.drop_stage)(callback, 0) };
    });
    callback.clear(RUNNING);
}

/// A callback of a loop, on which [`Handle`](crate::Handle) is built.
///
/// A timer, a promise or a finished task can hold one and schedule it later.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let rang = Rc::new(Cell::new(false));
/// let ring = Rc::clone(&rang);
/// let bell = event_loop.callback(move || ring.set(true));
/// event_loop.run_until_complete(async {})?;
/// assert!(!rang.get(), "nobody scheduled it");
/// bell.schedule();
/// event_loop.run_until_complete(async {})?;
/// assert!(rang.get());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CallbackRef(RunnableRef);

/// Where a callback was made. `callback` is no task.
pub(super) fn site_of(callback: Runnable) -> &'static Location<'static> {
    let head = callback.as_ptr().cast::<Head>();
    // SAFETY: promise 11, and the allocation of a callback begins with a `Head` (`repr(C)`), whose
    // `site` is written once.
    unsafe { head.as_ref() }.site
}

impl CallbackRef {
    /// Puts the callback into the ready queue of its loop. It runs once, however often it is
    /// scheduled, and never when it was cancelled or its loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let callback = event_loop.callback(|| {});
    /// callback.schedule();
    /// assert!(!callback.is_done());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(callback.is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[inline]
    pub fn schedule(&self) {
        self.0.schedule();
    }

    /// Drops the closure at once, unless it runs or has run.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let callback = event_loop.callback(|| unreachable!("cancelled"));
    /// callback.cancel();
    /// callback.schedule();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(callback.is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    pub fn cancel(&self) {
        self.0.header().set(CANCELLED);
        discard(self.0.get());
    }

    /// Whether `cancel` was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let callback = EventLoop::new()?.callback(|| {});
    /// callback.cancel();
    /// assert!(callback.is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.header().has(CANCELLED)
    }

    /// Whether the callback has run, runs, or was dropped without running.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let callback = event_loop.callback(|| {});
    /// assert!(!callback.is_done());
    /// callback.cancel();
    /// assert!(callback.is_done(), "it was dropped");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0.header().has(DONE)
    }

    /// The Rust type of the closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// fn tick() {}
    ///
    /// let callback = EventLoop::new()?.callback(tick);
    /// assert!(callback.type_name().ends_with("tick"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.0.header().type_name()
    }

    /// Returns the place where the callback was made: the call of `call_soon`, `call_later` and so
    /// on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let callback = EventLoop::new()?.callback(|| {});
    /// assert_eq!(callback.site().line(), line!() - 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        site_of(self.0.runnable())
    }

    pub(crate) fn into_runnable(self) -> RunnableRef {
        self.0
    }

    /// The callback, unless `runnable` is a task.
    pub(crate) fn from_runnable(runnable: RunnableRef) -> Option<Self> {
        (!runnable.header().has(TASK)).then_some(Self(runnable))
    }
}

impl fmt::Debug for CallbackRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, site) = (self.type_name(), self.site());
        match () {
            () if self.is_cancelled() => write!(f, "<Callback cancelled {name} at {site}>"),
            () if self.is_done() => write!(f, "<Callback done {name} at {site}>"),
            () => write!(f, "<Callback {name} at {site}>"),
        }
    }
}
