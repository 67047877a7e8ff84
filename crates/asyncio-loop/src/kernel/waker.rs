//! Wakers of cells: the one for every thread, and the one that stays.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::task::{Context, RawWaker, RawWakerVTable, Waker};

use super::callback;
use super::cell::{CellRef, DONE, Header, WAIT};
use super::waits_for::WaitsFor;
use crate::report;

/// A static, so that its address says that a waker is ours.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// # Safety
///
/// `data` is the cell of a live waker of ours: counted, or borrowed during a poll. Likewise below.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the live waker keeps the cell alive.
    unsafe { Header::retain_shared(cell(data)) };
    RawWaker::new(data, &VTABLE)
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's promise.
    unsafe { wake_by_ref(data) };
    // SAFETY: `wake` consumes the waker.
    unsafe { release(data) };
}

unsafe fn wake_by_ref(data: *const ()) {
    let cell = cell(data);
    // SAFETY: the live waker keeps the cell alive, and by promise 4 the home.
    let header = unsafe { cell.as_ref() };
    // SAFETY: as above.
    let home = unsafe { header.home.as_ref() };
    if home.is_owner() {
        // SAFETY: alive, and on the owner's thread.
        unsafe { Header::schedule(cell) };
    } else if header.mark_queued() {
        // SAFETY: alive; the count is the inbox's.
        unsafe { Header::retain_shared(cell) };
        // SAFETY: alive; `mark_queued` makes sure that it is in once; the count is handed over.
        match unsafe { home.inbox.push(cell) } {
            Ok(true) => home.unpark(),
            Ok(false) => {}
            // SAFETY: refused, so the count is still this thread's.
            Err(_) => unsafe { Header::release_shared(cell) },
        }
    }
}

unsafe fn release(data: *const ()) {
    // SAFETY: the waker was counted, and is gone now.
    unsafe { Header::release_shared(cell(data)) };
}

#[inline]
fn cell(data: *const ()) -> NonNull<Header> {
    NonNull::new(data.cast_mut().cast()).expect("made from a cell")
}

/// The waker for a poll of `cell`: counts nothing, and is not dropped.
///
/// # Safety
///
/// `cell` outlives the result.
pub(super) unsafe fn borrowed(cell: NonNull<Header>) -> ManuallyDrop<Waker> {
    // SAFETY: the vtable's functions fit the data; not counted, so not dropped.
    ManuallyDrop::new(unsafe { Waker::new(cell.as_ptr().cast_const().cast(), &VTABLE) })
}

/// A waker that stays on the thread it was taken on.
///
/// Futures of one thread keep this instead of a [`Waker`]. When the task being polled is one of
/// this thread's loop, taking, cloning, dropping and waking it cost a counter and a queue push,
/// without atomics and without a virtual call. Under any other executor, and under combinators that
/// bring wakers of their own, it is a plain [`Waker`] inside. So a primitive written with
/// `LoopWaker` works everywhere, and is fast at home.
///
/// # Examples
///
/// ```
/// use std::cell::RefCell;
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{EventLoop, LoopWaker};
///
/// let event_loop = EventLoop::new()?;
/// let waiter = RefCell::new(None);
/// let mut polls = 0;
/// event_loop.run_until_complete(poll_fn(|cx| {
///     polls += 1;
///     if polls == 2 {
///         return Poll::Ready(());
///     }
///     *waiter.borrow_mut() = Some(LoopWaker::from_context(cx));
///     waiter.borrow_mut().take().unwrap().wake();
///     Poll::Pending
/// }))?;
/// assert_eq!(polls, 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LoopWaker(Kind);

#[derive(Clone)]
enum Kind {
    /// A cell of this thread that had not ended when the waker was taken.
    Local(CellRef),
    /// Of another executor or of a combinator.
    Other(Foreign),
}

/// A waker that is not ours. It is code of a user: if waking or dropping it panics, that is reported,
/// and goes on with the others that are woken beside it.
#[derive(Clone)]
struct Foreign(Option<Waker>, PhantomData<*const ()>);

impl Foreign {
    fn new(waker: Waker) -> Self {
        Self(Some(waker), PhantomData)
    }

    #[cold]
    fn wake(mut self) {
        let waker = self.0.take();
        report::caught("a waker", || waker.map_or((), Waker::wake));
    }

