//! Wakers of tasks and callbacks: `Waker` for all threads, and `LoopWaker` for the loop's thread.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::Location;
use std::ptr::NonNull;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use super::callback::{self, CallbackRef};
use super::header::{DONE, Header, Runnable, RunnableRef};
use super::host;
use super::site::Site;
use super::task::TaskPtr;
use super::trace;
use super::waits_for::{Wait, WaitsFor};

/// A static, so that its address identifies wakers of this project.
static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, release);

/// The table for a traced poll (see `trace`). Clones of its wakers are of the usual kind.
static WATCHED: RawWakerVTable = RawWakerVTable::new(clone_watched, wake, wake_by_ref, release);

/// The functions of the wakers of polls.
#[inline]
pub(super) fn usual() -> &'static RawWakerVTable {
    &VTABLE
}

/// As [`usual`], for a poll that is watched.
pub(super) fn watched() -> &'static RawWakerVTable {
    &WATCHED
}

/// # Safety
///
/// `data` is the header of a live waker of ours: counted, or borrowed during a poll. Likewise
/// below.
unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: the caller's promise.
    let this = unsafe { header(data) };
    // SAFETY: the live waker keeps the header alive.
    unsafe { Header::retain_shared(this) };
    RawWaker::new(data, &VTABLE)
}

/// A future of another crate keeps the waker.
unsafe fn clone_watched(data: *const ()) -> RawWaker {
    with_polled(|task| trace::note(task, None));
    // SAFETY: the caller's promise.
    unsafe { clone(data) }
}

unsafe fn wake(data: *const ()) {
    // SAFETY: the caller's promise.
    unsafe { wake_by_ref(data) };
    // SAFETY: `wake` consumes the waker.
    unsafe { release(data) };
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: the caller's promise.
    let this = unsafe { header(data) };
    // SAFETY: the live waker keeps the header alive, and by promise 4 the scheduler.
    let header = unsafe { this.as_ref() };
    // SAFETY: as above.
    let scheduler = unsafe { header.scheduler.as_ref() };
    if scheduler.is_owner() {
        // DONE is set before the local side ends, and then there is nothing to do.
        if !header.has(DONE) {
            // SAFETY: on the owner's thread; not DONE, so the local side is alive.
            unsafe { Runnable::new(this) }.schedule();
        }
    } else if header.mark_queued() {
        // SAFETY: alive; the count is the remote queue's.
        unsafe { Header::retain_shared(this) };
        // SAFETY: alive; `mark_queued` makes sure that it is in once; the count is handed over.
        match unsafe { scheduler.remote.push(this) } {
            Ok(true) => scheduler.unpark(),
            Ok(false) => {}
            // SAFETY: refused, so the count is still this thread's.
            Err(_) => unsafe { Header::release_shared(this) },
        }
    }
}

unsafe fn release(data: *const ()) {
    // SAFETY: the caller's promise.
    let this = unsafe { header(data) };
    // SAFETY: the waker was counted, and is gone now.
    unsafe { Header::release_shared(this) };
}

/// # Safety
///
/// `data` is that of a waker of ours.
#[inline]
unsafe fn header(data: *const ()) -> NonNull<Header> {
    // SAFETY: `borrowed` made it of the address of a header.
    unsafe { NonNull::new_unchecked(data.cast_mut().cast()) }
}

/// The waker for a poll: counts nothing, and is not dropped.
///
/// # Safety
///
/// `task` outlives the result, and `vtable` is [`usual`] or [`watched`].
pub(super) unsafe fn borrowed(
    task: Runnable,
    vtable: &'static RawWakerVTable,
) -> ManuallyDrop<Waker> {
    // SAFETY: the vtable's functions fit the data; not counted, so not dropped.
    ManuallyDrop::new(unsafe { Waker::new(task.as_ptr().as_ptr().cast_const().cast(), vtable) })
}

