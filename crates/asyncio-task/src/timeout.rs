//! Timeouts.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::io;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::{move_wait_out_of, while_cancelling, with_running};
use asyncio_loop::{CancelReason, Deadline, LoopTime, LoopWaker, running_loop};
use pin_project_lite::pin_project;

use crate::cancel::{Kind, Slot, is_ending_here};

/// The error of a limit that passed before the work was done.
///
/// # Examples
///
/// ```
/// use asyncio_task::TimeoutError;
///
/// assert_eq!(TimeoutError.to_string(), "timed out");
/// assert_eq!(std::io::Error::from(TimeoutError).kind(), std::io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutError;

impl fmt::Display for TimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("timed out")
    }
}

impl Error for TimeoutError {}

impl From<TimeoutError> for io::Error {
    fn from(error: TimeoutError) -> Self {
        io::Error::new(io::ErrorKind::TimedOut, error)
    }
}

/// Runs `body` for at most `limit`, counted from the first poll.
///
/// When the limit passes, `body` is asked to end as a cancelled task is: its cleanup runs and is
/// waited for, however long it takes. If the body catches the request and returns a value, that
/// value is the result. A limit of zero lets the body run up to its first real wait.
///
/// A cancel request from outside takes precedence over an expired limit: the task ends, and no
/// error is returned.
///
/// # Errors
///
/// [`TimeoutError`].
///
/// # Cancel safety
///
/// Cancelling it cancels `body`; dropping it drops `body`.
///
/// # From asyncio
///
/// `async with asyncio.timeout(…)`, and `wait_for` for futures. A [`Timeout`] can be queried and
/// rescheduled.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, TimeoutError, sleep, timeout};
///
/// Runner::builder().virtual_time(true).run(async {
///     let limit = Duration::from_secs(1);
///     assert_eq!(timeout(limit, async { 7 }).await, Ok(7));
///     assert_eq!(timeout(limit, sleep(2 * limit)).await, Err(TimeoutError));
/// });
/// ```
#[track_caller]
pub fn timeout<F: IntoFuture>(limit: Duration, body: F) -> TimeoutFuture<F::IntoFuture> {
    TimeoutFuture::new(body.into_future(), Limit::After(limit), None)
}

/// Runs `body` until `when` at the latest, as [`timeout`] does.
///
/// # Errors
///
/// [`TimeoutError`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, TimeoutError, running_loop, sleep, timeout_at};
///
/// Runner::builder().virtual_time(true).run(async {
///     let end = running_loop().time() + Duration::from_secs(1);
///     assert_eq!(timeout_at(end, sleep(Duration::from_secs(2))).await, Err(TimeoutError));
///     assert_eq!(running_loop().time(), end);
/// });
/// ```
#[track_caller]
pub fn timeout_at<F: IntoFuture>(when: LoopTime, body: F) -> TimeoutFuture<F::IntoFuture> {
    TimeoutFuture::new(body.into_future(), Limit::At(when), None)
}

/// Waits for `future` for at most `limit`, or without a limit for `None`.
///
/// # Errors
///
/// [`TimeoutError`].
///
/// # Cancel safety
///
/// As [`timeout`].
///
/// # From asyncio
///
/// `asyncio.wait_for`, except that a limit of zero lets a future that was never polled run up to
/// its first wait.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{TimeoutError, create_task, run, wait_for};
///
/// run(async {
///     assert_eq!(wait_for(async { 1 }, None).await, Ok(1));
///     let task = create_task(std::future::pending::<()>());
///     assert_eq!(wait_for(task, Some(Duration::ZERO)).await.unwrap_err(), TimeoutError);
/// });
/// ```
#[track_caller]
pub fn wait_for<F>(future: F, limit: Option<Duration>) -> TimeoutFuture<F::IntoFuture>
where
    F: IntoFuture,
{
    TimeoutFuture::new(future.into_future(), limit.map_or(Limit::Never, Limit::After), None)
}

/// A limit that can be queried and moved while it runs. Clones are handles to the same limit.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, Timeout, running_loop, sleep};
///
/// Runner::builder().virtual_time(true).run(async {
///     let limit = Timeout::new(Duration::from_secs(1));
///     let slow = limit.run(async {
///         sleep(Duration::from_millis(900)).await;
///         limit.reschedule(Some(running_loop().time() + Duration::from_secs(1))).unwrap();
///         sleep(Duration::from_millis(900)).await;
///         "a sign of life"
///     });
///     assert_eq!(slow.await, Ok("a sign of life"));
///     assert!(!limit.is_expired());
/// });
/// ```
#[derive(Clone)]
pub struct Timeout(Rc<Control>);

