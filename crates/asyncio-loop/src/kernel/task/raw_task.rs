//! The handle that takes the output of a task.

use std::fmt;
use std::marker::PhantomData;
use std::task::{Context, Poll, Waker};

use super::awaiter::Awaiter;
use super::header::TaskPtr;
use super::outcome::Outcome;
use super::poll::drop_caught;
use super::task_ref::TaskRef;
use super::unseen::{self, unseen_error};
use crate::kernel::frames;
use crate::kernel::header::{
    CANCELLED, CHILD, DONE, ENDING, FULL, JOINED, LENT, LOOKED_FOR, OBSERVED, PANICKED, RunnableRef,
};
use crate::kernel::host::{self, Failure};
use crate::kernel::panics::{Payload, copy_payload};
use crate::kernel::waits_for::Wait;
use crate::kernel::waker::{self, LoopWaker};

/// The one handle that takes a task's output.
///
/// Dropping it detaches the task, which goes on.
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
    /// # Safety
    ///
    /// `task` is a task whose output is a `T`, and this its only handle.
    pub(in crate::kernel) unsafe fn from_raw(task: RunnableRef) -> Self {
        // SAFETY: the caller's promise.
        Self { task: unsafe { TaskRef::from_raw(task) }, _output: PhantomData }
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

    /// Borrows the outcome, once the task has ended and as long as the outcome was not taken.
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
        let task = self.task.ptr();
        let flags = task.flags.get();
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
            task.set(OBSERVED);
            // SAFETY: DONE, FULL and PANICKED: the payload, which only this handle takes, by
            // `&mut`.
            let payload = unsafe { &*task.get().stage::<Payload>() };
            return Some(Outcome::Panicked(copy_payload(&**payload)));
        }
        task.set(LENT);
        // SAFETY: DONE and FULL: the output of type `T`, which only this handle takes, by `&mut`;
        // LENT keeps a set of children from dropping it.
        Some(Outcome::Value(unsafe { &*task.get().stage::<T>() }))
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
        let task = self.task.ptr();
        let flags = task.flags.get();
        if flags & DONE == 0 {
            return None;
        }
        if flags & CANCELLED != 0 {
            return Some(Outcome::Cancelled);
        }
        if flags & FULL == 0 {
            return None;
        }
        task.clear(FULL);
        let outcome = if flags & PANICKED != 0 {
            // SAFETY: the payload, taken once: FULL is clear now.
            Outcome::Panicked(unsafe { task.get().stage::<Payload>().read() })
        } else {
            // SAFETY: the output of type `T`, taken once.
            Outcome::Value(unsafe { task.get().stage::<T>().read() })
        };
        if flags & CHILD != 0 {
            if let Some(set) = task.vtable.set {
                (set.leave_if_empty)(task.get());
            }
        }
        Some(outcome)
    }

    /// Takes the value of a task that has returned one, unless the task that polls with `cx` has
    /// been asked to end: the straight way to what [`poll_linked`](Self::poll_linked) gives.
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
        let task = self.task.ptr();
        let flags = task.flags.get();
        let has_returned = flags & (DONE | FULL | PANICKED | CANCELLED | CHILD) == DONE | FULL;
        if !has_returned || waker::has(cx, ENDING) {
            return None;
        }
        task.clear(FULL);
        // SAFETY: DONE and FULL: the output of type `T`, taken once.
        Some(unsafe { task.get().stage::<T>().read() })
    }

    /// Waits for the outcome and takes it.
    ///
    /// # Panics
    ///
    /// If the task waits for itself, or if the outcome was taken before.
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
    #[track_caller]
    pub fn poll_join(&mut self, cx: &Context<'_>) -> Poll<Outcome<T>> {
        if self.task.is_done() {
            return Poll::Ready(self.take_once());
        }
        self.note_awaiter(cx, false);
        Poll::Pending
    }

    /// As [`poll_join`](Self::poll_join); and if the waiting task does so outside of every frame,
    /// its [`awaited`](crate::machinery::TaskControl::awaited) names this one.
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
    /// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
    /// use asyncio_loop::machinery::Join;
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
    #[track_caller]
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
    #[track_caller]
    fn note_awaiter(&self, cx: &Context<'_>, link: bool) -> Join<T> {
        match LoopWaker::waiting(cx, Wait::task(self.task.id())).into_runnable() {
            Ok(awaiter) => self.await_in(awaiter, link),
            Err(waker) => self.await_outside(waker),
        }
    }

    /// Notes a waker of another executor or of a combinator.
    #[cold]
    fn await_outside(&self, waker: Waker) -> Join<T> {
        if self.task.is_done() {
            // Cloning the waker has polled the task.
            waker.wake();
            return Join::Noted;
        }
        host::check_await(self.task.runnable(), None);
        let by = self.task.ptr().get().scheduler().running().and_then(TaskPtr::of);
        let by = by.map_or(0, TaskPtr::number);
        let old = self.make_room(Some(by).filter(|by| *by != 0));
        self.task.ptr().set_outside(waker, by);
        drop(old);
        Join::Noted
    }

    /// Takes the awaiter out, since there is another one, perhaps inside of the same task. It is
    /// dropped when the new one is in its place, since its end may be code of a user that polls
    /// this task.
    #[inline]
    fn make_room(&self, by: Option<u64>) -> Option<Awaiter> {
        let this = self.task.ptr();
        if by.is_none() || this.awaiter_number() != by {
            this.with_extra(|extra| extra.get_mut().map(|extra| extra.on_done.note_awaiter()));
        }
        this.take_awaiter()
    }

    /// Notes the task that awaits this one, and links the two if there is no frame in between.
    #[inline]
    fn await_in(&self, awaiter: RunnableRef, link: bool) -> Join<T> {
        let this = self.task.ptr();
        assert!(awaiter != *self.task.runnable(), "{:?} awaits itself", self.task);
        if awaiter.get().scheduler != this.scheduler {
            host::check_await(self.task.runnable(), Some(&awaiter));
        }
        let same = this.awaiter_here() == Some(awaiter.get());
        let linked = TaskPtr::of(awaiter.get()).is_some_and(|task| {
            let free = task.awaited().is_none_or(|awaited| awaited == this);
            if link && free && !task.has(ENDING) && frames::is_bare() {
                task.set_awaited(this);
                true
            } else {
                this.unlink(awaiter.get());
                false
            }
        });
        if !same {
            let old = self.make_room(None);
            this.set_awaiter(awaiter);
            drop(old);
        }
        if linked { Join::Linked } else { Join::Noted }
    }
}

