//! Cells that run a closure once.

use std::alloc::Layout;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::{ManuallyDrop, offset_of};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use super::cell::{CANCELLED, CellRef, DONE, FOREIGN, FULL, Header, RUNNING, TASK, VTable};
use super::home::{Home, HomeOwner, enter, leave};
use super::memory;
use crate::context::ContextSlot;
use crate::report;

#[repr(C)]
struct CallbackCell<F> {
    header: Header,
    stage: UnsafeCell<ManuallyDrop<F>>,
}

impl<F: FnOnce()> CallbackCell<F> {
    const VTABLE: &'static VTable = &VTable {
        step: step::<F>,
        drop_stage: drop_stage::<F>,
        drop_local: nothing,
        layout: memory::padded(Layout::new::<Self>()),
        stage: offset_of!(Self, stage),
        type_name: std::any::type_name::<F>,
    };

    /// Makes a cell in memory for it.
    ///
    /// # Safety
    ///
    /// `memory` is of the layout of the vtable, and the caller's.
    #[inline]
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one cell, field by field")]
    unsafe fn write(
        memory: NonNull<u8>,
        home: NonNull<Home>,
        flags: u32,
        context: ContextSlot,
        callback: F,
    ) -> NonNull<Header> {
        let cell: *mut Self = memory.cast().as_ptr();
        // SAFETY: the caller's promise; a cell begins with the header (`repr(C)`).
        unsafe {
            Header::write(memory.cast(), Self::VTABLE, home, flags, context);
            (&raw mut (*cell).stage).cast::<F>().write(callback);
        }
        memory.cast()
    }
}

/// # Safety
///
/// None; a vtable wants an unsafe function.
unsafe fn nothing(_: NonNull<Header>) {}

/// Takes the closure out of its cell.
///
/// # Safety
///
/// `cell` is a `CallbackCell<F>` whose stage is full and, after this, the caller's.
unsafe fn take_stage<F>(cell: NonNull<Header>) -> F {
    // SAFETY: the caller's promise.
    let stage = unsafe { cell.as_ref() }.stage::<F>(cell);
    // SAFETY: promise 3: nobody else is in the stage, and it is full.
    unsafe { stage.read() }
}

/// # Safety
///
/// `cell` is a live `CallbackCell<F>`, not `DONE`, with `RUNNING` set, on the owner's thread.
unsafe fn step<F: FnOnce()>(cell: NonNull<Header>) {
    // SAFETY: RUNNING keeps it alive.
    let header = unsafe { cell.as_ref() };
    // SAFETY: RUNNING keeps it alive, and nobody else has entered it.
    let before = unsafe { enter(cell, None) };
    header.set(DONE);
    header.clear(FULL);
    // SAFETY: not DONE before, so the stage was full, and it is taken once.
    let callback = unsafe { take_stage::<F>(cell) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(callback)) {
        report::callback_panicked((header.vtable.type_name)(), payload);
    }
    // SAFETY: entered above, and still alive.
    unsafe { leave(cell, before) };
}

/// # Safety
///
/// `cell` is a live `CallbackCell<F>` whose stage is the caller's, on the owner's thread.
unsafe fn drop_stage<F: FnOnce()>(cell: NonNull<Header>, _flags: u32) {
    // SAFETY: the caller's promise.
    let callback = unsafe { take_stage::<F>(cell) };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(callback))) {
        // SAFETY: the caller keeps it alive.
        report::callback_panicked((unsafe { cell.as_ref() }.vtable.type_name)(), payload);
    }
}

/// A callback of `home`, not scheduled.
pub(super) fn new<F: FnOnce() + 'static>(
    home: &HomeOwner,
    callback: F,
    context: ContextSlot,
) -> CallbackRef {
    let layout = CallbackCell::<F>::VTABLE.layout;
    // SAFETY: the owner keeps the home alive, and is on its thread.
    let memory = unsafe { Home::allocate(home.ptr(), layout) };
    // SAFETY: memory for this cell.
    let cell = unsafe { CallbackCell::write(memory, home.ptr(), FULL, context, callback) };
    // SAFETY: a new cell has one local reference.
    CallbackRef(unsafe { CellRef::from_raw(cell) })
}

/// A callback made on another thread. Until the owner sees it, its one local reference belongs to
/// that thread, and then to the inbox.
///
/// # Safety
///
/// `home` is alive, and the cell is given to its inbox or to `take_foreign`.
pub(super) unsafe fn new_foreign<F: FnOnce() + Send + 'static>(
    home: NonNull<Home>,
    callback: F,
) -> NonNull<Header> {
    let memory = memory::fresh(CallbackCell::<F>::VTABLE.layout);
    // SAFETY: memory for this cell.
    unsafe { CallbackCell::write(memory, home, FULL | FOREIGN, ContextSlot::default(), callback) }
}

/// Takes a cell apart that no inbox wanted.
///
/// # Safety
///
/// `cell` is from `new_foreign::<F>`, and nobody else knows it.
pub(super) unsafe fn take_foreign<F: FnOnce()>(cell: NonNull<Header>) -> F {
    // SAFETY: as the caller says, it is an untouched cell of `F`.
    let callback = unsafe { take_stage::<F>(cell) };
    // SAFETY: nobody else knows the cell; an empty context needs no drop.
    unsafe { super::cell::free(cell) };
    callback
}

/// Ends a callback without running it.
///
/// # Safety
///
/// `cell` is a live callback cell, neither `DONE` nor `RUNNING`, on the owner's thread.
pub(super) unsafe fn discard(cell: NonNull<Header>) {
    // SAFETY: the caller's promise.
    let header = unsafe { cell.as_ref() };
    header.set(DONE | RUNNING);
    header.clear(FULL);
    // SAFETY: alive, and not running, so not entered.
    let before = unsafe { enter(cell, None) };
    // SAFETY: promise 3: DONE was not set, so the stage was full, and now it is the caller's.
    unsafe { (header.vtable.drop_stage)(cell, 0) };
    // SAFETY: entered above, and kept alive by RUNNING.
    unsafe { leave(cell, before) };
    header.clear(RUNNING);
}

/// Ends a callback unless it runs or has ended. Nobody schedules it again, and if it stands in the
/// queue it is passed over there. A cell that is no callback stays as it is.
pub(super) fn discard_pending(cell: &CellRef) {
    if !cell.header().has(DONE | RUNNING | TASK) {
        // SAFETY: alive, on the owner's thread, and a callback that is neither DONE nor RUNNING.
        unsafe { discard(cell.ptr()) };
    }
}

/// A callback of a loop: what [`Handle`](crate::Handle) is made of.
///
/// Anything may hold one and schedule it later: a timer, a promise, a finished task.
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
pub struct CallbackRef(CellRef);

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
    pub fn cancel(&self) {
        self.0.header().set(CANCELLED);
        discard_pending(&self.0);
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
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        (self.0.header().vtable.type_name)()
    }

    pub(crate) fn into_cell(self) -> CellRef {
        self.0
    }
}

impl fmt::Debug for CallbackRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