struct Control {
    limit: Cell<Limit>,
    phase: Cell<Phase>,
    expired: Cell<bool>,
    /// The limit has been moved since the future was polled.
    moved: Cell<bool>,
    waker: RefCell<Option<LoopWaker>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Limit {
    Never,
    /// `Some` from the first poll on.
    After(Duration),
    At(LoopTime),
}

/// The phase of a [`Timeout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Expiring,
    Expired,
    Finished,
}

impl Timeout {
    /// Makes a limit that is counted from the first poll of the future that runs under it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout, running_loop, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let limit = Timeout::new(Duration::from_secs(1));
    ///     assert!(limit.run(sleep(Duration::from_secs(60))).await.is_err());
    ///     assert_eq!(running_loop().time().as_secs_f64(), 1.0);
    /// });
    /// ```
    #[must_use]
    pub fn new(limit: Duration) -> Self {
        Self::with(Limit::After(limit))
    }

    /// Makes a limit at a moment of the loop's clock, or without one.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let unlimited = Timeout::at(None);
    ///     assert!(unlimited.run(sleep(Duration::from_secs(3600))).await.is_ok());
    /// });
    /// ```
    #[must_use]
    pub fn at(when: Option<LoopTime>) -> Self {
        Self::with(when.map_or(Limit::Never, Limit::At))
    }

    fn with(limit: Limit) -> Self {
        Self(Rc::new(Control {
            limit: Cell::new(limit),
            phase: Cell::new(Phase::New),
            expired: Cell::new(false),
            moved: Cell::new(false),
            waker: RefCell::new(None),
        }))
    }

    /// Runs `body` under this limit. A limit can be used once.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`], as [`timeout`].
    ///
    /// # Panics
    ///
    /// If a future was run under this limit before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let limit = Timeout::new(Duration::from_secs(1));
    ///     assert_eq!(limit.run(async { "in time" }).await, Ok("in time"));
    /// });
    /// ```
    #[track_caller]
    pub fn run<F: IntoFuture>(&self, body: F) -> TimeoutFuture<F::IntoFuture> {
        let before = self.0.phase.replace(Phase::Running);
        assert!(before == Phase::New, "a timeout was entered twice");
        TimeoutFuture::new(body.into_future(), self.0.limit.get(), Some(self.clone()))
    }

    /// The moment at which the limit passes. `None` if there is none, and before the first poll if
    /// the limit was given as a duration.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout, running_loop};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let when = running_loop().time() + Duration::from_secs(1);
    ///     assert_eq!(Timeout::at(Some(when)).when(), Some(when));
    ///     assert_eq!(Timeout::new(Duration::from_secs(1)).when(), None, "it has not begun");
    /// });
    /// ```
    #[must_use]
    pub fn when(&self) -> Option<LoopTime> {
        match self.0.limit.get() {
            Limit::At(when) => Some(when),
            Limit::Never | Limit::After(_) => None,
        }
    }

    /// Moves the limit, or with `None` removes it. A limit that is not in the future passes in the
    /// next turn.
    ///
    /// # Errors
    ///
    /// [`RescheduleError`] unless a future is running under this limit and the limit has not
    /// passed.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let limit = Timeout::new(Duration::from_secs(1));
    ///     let work = limit.run(async {
    ///         limit.reschedule(None).unwrap(); // this takes as long as it takes
    ///         sleep(Duration::from_secs(60)).await;
    ///     });
    ///     assert!(work.await.is_ok());
    ///     assert!(limit.reschedule(None).is_err(), "it is over");
    /// });
    /// ```
    pub fn reschedule(&self, when: Option<LoopTime>) -> Result<(), RescheduleError> {
        let phase = self.0.phase.get();
        if phase != Phase::Running {
            return Err(RescheduleError(phase));
        }
        self.0.limit.set(when.map_or(Limit::Never, Limit::At));
        self.0.moved.set(true);
        let waker = self.0.waker.borrow().clone();
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the limit passed while a future ran under it.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{Runner, Timeout, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let limit = Timeout::new(Duration::from_secs(1));
    ///     assert!(limit.run(sleep(Duration::from_secs(60))).await.is_err());
    ///     assert!(limit.is_expired());
    /// });
    /// ```
    #[doc(alias = "expired")]
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.0.expired.get()
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("phase", &self.0.phase.get())
            .field("limit", &self.0.limit.get())
            .finish()
    }
}

/// The error of moving a [`Timeout`] before or after its run, or when it has expired.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::Timeout;
///
/// let limit = Timeout::new(Duration::from_secs(1));
/// let error = limit.reschedule(None).unwrap_err();
/// assert_eq!(error.to_string(), "cannot change a timeout that has not been entered");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RescheduleError(Phase);

impl fmt::Display for RescheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.0 {
            Phase::New => "has not been entered",
            Phase::Running => "is running",
            Phase::Expiring => "is expiring",
            Phase::Expired => "has expired",
            Phase::Finished => "is finished",
        };
        write!(f, "cannot change a timeout that {state}")
    }
}