/// The result of a poll that waits for a task.
///
/// # Examples
///
/// ```
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
/// use asyncio_loop::machinery::Join;
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
        /// How it ended.
        outcome: Outcome<T>,
        /// Whether the task that was waiting has been asked to end.
        ending: bool,
    },
    /// The waiting task is woken, and its
    /// [`awaited`](crate::machinery::TaskControl::awaited) names this one.
    Linked,
    /// The waiter is woken; no link is kept, because it waits inside a frame, in several places at
    /// once, or by a waker that is not ours.
    Noted,
}

impl<T> RawTask<T> {
    /// Drops what is left of a task whose handle goes: an output that was not taken, or the awaiter
    /// of a task that has not ended.
    #[inline(never)]
    fn drop_rest(&mut self) {
        let task = self.task.ptr();
        if !task.has(DONE) {
            // No task waits any more.
            drop(task.take_awaiter());
            return;
        }
        let observed = task.has(OBSERVED);
        match self.take() {
            Some(Outcome::Value(output))
                if task.flags.get() & (LOOKED_FOR | LENT) == LOOKED_FOR =>
            {
                // SAFETY: an output of the task.
                let error = unsafe { unseen_error(task, (&raw const output).cast()) };
                drop_caught(task, output);
                error.into_iter().for_each(|error| unseen::report(self.task.runnable(), error));
            }
            Some(Outcome::Panicked(payload)) if !observed => {
                host::report(Failure::Task { task: self.task.runnable(), payload });
            }
            Some(outcome) => drop_caught(task, outcome),
            None => {}
        }
    }
}

impl<T> Drop for RawTask<T> {
    #[inline]
    fn drop(&mut self) {
        let task = self.task.ptr();
        task.clear(JOINED);
        // One test for the handle of a task whose output was taken.
        if task.flags.get() & (DONE | FULL) != DONE {
            self.drop_rest();
        }
    }
}

impl<T> fmt::Debug for RawTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.task.fmt(f)
    }
}
