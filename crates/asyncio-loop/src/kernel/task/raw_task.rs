//! The handle that takes the output.

use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use crate::kernel::cell::{
    CANCELLED, CHILD, CellRef, DONE, ENDING, FULL, JOINED, LENT, OBSERVED, PANICKED, TASK,
};
use crate::kernel::home::Home;
use crate::kernel::waits_for::WaitsFor;
use crate::kernel::waker::{self, LoopWaker};
use crate::kernel::{children, frames};
use crate::report;
use crate::running::with_running;

use super::step::{drop_caught, take_awaiter, unlink};
use super::{Outcome, Payload, TaskRef, task_header};

/// The one handle that takes a task's output.
///
/// Dropping it lets the task go on by itself.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let mut task = event_loop.spawn(async { "value" }, TaskOptions::new())?;
/// assert!(task.take().is_none());
/// event_loop.run_until_complete(async {})?;
/// assert!(matches!(task.take(), Some(Outcome::Value("value"))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct RawTask<T> {
    task: TaskRef,
    _output: PhantomData<T>,
}

impl<T> RawTask<T> {
    pub(super) fn new(task: TaskRef) -> Self {
        Self { task, _output: PhantomData }
    }

    /// # Safety
    ///
    /// `cell` is a task whose output is a `T`, and this its only handle.
    pub(in crate::kernel) unsafe fn from_cell(cell: CellRef) -> Self {
        Self { task: TaskRef(cell), _output: PhantomData }
    }

    /// The task itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new().name("worker"))?;
    /// assert_eq!(&*raw.task().name(), "worker");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn task(&self) -> &TaskRef {
        &self.task
    }

    /// Looks at the outcome, once the task has ended and while nobody has taken it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// assert!(raw.peek().is_none());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(matches!(raw.peek(), Some(Outcome::Value(5))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<Outcome<&T>> {
        let header = self.task.header();
        let flags = header.flags.get();
        if flags & DONE == 0 {
            return None;
        }
        if flags & CANCELLED != 0 {
            return Some(Outcome::Cancelled);
        }
        if flags & FULL == 0 {
            return None;
        }
        if flags & PANICKED != 0 {
            header.set(OBSERVED);
            // SAFETY: DONE, FULL and PANICKED: the payload, which only this handle takes, by `&mut`.
            let payload = unsafe { &*header.stage::<Payload>(self.task.0.ptr()) };
            return Some(Outcome::Panicked(report::copy_payload(&**payload)));
        }
        header.set(LENT);
        // SAFETY: DONE and FULL: the output of type `T`, which only this handle takes, by `&mut`; LENT keeps a
        // set of children from dropping it.
        Some(Outcome::Value(unsafe { &*header.stage::<T>(self.task.0.ptr()) }))
    }

    /// Takes the outcome, once the task has ended; `None` before, and after it was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(matches!(raw.take(), Some(Outcome::Value(5))));
    /// assert!(raw.take().is_none(), "it was taken");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn take(&mut self) -> Option<Outcome<T>> {
        let header = self.task.header();
        let flags = header.flags.get();
        if flags & DONE == 0 {
            return None;
        }
        if flags & CANCELLED != 0 {
            return Some(Outcome::Cancelled);
        }
        if flags & FULL == 0 {
            return None;
        }
        header.clear(FULL);
        let outcome = if flags & PANICKED != 0 {
            // SAFETY: the payload, taken once: FULL is clear now.
            Outcome::Panicked(unsafe { header.stage::<Payload>(self.task.0.ptr()).read() })
        } else {
            // SAFETY: the output of type `T`, taken once.
            Outcome::Value(unsafe { header.stage::<T>(self.task.0.ptr()).read() })
        };
        if flags & CHILD != 0 {
            // SAFETY: DONE, and kept alive by this handle.
            unsafe { children::leave_if_empty(self.task.0.ptr()) };
        }
        Some(outcome)
    }

    /// Takes the value of a task that has returned one, unless the task that polls with `cx` has been
    /// asked to end: the straight way to what [`poll_linked`](Self::poll_linked) gives.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::{Context, Waker};
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// let cx = Context::from_waker(Waker::noop());
    /// assert_eq!(raw.take_value(&cx), None);
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(raw.take_value(&cx), Some(5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn take_value(&mut self, cx: &Context<'_>) -> Option<T> {
        let header = self.task.header();
        let flags = header.flags.get();
        let has_returned = flags & (DONE | FULL | PANICKED | CANCELLED | CHILD) == DONE | FULL;
        if !has_returned || waker::has(cx, ENDING) {
            return None;
        }
        header.clear(FULL);
        // SAFETY: DONE and FULL: the output of type `T`, taken once.
        Some(unsafe { header.stage::<T>(self.task.0.ptr()).read() })
    }

    /// Waits for the outcome and takes it.
    ///
    /// # Panics
    ///
    /// When the task waits for itself, or the outcome was taken before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 5 }, TaskOptions::new())?;
    /// let outcome = event_loop.run_until_complete(poll_fn(|cx| raw.poll_join(cx)))?;
    /// assert!(matches!(outcome, Outcome::Value(5)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll_join(&mut self, cx: &Context<'_>) -> Poll<Outcome<T>> {
        if self.task.is_done() {
            return Poll::Ready(self.take_once());
        }
        self.note_awaiter(cx, false);
        Poll::Pending
    }

    /// As [`poll_join`](Self::poll_join); and if the task that waits does so outside of every frame,
    /// [`TaskRef::awaited`] of it says what it waits for.
    ///
    /// # Panics
    ///
    /// As there.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, Join, Outcome, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut raw = event_loop.spawn(async { 7 }, TaskOptions::new())?;
    /// let value = event_loop.run_until_complete(poll_fn(|cx| match raw.poll_linked(cx) {
    ///     Join::Ready { outcome: Outcome::Value(value), ending } => Poll::Ready((value, ending)),
    ///     Join::Ready { .. } => unreachable!("it neither panics nor is cancelled"),
    ///     Join::Linked | Join::Noted => Poll::Pending,
    /// }))?;
    /// assert_eq!(value, (7, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn poll_linked(&mut self, cx: &Context<'_>) -> Join<T> {
        if self.task.is_done() {
            return Join::Ready { outcome: self.take_once(), ending: waker::has(cx, ENDING) };
        }
        self.note_awaiter(cx, true)
    }

    fn take_once(&mut self) -> Outcome<T> {
        self.take().unwrap_or_else(|| {
            panic!("{:?} was awaited again after it gave its outcome", self.task)
        })
    }

    #[inline]
    fn note_awaiter(&self, cx: &Context<'_>, link: bool) -> Join<T> {
        match LoopWaker::for_wait(cx, WaitsFor::Task).into_cell() {
            Ok(awaiter) => self.await_in(awaiter, link),
            Err(waker) => {
                if self.task.is_done() {
                    // To clone the waker has stepped it.
                    waker.wake();
                    return Join::Noted;
                }
                // Where no loop runs, another executor waits.
                let _ = with_running(|running| self.task.check_loop(Some(running)));
                // SAFETY: promises 1 and 5: dropped when the new one is in its place.
                let old = unsafe { take_awaiter(self.task.0.ptr()) };
                let waker = LoopWaker::foreign(waker);
                let old_waker = self.task.with_extra(|extra| {
                    if extra.awaiter.is_none() {
                        extra.before_awaiter = extra.on_done.len();
                    }
                    extra.awaiter.replace(waker)
                });
                drop((old, old_waker));
                Join::Noted
            }
        }
    }

    /// Notes the task that awaits this one, and links the two if nothing stands in between.
    #[inline]
    fn await_in(&self, awaiter: CellRef, link: bool) -> Join<T> {
        let this = self.task.0.ptr();
        assert!(awaiter != self.task.0, "{:?} awaits itself", self.task);
        if awaiter.header().home != self.task.header().home {
            // SAFETY: the local side of a live cell keeps its home alive.
            let other = unsafe { Home::event_loop(awaiter.header().home) };
            self.task.check_loop(other.as_ref());
        }
        let flags = awaiter.header().flags.get();
        // SAFETY: promises 1 and 5: no reference lives on.
        let same = unsafe { &*self.task.task().awaiter.get() }.as_ref() == Some(&awaiter);
        // SAFETY: promises 1 and 5: dropped when the new one is in its place, since its end may be code of a user
        // that steps this task.
        let old = if same { None } else { unsafe { take_awaiter(this) } };
        let linked = flags & TASK != 0 && {
            // SAFETY: a live task.
            let slot = unsafe { &task_header(awaiter.ptr()).awaiting };
            let free = slot.get().is_none_or(|awaited| awaited == this);
            if link && free && flags & ENDING == 0 && frames::is_bare() {
                slot.set(Some(this));
                true
            } else {
                unlink(&awaiter, this);
                false
            }
        };
        if !same {
            let foreign = self.task.if_extra(|extra| {
                extra.before_awaiter = extra.on_done.len();
                extra.awaiter.take()
            });
            // SAFETY: promises 1 and 5: the place is empty.
            unsafe { *self.task.task().awaiter.get() = Some(awaiter) };
            drop(foreign);
        }
        drop(old);
        if linked { Join::Linked } else { Join::Noted }
    }
}