    #[cold]
    fn wake_by_ref(&self) {
        report::caught("a waker", || self.0.iter().for_each(Waker::wake_by_ref));
    }

    fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|own| own.will_wake(waker))
    }
}

impl Drop for Foreign {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            report::caught("the end of a waker", || drop(waker));
        }
    }
}

impl LoopWaker {
    /// Takes the waker of the task being polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// use asyncio_loop::LoopWaker;
    ///
    /// let cx = Context::from_waker(Waker::noop());
    /// assert!(LoopWaker::from_context(&cx).will_wake(&cx));
    /// ```
    #[inline]
    #[must_use]
    pub fn from_context(cx: &Context<'_>) -> Self {
        Self::from_waker(cx.waker())
    }

    /// Takes the waker of the task being polled, and notes what that task is going to wait for: as
    /// [`from_context`](Self::from_context) and [`WaitsFor::note`] in one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// use asyncio_loop::{LoopWaker, WaitsFor};
    ///
    /// let cx = Context::from_waker(Waker::noop());
    /// assert!(LoopWaker::for_wait(&cx, WaitsFor::Resource).will_wake(&cx));
    /// ```
    #[inline]
    #[must_use]
    pub fn for_wait(cx: &Context<'_>, what: WaitsFor) -> Self {
        let Some(cell) = local_cell(cx.waker()) else {
            return Self::foreign(cx.waker().clone());
        };
        // SAFETY: `local_cell` says that it is alive, on its thread, and not at its end.
        let cell = unsafe { CellRef::share(cell) };
        set_wait(cell.header(), what.bits());
        Self(Kind::Local(cell))
    }

    /// Takes a waker from a waker.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// use asyncio_loop::LoopWaker;
    ///
    /// let waker = LoopWaker::from_waker(Waker::noop());
    /// assert!(waker.will_wake(&Context::from_waker(Waker::noop())));
    /// ```
    #[inline]
    #[must_use]
    pub fn from_waker(waker: &Waker) -> Self {
        match local_cell(waker) {
            // SAFETY: `local_cell` says that it is alive, on its thread, and not at its end.
            Some(cell) => Self(Kind::Local(unsafe { CellRef::share(cell) })),
            None => Self::foreign(waker.clone()),
        }
    }

    pub(crate) fn from_cell(cell: CellRef) -> Self {
        Self(Kind::Local(cell))
    }

    /// What [`into_cell`](Self::into_cell) gave back.
    pub(crate) fn foreign(waker: Waker) -> Self {
        Self(Kind::Other(Foreign::new(waker)))
    }

    /// The cell that is woken, or else the waker.
    #[inline]
    pub(crate) fn into_cell(self) -> Result<CellRef, Waker> {
        match self.0 {
            Kind::Local(cell) => Ok(cell),
            Kind::Other(mut waker) => Err(waker.0.take().expect("taken only by the owner")),
        }
    }