impl Error for RescheduleError {}

pin_project! {
    /// The future of [`timeout`], [`timeout_at`], [`wait_for`] and [`Timeout::run`].
    #[must_use = "futures do nothing unless polled"]
    pub struct TimeoutFuture<F> {
        #[pin]
        body: Option<F>,
        slot: Slot,
        watch: Watching,
    }
}

/// The watch over a limit. It begins at the end of the first poll, because a future that is ready
/// then needs none.
#[derive(Debug)]
enum Watching {
    NotYet(Limit),
    Since(Watch),
}

impl Watching {
    /// The watch, which is started if it is not there yet.
    #[inline]
    fn begin(&mut self) -> &mut Watch {
        if let Self::NotYet(limit) = *self {
            *self = Self::Since(Watch { alarm: Alarm::New(limit), control: None });
        }
        match self {
            Self::Since(watch) => watch,
            Self::NotYet(_) => unreachable!("it has just begun"),
        }
    }
}

/// Watches the limit of one future.
#[derive(Debug)]
struct Watch {
    alarm: Alarm,
    control: Option<Timeout>,
}

/// The state of a limit.
#[derive(Debug)]
enum Alarm {
    /// Not set yet.
    New(Limit),
    Never,
    Set(Deadline),
    /// The limit had passed when it was set: the next poll acts on it.
    Due,
    /// The limit has passed; the body was asked to end.
    Passed,
}

impl<F: Future> TimeoutFuture<F> {
    fn new(body: F, limit: Limit, control: Option<Timeout>) -> Self {
        let watch = match control {
            None => Watching::NotYet(limit),
            control => Watching::Since(Watch { alarm: Alarm::New(limit), control }),
        };
        Self { body: Some(body), slot: Slot::new(Kind::Timeout), watch }
    }
}

impl<F: Future> Future for TimeoutFuture<F> {
    type Output = Result<F::Output, TimeoutError>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        // A future that is ready at its first poll costs a frame, and nothing else.
        if let Watching::Since(watch) = this.watch {
            this.slot.refresh(cx);
            watch.before_poll(this.slot);
            if watch.is_over(this.slot) {
                this.slot.run(|| while_cancelling(|| this.body.set(None)));
            }
            if this.body.is_none() {
                return watch.give_up(this.slot, cx);
            }
        }
        if let Poll::Ready(value) = this.slot.run(|| poll_to_end(this.body.as_mut(), cx)) {
            this.slot.leave();
            if let Watching::Since(watch) = this.watch {
                watch.finish();
            }
            return Poll::Ready(Ok(value));
        }
        let watch = this.watch.begin();
        if watch.after_poll(this.slot, cx) {
            this.slot.run(|| while_cancelling(|| this.body.set(None)));
            return watch.give_up(this.slot, cx);
        }
        move_wait_out_of(file!(), cx, Location::caller());
        Poll::Pending
    }
}

/// Polls a future, and drops it once it is done.
#[inline]
fn poll_to_end<F: Future>(
    mut future: Pin<&mut Option<F>>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let polled = match future.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => Poll::Pending,
    };
    if polled.is_ready() {
        future.set(None);
    }
    polled
}

impl Watch {
    /// Checks the limit; if it has passed, asks the scopes inside to end.
    #[inline]
    fn before_poll(&mut self, slot: &Slot) {
        if let Some(control) = &self.control {
            control.prepare(&mut self.alarm);
        }
        if self.has_passed() {
            self.expire(slot);
        }
    }

    fn has_passed(&self) -> bool {
        match &self.alarm {
            Alarm::Due => true,
            Alarm::Set(deadline) => !deadline.is_pending(),
            Alarm::New(_) | Alarm::Never | Alarm::Passed => false,
        }
    }