/// What waiting for a task has come to.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{EventLoop, Join, Outcome, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let mut raw = event_loop.spawn(async { 7 }, TaskOptions::new())?;
/// let value = event_loop.run_until_complete(poll_fn(|cx| match raw.poll_linked(cx) {
///     Join::Ready { outcome: Outcome::Value(value), ending } => Poll::Ready((value, ending)),
///     Join::Ready { .. } => unreachable!("it neither panics nor is cancelled"),
///     Join::Linked | Join::Noted => Poll::Pending,
/// }))?;
/// assert_eq!(value, (7, false));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Join<T> {
    /// The task has ended.
    Ready {
        /// How.
        outcome: Outcome<T>,
        /// Whether the task that was waiting has been asked to end.
        ending: bool,
    },
    /// The task that waits is woken, and [`TaskRef::awaited`] of it says what it waits for.
    Linked,
    /// Whoever waits is woken: inside a frame, in several places at once, or by a waker that is
    /// not ours.
    Noted,
}

impl<T> Drop for RawTask<T> {
    fn drop(&mut self) {
        let header = self.task.header();
        header.clear(JOINED);
        if !header.has(DONE) {
            // Nobody waits any more.
            // SAFETY: promises 1 and 5: dropped after it was taken out.
            drop(unsafe { take_awaiter(self.task.0.ptr()) });
            drop(self.task.if_extra(|extra| extra.awaiter.take()));
            return;
        }
        let observed = header.has(OBSERVED);
        match self.take() {
            Some(Outcome::Panicked(payload)) if !observed => {
                report::task_panicked(&self.task, payload);
            }
            Some(outcome) => drop_caught(self.task.header(), outcome),
            None => {}
        }
    }
}

impl<T> fmt::Debug for RawTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