    /// Has the task polled again, and gives up the reference.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, LoopWaker};
    ///
    /// let mut polls = 0;
    /// EventLoop::new()?.run_until_complete(poll_fn(|cx| {
    ///     polls += 1;
    ///     if polls == 2 {
    ///         return Poll::Ready(());
    ///     }
    ///     LoopWaker::from_context(cx).wake();
    ///     Poll::Pending
    /// }))?;
    /// assert_eq!(polls, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn wake(self) {
        match self.0 {
            Kind::Local(cell) => cell.schedule(),
            Kind::Other(waker) => waker.wake(),
        }
    }

    /// A copy, if it is of this thread's loop: to make one calls nobody.
    #[inline]
    pub(super) fn clone_local(&self) -> Option<Self> {
        match &self.0 {
            Kind::Local(cell) => Some(Self::from_cell(cell.clone())),
            Kind::Other(..) => None,
        }
    }

    /// Gives up the reference; a callback that would have been woken is dropped with it, whoever
    /// else has a handle.
    pub(crate) fn discard(self) {
        match self.0 {
            Kind::Local(cell) => callback::discard_pending(&cell),
            Kind::Other(waker) => drop(waker),
        }
    }

    /// Has the task polled again.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, LoopWaker};
    ///
    /// let mut polls = 0;
    /// EventLoop::new()?.run_until_complete(poll_fn(|cx| {
    ///     let waker = LoopWaker::from_context(cx);
    ///     waker.wake_by_ref();
    ///     waker.wake_by_ref(); // twice is once
    ///     polls += 1;
    ///     if polls == 2 { Poll::Ready(()) } else { Poll::Pending }
    /// }))?;
    /// assert_eq!(polls, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn wake_by_ref(&self) {
        match &self.0 {
            Kind::Local(cell) => cell.schedule(),
            Kind::Other(waker) => waker.wake_by_ref(),
        }
    }

    /// Whether waking this wakes the task being polled with `cx`.
    ///
    /// As with [`Waker::will_wake`], false says nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::{Context, Poll, Waker};
    /// use asyncio_loop::{EventLoop, LoopWaker};
    ///
    /// EventLoop::new()?.run_until_complete(poll_fn(|cx| {
    ///     let waker = LoopWaker::from_context(cx);
    ///     assert!(waker.will_wake(cx));
    ///     assert!(!waker.will_wake(&Context::from_waker(Waker::noop())));
    ///     Poll::Ready(())
    /// }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn will_wake(&self, cx: &Context<'_>) -> bool {
        match &self.0 {
            Kind::Local(cell) => cell.is_polled(cx),
            Kind::Other(waker) => waker.will_wake(cx.waker()),
        }
    }

    /// The task that is woken, if it is one of ours.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, LoopWaker, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(poll_fn(|cx| {
    ///     let task = LoopWaker::from_context(cx).task();
    ///     assert_eq!(task, running_loop().current_task());
    ///     Poll::Ready(())
    /// }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<super::TaskRef> {
        match &self.0 {
            Kind::Local(cell) => super::TaskRef::from_cell(cell.clone()).ok(),
            Kind::Other(..) => None,
        }
    }
}

impl fmt::Debug for LoopWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Local(cell) => f.debug_tuple("LoopWaker").field(cell).finish(),
            Kind::Other(waker) => f.debug_tuple("LoopWaker").field(&waker.0).finish(),
        }
    }
}

impl CellRef {
    /// Whether this is the task that is being polled with `cx`.
    #[inline]
    pub(crate) fn is_polled(&self, cx: &Context<'_>) -> bool {
        std::ptr::eq(cx.waker().vtable(), &VTABLE)
            && std::ptr::eq(cx.waker().data().cast(), self.ptr().as_ptr())
    }
}

/// Waking it schedules the callback.
impl From<super::CallbackRef> for LoopWaker {
    fn from(callback: super::CallbackRef) -> Self {
        Self::from_cell(callback.into_cell())
    }
}

/// The cell behind a waker, if it is ours, belongs to this thread, and has not ended.
#[inline]
fn local_cell(waker: &Waker) -> Option<NonNull<Header>> {
    if !std::ptr::eq(waker.vtable(), &VTABLE) {
        return None;
    }
    let cell = cell(waker.data());
    // SAFETY: the vtable is ours, and the waker keeps the cell alive, and the home (promise 4).
    let home = unsafe { cell.as_ref() }.home;
    // SAFETY: as above.
    if !unsafe { home.as_ref() }.is_owner() {
        return None;
    }
    // A cell whose local side has ended is DONE; the flag may be read on this thread only.
    // SAFETY: alive, as above.
    (!unsafe { cell.as_ref() }.has(DONE)).then_some(cell)
}

/// Sets the task's bits of `WAIT`; does nothing if it is none of ours.
#[inline]
pub(super) fn note_wait(cx: &Context<'_>, wait: u32) {
    if let Some(cell) = local_cell(cx.waker()) {
        // SAFETY: `local_cell` says that it is alive and on its thread.
        set_wait(unsafe { cell.as_ref() }, wait);
    }
}

#[inline]
fn set_wait(header: &Header, wait: u32) {
    header.flags.set(header.flags.get() & !WAIT | wait);
}

/// Whether the task being polled has one of these flags; false if it is none of ours.
#[inline]
pub(super) fn has(cx: &Context<'_>, flags: u32) -> bool {
    // SAFETY: `local_cell` says that it is alive and on its thread.
    local_cell(cx.waker()).is_some_and(|cell| unsafe { cell.as_ref() }.has(flags))
}