/// A waker that stays on the thread on which it was made.
///
/// Futures of one thread keep this instead of a [`Waker`]. When the task being polled is one of
/// this thread's loop, taking, cloning, dropping and waking it cost a counter and a queue push,
/// without atomics and without a virtual call. Under any other executor, and under combinators with
/// their own wakers, it holds a plain [`Waker`]. So a primitive written with `LoopWaker` works
/// everywhere, and is fast on this project's loop.
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
    /// A task or callback of this thread that had not ended when the waker was taken.
    Local(RunnableRef),
    /// Of another executor or of a combinator.
    Other(Foreign),
}

/// A foreign waker, which is code of a user. If waking or dropping it panics, that is reported, and
/// other wakers are still woken.
#[derive(Clone)]
pub(super) struct Foreign(Option<Waker>, PhantomData<*const ()>);

impl Foreign {
    pub(super) fn new(waker: Waker) -> Self {
        Self(Some(waker), PhantomData)
    }

    #[cold]
    pub(super) fn wake(mut self) {
        let waker = self.0.take();
        host::caught("a waker", || waker.map_or((), Waker::wake));
    }

    #[cold]
    fn wake_by_ref(&self) {
        host::caught("a waker", || self.0.iter().for_each(Waker::wake_by_ref));
    }

    fn will_wake(&self, waker: &Waker) -> bool {
        self.0.as_ref().is_some_and(|own| own.will_wake(waker))
    }
}

impl Drop for Foreign {
    #[inline]
    fn drop(&mut self) {
        if let Some(waker) = self.0.take() {
            host::caught("the end of a waker", || drop(waker));
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

    /// Takes the waker of the task being polled, and notes what that task is going to wait for:
    /// [`from_context`](Self::from_context) and [`WaitsFor::note`] in one call.
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
    #[track_caller]
    pub fn for_wait(cx: &Context<'_>, what: WaitsFor) -> Self {
        Self::waiting(cx, Wait::new(what))
    }

    /// As [`for_wait`](Self::for_wait), with details.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn waiting(cx: &Context<'_>, wait: Wait) -> Self {
        Self::waiting_at(cx, wait, Location::caller())
    }

    /// As [`waiting`](Self::waiting), for a place that is known.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn waiting_at(cx: &Context<'_>, wait: Wait, site: &'static Location<'static>) -> Self {
        // What is rare is a call at the end, so that the usual way saves no registers.
        let (Some(runnable), Some(near)) = (local(cx.waker()), Site::near(site)) else {
            return Self::waiting_rarely(cx, wait, site);
        };
        if let Some(task) = TaskPtr::of(runnable) {
            task.set_wait(wait, near);
        }
        Self(Kind::Local(RunnableRef::share(runnable)))
    }

    /// `waiting_at`, for every waker and place.
    #[cold]
    #[inline(never)]
    fn waiting_rarely(cx: &Context<'_>, wait: Wait, site: &'static Location<'static>) -> Self {
        wait.note_at(cx, site);
        Self::from_context(cx)
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
        match local(waker) {
            Some(runnable) => Self(Kind::Local(RunnableRef::share(runnable))),
            None => Self::from_unusual(waker),
        }
    }

    #[cold]
    #[inline(never)]
    fn from_unusual(waker: &Waker) -> Self {
        if std::ptr::eq(waker.vtable(), &WATCHED) {
            if let Some(runnable) = own(waker) {
                return Self(Kind::Local(RunnableRef::share(runnable)));
            }
        }
        Self::foreign(waker.clone())
    }

    pub(crate) fn from_runnable(runnable: RunnableRef) -> Self {
        Self(Kind::Local(runnable))
    }

    /// A waker that [`into_runnable`](Self::into_runnable) gave back.
    pub(crate) fn foreign(waker: Waker) -> Self {
        Self(Kind::Other(Foreign::new(waker)))
    }

