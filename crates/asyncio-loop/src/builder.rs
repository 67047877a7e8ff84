//! Options of a new loop.

use std::io;
use std::panic::Location;
use std::time::Duration;

use crate::clock::Clock;
use crate::event_loop::EventLoop;

impl EventLoop {
    /// Makes a loop for this thread.
    ///
    /// # Errors
    ///
    /// The operating system's error if it has no descriptors left for the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// assert!(!event_loop.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "new_event_loop")]
    #[track_caller]
    pub fn new() -> io::Result<Self> {
        Self::builder().build()
    }

    /// Returns a builder for a loop with options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().debug(true).build()?;
    /// assert!(event_loop.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> LoopBuilder {
        LoopBuilder::new()
    }
}

/// The precision with which the timers of a loop fire.
///
/// No timer fires early. A single timer fires on time with every precision; when there are many,
/// the loop wakes for several at once. A wake-up costs 10 to 20 µs of processor time, most of it in
/// the system. With virtual time all timers are exact.
///
/// # Examples
///
/// ```
/// use asyncio_loop::TimerPrecision;
///
/// assert_eq!(TimerPrecision::default(), TimerPrecision::Normal);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimerPrecision {
    /// The loop wakes for each timer.
    Precise,
    /// The loop wakes for timers at most every 60 µs.
    #[default]
    Normal,
    /// The loop wakes for timers at most every millisecond: for programs with very many timers.
    Coarse,
}

impl TimerPrecision {
    /// The minimum time between two wakes for timers, in nanoseconds.
    fn gap(self) -> u64 {
        match self {
            Self::Precise => 0,
            Self::Normal => 60_000,
            Self::Coarse => 1_000_000,
        }
    }
}

/// The builder of an [`EventLoop`] with options.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::builder().virtual_time(true).build()?;
/// let real = Instant::now();
/// event_loop.call_later(Duration::from_secs(3600), {
///     let event_loop = event_loop.loop_ref();
///     move || event_loop.stop()
/// });
/// event_loop.run_forever()?;
/// assert_eq!(event_loop.time().as_secs_f64(), 3600.0);
/// assert!(real.elapsed() < Duration::from_secs(60));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct LoopBuilder {
    virtual_time: bool,
    counted_time: Option<Duration>,
    debug: Option<bool>,
    slow_callback: Duration,
    timer_precision: TimerPrecision,
}

impl LoopBuilder {
    fn new() -> Self {
        Self {
            virtual_time: false,
            counted_time: None,
            debug: None,
            slow_callback: Duration::from_millis(100),
            timer_precision: TimerPrecision::default(),
        }
    }

    /// Whether time is virtual: it stands still while anything can run, and jumps to the next
    /// deadline when nothing can. Meant for tests: hours pass in microseconds, and each run is the
    /// same.
    ///
    /// Default: false, the system's monotonic clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let this = event_loop.loop_ref();
    /// event_loop.call_later(Duration::from_secs(3600), move || this.stop());
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.time().as_secs_f64(), 3600.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn virtual_time(mut self, yes: bool) -> Self {
        self.virtual_time = yes;
        self
    }

    /// Uses a clock that moves by `step` each time the loop reads it. The loop then polls its
    /// driver after a fixed amount of work, which makes instruction counts repeatable.
    #[doc(hidden)]
    pub fn counted_time(mut self, step: Duration) -> Self {
        self.counted_time = Some(step);
        self
    }

    /// Whether debug mode is on from the start.
    ///
    /// Default: whether the environment variable `ASYNCIO_DEBUG` is set and not empty.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::builder().debug(true).build()?.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn debug(mut self, yes: bool) -> Self {
        self.debug = Some(yes);
        self
    }

    /// The time that a step may take in debug mode before it is reported as slow.
    ///
    /// Default: 100 ms.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let limit = Duration::from_millis(20);
    /// let event_loop = EventLoop::builder().slow_callback_duration(limit).build()?;
    /// assert_eq!(event_loop.slow_callback_duration(), limit);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slow_callback_duration(mut self, duration: Duration) -> Self {
        self.slow_callback = duration;
        self
    }

    /// Sets the precision of timers. A higher precision costs more wake-ups if there are many
    /// timers.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TimerPrecision};
    ///
    /// let event_loop = EventLoop::builder().timer_precision(TimerPrecision::Coarse).build()?;
    /// assert!(!event_loop.is_closed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timer_precision(mut self, precision: TimerPrecision) -> Self {
        self.timer_precision = precision;
        self
    }

    /// Makes the loop.
    ///
    /// # Errors
    ///
    /// The operating system's error if it has no descriptors left for the poller.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().build()?;
    /// assert_eq!(event_loop.run_until_complete(async { 1 })?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn build(self) -> io::Result<EventLoop> {
        let (gap, here) = (self.timer_precision.gap(), Location::caller());
        EventLoop::with(self.clock(), self.is_debug(), self.slow_callback, gap, here)
    }

    fn clock(&self) -> Clock {
        match self.counted_time {
            Some(step) => Clock::counted(step),
            None if self.virtual_time => Clock::virtual_(),
            None => Clock::monotonic(),
        }
    }

    fn is_debug(&self) -> bool {
        let by_environment = || std::env::var_os("ASYNCIO_DEBUG").is_some_and(|v| !v.is_empty());
        self.debug.unwrap_or_else(by_environment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nanoseconds between a wake for a timer, and the next one for timers that are due before.
    fn gap(precision: TimerPrecision) -> u64 {
        let event_loop = EventLoop::builder().timer_precision(precision).build().unwrap();
        let wakes = event_loop.wakes_after(1_000, &[1_001, 5_000_000]);
        5_000_000 - (wakes[1] - wakes[0]) - 1_000
    }

    #[test]
    fn wakes_for_timers_are_as_far_apart_as_the_precision_says() {
        assert_eq!(gap(TimerPrecision::Precise), 1, "the timer's own moment");
        assert_eq!(gap(TimerPrecision::Normal), 60_000);
        assert_eq!(gap(TimerPrecision::Coarse), 1_000_000);
    }
}