    #[cold]
    fn expire(&mut self, slot: &Slot) {
        self.alarm = Alarm::Passed;
        if let Some(control) = &self.control {
            control.0.expired.set(true);
            control.0.phase.set(Phase::Expiring);
        }
        // While an outer target is ending, a handler inside may register later, and is asked then.
        let node = if is_ending_here() { Some(slot.register()) } else { slot.node() };
        if let Some(node) = node {
            node.begin(CancelReason::new("timed out"));
        }
    }

    /// Whether the limit has passed, every handler inside has answered, and no target further out
    /// is ending.
    #[inline]
    fn is_over(&self, slot: &Slot) -> bool {
        matches!(self.alarm, Alarm::Passed) && is_to_end(slot)
    }

    /// Sets the alarm after a poll that was not the last. Returns [`is_over`](Self::is_over).
    fn after_poll(&mut self, slot: &Slot, cx: &Context<'_>) -> bool {
        self.set_alarm(cx);
        if let Some(node) = slot.node() {
            node.note(cx);
        }
        self.is_over(slot)
    }

    fn set_alarm(&mut self, cx: &Context<'_>) {
        if let Some(control) = &self.control {
            control.prepare(&mut self.alarm);
        }
        match &self.alarm {
            Alarm::New(limit) => {
                self.alarm = match *limit {
                    Limit::Never => Alarm::Never,
                    Limit::After(limit) => alarm(cx, |now| now + limit),
                    Limit::At(when) => alarm(cx, |_| when),
                }
            }
            Alarm::Set(deadline) if !deadline.set_waker(cx) => {
                self.alarm = Alarm::Due;
                cx.waker().wake_by_ref();
            }
            _ => {}
        }
        if let Some(control) = &self.control {
            control.note(cx);
        }
    }

    /// The body has been dropped: returns the error, unless an outer target is ending, which takes
    /// precedence.
    #[cold]
    fn give_up<T>(&mut self, slot: &Slot, cx: &mut Context<'_>) -> Poll<Result<T, TimeoutError>> {
        if is_ending_here() {
            let node = slot.suspended(cx);
            if !node.is_asking() {
                // It has a request of its own, so it is woken when the outer request is over.
                node.begin(CancelReason::new("timed out"));
            }
            return Poll::Pending;
        }
        slot.leave();
        self.finish();
        Poll::Ready(Err(TimeoutError))
    }

    /// The future was dropped from outside, possibly at the very moment of its own limit.
    #[cold]
    fn abandon(&mut self) {
        if let Some(control) = self.control.as_ref().filter(|_| self.has_passed()) {
            control.0.expired.set(true);
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.alarm = Alarm::Never;
        if let Some(control) = self.control.take() {
            let late = control.is_expired();
            control.0.phase.set(if late { Phase::Expired } else { Phase::Finished });
            let waker = control.0.waker.take();
            drop(waker);
        }
    }
}

impl Drop for Watch {
    #[inline]
    fn drop(&mut self) {
        if self.control.is_some() {
            self.abandon();
        }
    }
}

fn alarm(cx: &Context<'_>, when: impl FnOnce(LoopTime) -> LoopTime) -> Alarm {
    let alarm = with_running(|event_loop| {
        let now = event_loop.time();
        let when = when(now);
        if when <= now {
            cx.waker().wake_by_ref();
            return Alarm::Due;
        }
        Alarm::Set(event_loop.wake_at(when, LoopWaker::from_context(cx)))
    });
    alarm.unwrap_or_else(|error| panic!("cannot limit the time: {error}"))
}

/// Whether every handler inside has answered, and no target further out is ending.
#[cold]
fn is_to_end(slot: &Slot) -> bool {
    // Without a node there is no handler inside.
    let Some(node) = slot.node() else { return !is_ending_here() };
    node.must_end()
}

impl Timeout {
    /// Applies a limit that was moved since the last poll. At the first poll, a duration becomes a
    /// moment.
    fn prepare(&self, alarm: &mut Alarm) {
        let moved = self.0.moved.take() && !matches!(alarm, Alarm::Passed);
        let limit = match (&*alarm, self.0.limit.get()) {
            (Alarm::New(_), Limit::After(limit)) => Limit::At(running_loop().time() + limit),
            (_, limit) => limit,
        };
        self.0.limit.set(limit);
        if moved || matches!(alarm, Alarm::New(_)) {
            *alarm = Alarm::New(limit);
        }
    }

    fn note(&self, cx: &Context<'_>) {
        let old = self.0.waker.replace(Some(LoopWaker::from_context(cx)));
        drop(old);
    }
}

impl<F> fmt::Debug for TimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutFuture").field("watch", &self.watch).finish_non_exhaustive()
    }
}
