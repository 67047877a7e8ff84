//! Intervals: ticks at regular moments.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_loop::{LoopTime, running_loop};

use crate::sleep::{Sleep, sleep_until};

/// Ticks at once, and then every `period`.
///
/// The moments are counted from the first tick, however long the work between two ticks takes, so
/// the interval does not drift. If the work takes longer than a period, ticks are missed:
/// [`Interval::missed_ticks`] says what happens then.
///
/// # Panics
///
/// If `period` is zero. The first [`tick`](Interval::tick) panics if no loop runs on this thread.
///
/// # From asyncio
///
/// asyncio has no intervals: programs sleep in a loop, and drift by what each round takes.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, interval, running_loop, sleep};
///
/// Runner::builder().virtual_time(true).run(async {
///     let start = running_loop().time();
///     let mut heartbeat = interval(Duration::from_secs(1));
///     for n in 0..3 {
///         let tick = heartbeat.tick().await;
///         assert_eq!(tick - start, Duration::from_secs(n));
///         sleep(Duration::from_millis(400)).await; // the work
///     }
/// });
/// ```
pub fn interval(period: Duration) -> Interval {
    Interval::new(None, period)
}

/// Ticks at `start`, and then every `period`.
///
/// If `start` is in the past, the ticks up to now count as missed.
///
/// # Panics
///
/// As [`interval`](fn@interval).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, interval_at, running_loop};
///
/// Runner::builder().virtual_time(true).run(async {
///     let start = running_loop().time() + Duration::from_secs(5);
///     let mut ticks = interval_at(start, Duration::from_secs(1));
///     assert_eq!(ticks.tick().await, start);
///     assert_eq!(ticks.tick().await, start + Duration::from_secs(1));
/// });
/// ```
pub fn interval_at(start: LoopTime, period: Duration) -> Interval {
    Interval::new(Some(start), period)
}

/// How an [`Interval`] treats moments that passed before the next tick was asked for.
///
/// With a period of 1 s, and work that takes 2.5 s after the tick at 0:
///
/// | | ticks at |
/// |---|---|
/// | `Burst` | 0, 2.5, 2.5, 3, 4 |
/// | `Delay` | 0, 2.5, 3.5, 4.5 |
/// | `Skip` | 0, 2.5, 3, 4 |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[doc(alias = "MissedTickBehavior")]
pub enum MissedTicks {
    /// Every moment gets its tick: the missed ones come one per turn, until the interval has caught
    /// up.
    #[default]
    Burst,
    /// The next tick comes a whole period after the late one, and so do all others.
    Delay,
    /// All missed moments get one tick together; the next tick is on time again.
    Skip,
}

/// Ticks at regular moments, from [`interval`](fn@interval) or [`interval_at`]. With the feature
/// `futures-core` it is a `Stream` of those moments.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    missed: MissedTicks,
    /// The moment of the next tick; `None` if that is the first poll.
    next: Option<LoopTime>,
    /// The wait for `next`, once it has begun.
    sleep: Option<Sleep>,
}

impl Interval {
    fn new(next: Option<LoopTime>, period: Duration) -> Self {
        assert!(!period.is_zero(), "an interval needs a period");
        Self { period, missed: MissedTicks::default(), next, sleep: None }
    }

    /// Sets what happens to missed ticks. Default: [`MissedTicks::Burst`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{MissedTicks, Runner, interval, running_loop, sleep};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let start = running_loop().time();
    ///     let mut ticks = interval(Duration::from_secs(1)).missed_ticks(MissedTicks::Skip);
    ///     ticks.tick().await;
    ///     sleep(Duration::from_millis(2500)).await;
    ///     ticks.tick().await; // late, for the moments 1 and 2
    ///     ticks.tick().await;
    ///     assert_eq!(running_loop().time() - start, Duration::from_secs(3));
    /// });
    /// ```
    #[must_use]
    #[doc(alias = "set_missed_tick_behavior")]
    pub fn missed_ticks(self, missed: MissedTicks) -> Self {
        Self { missed, ..self }
    }

    /// Waits for the next tick, and returns its moment, which is in the past if the tick is late.
    ///
    /// The wait takes at least one turn of the loop, so other tasks run during a burst of late
    /// ticks.
    ///
    /// # Panics
    ///
    /// When polled if no loop runs on this thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no tick: the next call returns it.
    pub fn tick(&mut self) -> Tick<'_> {
        Tick { interval: self }
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }

    /// Restarts the interval: the next tick comes one period from now.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    pub fn reset(&mut self) {
        self.reset_at(running_loop().time() + self.period);
    }

    /// Restarts the interval: the next tick comes at `start`.
    pub fn reset_at(&mut self, start: LoopTime) {
        (self.next, self.sleep) = (Some(start), None);
    }

    #[track_caller]
    fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<LoopTime> {
        let due = *self.next.get_or_insert_with(|| running_loop().time());
        let sleep = self.sleep.get_or_insert_with(|| sleep_until(due));
        ready!(Pin::new(sleep).poll(cx));
        self.sleep = None;
        self.advance(due, running_loop().time());
        Poll::Ready(due)
    }

    /// Takes the due tick, and computes the moment of the tick after it.
    fn advance(&mut self, due: LoopTime, now: LoopTime) {
        let next = due + self.period;
        self.next = Some(match self.missed {
            _ if next > now => next,
            MissedTicks::Burst => next,
            MissedTicks::Delay => now + self.period,
            MissedTicks::Skip => next_on_time(due, self.period, now),
        });
    }
}

/// The first moment after `now` that is whole periods away from `due`.
fn next_on_time(due: LoopTime, period: Duration, now: LoopTime) -> LoopTime {
    let late = (now - due).as_nanos() % period.as_nanos();
    let late = Duration::from_nanos(u64::try_from(late).expect("less than the time until now"));
    now - late + period
}

/// The future of [`Interval::tick`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Tick<'a> {
    interval: &'a mut Interval,
}

impl Future for Tick<'_> {
    type Output = LoopTime;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<LoopTime> {
        self.interval.poll_tick(cx)
    }
}

/// The moments of the ticks, without an end.
#[cfg(feature = "futures-core")]
impl futures_core::Stream for Interval {
    type Item = LoopTime;

    #[track_caller]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<LoopTime>> {
        self.get_mut().poll_tick(cx).map(Some)
    }
}