    /// The task or callback that is woken, or else the waker.
    #[inline]
    pub(crate) fn into_runnable(self) -> Result<RunnableRef, Waker> {
        match self.0 {
            Kind::Local(runnable) => Ok(runnable),
            Kind::Other(mut waker) => Err(waker.0.take().expect("taken only by the owner")),
        }
    }

    /// Wakes the task, and gives up the reference.
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
            Kind::Local(runnable) => runnable.schedule(),
            Kind::Other(waker) => waker.wake(),
        }
    }

    /// Notes what the task being polled is going to wait for, and where, if this is the waker of
    /// that task. False if it is another one's, or if nothing can be noted quickly.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn waits_again(
        &self,
        cx: &Context<'_>,
        wait: Wait,
        site: &'static Location<'static>,
    ) -> bool {
        let (Kind::Local(runnable), Some(near)) = (&self.0, Site::near(site)) else {
            return false;
        };
        let is_polled = runnable.is_polled(cx);
        if let (true, Some(task)) = (is_polled, TaskPtr::of(runnable.get())) {
            task.set_wait(wait, near);
        }
        is_polled
    }

    /// Has the task polled again, if that calls no code of a user; false if it would, and then
    /// nothing was done.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn wake_quietly(&self) -> bool {
        match &self.0 {
            Kind::Local(runnable) => runnable.get().schedule_quietly(),
            Kind::Other(..) => false,
        }
    }

    /// A clone, if the waker is of this thread's loop, which calls no code of a user.
    #[doc(hidden)]
    #[inline]
    #[must_use]
    pub fn clone_local(&self) -> Option<Self> {
        match &self.0 {
            Kind::Local(runnable) => Some(Self::from_runnable(runnable.clone())),
            Kind::Other(..) => None,
        }
    }

    /// Drops the reference, and with it the callback that it would have woken, even if there are
    /// other handles of the callback.
    pub(crate) fn discard(self) {
        match self.0 {
            Kind::Local(runnable) => callback::discard(runnable.get()),
            Kind::Other(waker) => drop(waker),
        }
    }

    /// Wakes the task.
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
            Kind::Local(runnable) => runnable.schedule(),
            Kind::Other(waker) => waker.wake_by_ref(),
        }
    }

    /// Whether waking this wakes the task being polled with `cx`.
    ///
    /// As with [`Waker::will_wake`], false may be wrong.
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
            Kind::Local(runnable) => runnable.is_polled(cx),
            Kind::Other(waker) => waker.will_wake(cx.waker()),
        }
    }

    /// The task or callback that this wakes, if it is one of this project.
    pub(super) fn runnable(&self) -> Option<&RunnableRef> {
        match &self.0 {
            Kind::Local(runnable) => Some(runnable),
            Kind::Other(..) => None,
        }
    }
}

impl fmt::Debug for LoopWaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Local(runnable) => f.debug_tuple("LoopWaker").field(runnable).finish(),
            Kind::Other(waker) => f.debug_tuple("LoopWaker").field(&waker.0).finish(),
        }
    }
}

impl RunnableRef {
    /// Whether this is the task that is being polled with `cx`.
    #[inline]
    pub(crate) fn is_polled(&self, cx: &Context<'_>) -> bool {
        std::ptr::eq(cx.waker().vtable(), &VTABLE)
            && std::ptr::eq(cx.waker().data().cast(), self.get().as_ptr().as_ptr())
    }
}

/// Waking it schedules the callback.
impl From<CallbackRef> for LoopWaker {
    fn from(callback: CallbackRef) -> Self {
        Self::from_runnable(callback.into_runnable())
    }
}

impl Wait {
    /// As [`note`](Self::note), for a place that is known.
    #[inline]
    pub fn note_at(self, cx: &Context<'_>, site: &'static Location<'static>) {
        match local_task(cx.waker()) {
            Some(task) => task.set_wait(self, Site::new(site)),
            None => with_polled(|task| {
                task.set_wait(self, Site::new(site));
                trace::note(task, Some((self, site)));
            }),
        }
    }
}

/// Polls a future that does not say what it waits for. While it is pending, the task being polled
/// waits for `what` at the place of the caller, unless the poll has noted something itself. When it
/// is ready, the task waits for what it did before.
#[track_caller]
pub fn poll_noted<T>(
    cx: &mut Context<'_>,
    what: WaitsFor,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
) -> Poll<T> {
    let (wait, site) = (Wait::new(what), Location::caller());
    let mut before = None;
    with_task(cx, |task| {
        before = Some((task.noted(), trace::count(task)));
        task.set_wait(wait, Site::new(site));
    });
    let polled = poll(cx);
    with_task(cx, |task| match (&polled, before) {
        (Poll::Ready(_), Some((noted, _))) => task.put_back(noted),
        // What is inside has said nothing.
        (Poll::Pending, Some((_, count))) if count.is_some() && count == trace::count(task) => {
            trace::note(task, Some((wait, site)));
        }
        _ => {}
    });
    polled
}

/// Calls `f` with the task that is being polled with `cx`, or at least on this thread.
fn with_task(cx: &Context<'_>, f: impl FnOnce(TaskPtr)) {
    match local_task(cx.waker()) {
        Some(task) => f(task),
        None => with_polled(f),
    }
}

/// Replaces the place at which the task being polled waits, after a poll that has noted one.
#[inline]
pub fn move_wait(cx: &Context<'_>, site: &'static Location<'static>) {
    match local_task(cx.waker()) {
        Some(task) => task.set_wait_site(site),
        None => with_polled(|task| {
            task.set_wait_site(site);
            trace::moved(task, site);
        }),
    }
}

/// Replaces that place if it is in the source file `inside`.
#[inline]
pub fn move_wait_out_of(inside: &str, cx: &Context<'_>, site: &'static Location<'static>) {
    let is_inside = |task: TaskPtr| task.wait_site().is_some_and(|noted| noted.file() == inside);
    match local_task(cx.waker()) {
        Some(task) if is_inside(task) => task.set_wait_site(site),
        Some(_) => {}
        None => with_polled(|task| {
            if is_inside(task) {
                task.set_wait_site(site);
                trace::moved(task, site);
            }
        }),
    }
}

/// Calls `f` with the task that is being polled on this thread, if there is one: for a future whose
/// waker is that of a combinator.
#[cold]
fn with_polled(f: impl FnOnce(TaskPtr)) {
    let polled = host::polled();
    if let Some(task) = polled.as_ref().and_then(|polled| TaskPtr::of(polled.get())) {
        f(task);
    }
}

#[inline]
fn local_task(waker: &Waker) -> Option<TaskPtr> {
    local(waker).and_then(TaskPtr::of)
}

/// The task or callback of a waker, if it is ours, belongs to this thread, and has not ended.
#[inline]
fn local(waker: &Waker) -> Option<Runnable> {
    if std::ptr::eq(waker.vtable(), &VTABLE) { own(waker) } else { None }
}

/// As [`local`], for a waker that is ours.
#[inline]
fn own(waker: &Waker) -> Option<Runnable> {
    // SAFETY: the vtable is ours.
    let this = unsafe { header(waker.data()) };
    // SAFETY: the waker keeps the header alive, and the scheduler (promise 4).
    let header = unsafe { this.as_ref() };
    // SAFETY: as above.
    if !unsafe { header.scheduler.as_ref() }.is_owner() {
        return None;
    }
    // The flag may be read on this thread only.
    // SAFETY: on the owner's thread; not DONE, so the local side is alive.
    (!header.has(DONE)).then(|| unsafe { Runnable::new(this) })
}

/// Whether the task being polled has one of these flags; false if it is none of ours.
#[inline]
pub(super) fn has(cx: &Context<'_>, flags: u32) -> bool {
    local(cx.waker()).is_some_and(|task| task.has(flags))
}
