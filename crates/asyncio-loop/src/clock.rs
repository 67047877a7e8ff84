//! The loop's time: monotonic, or virtual.

#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys;
mod ticks;

use std::cell::Cell;
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) use self::sys::system_nanos;
pub(crate) use self::ticks::{Mark, Scale, Ticks};

/// A moment on a loop's clock.
///
/// It counts nanoseconds from the start of that clock, and has no meaning on another loop.
/// Arithmetic saturates: adding any duration is allowed.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_loop::LoopTime;
///
/// let start = LoopTime::from_nanos(1_000);
/// let mut later = start + Duration::from_micros(1);
/// assert_eq!(later.as_nanos(), 2_000);
/// later += Duration::from_micros(2);
/// assert_eq!(later - start, Duration::from_micros(3));
/// assert_eq!(start - later, Duration::ZERO);
/// assert_eq!(start + Duration::MAX, LoopTime::MAX);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoopTime(u64);

impl LoopTime {
    /// A moment that never comes (584 years after the start of the clock).
    pub const MAX: Self = Self(u64::MAX);

    /// The moment `nanos` nanoseconds after the start of the clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::LoopTime;
    ///
    /// assert_eq!(LoopTime::from_nanos(2_000_000).as_secs_f64(), 0.002);
    /// ```
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the start of the clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// assert_eq!(event_loop.time().as_nanos(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start of the clock, as `loop.time()` gives them in Python.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::LoopTime;
    ///
    /// assert_eq!(LoopTime::from_nanos(1_500_000_000).as_secs_f64(), 1.5);
    /// ```
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        Duration::from_nanos(self.0).as_secs_f64()
    }
}

impl Add<Duration> for LoopTime {
    type Output = Self;

    /// The moment `duration` later, or [`LoopTime::MAX`].
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for LoopTime {
    /// Moves the moment by `duration`, to [`LoopTime::MAX`] at most.
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for LoopTime {
    type Output = Self;

    /// The moment `duration` earlier, or the start of the clock.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for LoopTime {
    type Output = Duration;

    /// The time from `earlier` to this moment; zero if this is before `earlier`.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for LoopTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}s", self.as_secs_f64())
    }
}

/// The clock of a loop.
#[derive(Debug)]
pub(crate) enum Clock {
    /// The system's monotonic clock, counted from this moment of it.
    Monotonic { start: u64 },
    /// A virtual clock, which the loop moves.
    Virtual(Cell<u64>),
    /// A clock that moves by `step` each time it is read.
    Counted { now: Cell<u64>, step: u64 },
}

impl Clock {
    pub(crate) fn monotonic() -> Self {
        Self::Monotonic { start: system_nanos() }
    }

    pub(crate) fn virtual_() -> Self {
        Self::Virtual(Cell::new(0))
    }

    pub(crate) fn counted(step: Duration) -> Self {
        let step = u64::try_from(step.as_nanos()).unwrap_or(u64::MAX);
        Self::Counted { now: Cell::new(0), step }
    }

    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual(_))
    }

    #[inline]
    pub(crate) fn now(&self) -> u64 {
        match self {
            Self::Monotonic { start } => system_nanos() - start,
            Self::Virtual(now) => now.get(),
            Self::Counted { now, step } => {
                now.set(now.get() + step);
                now.get()
            }
        }
    }

    /// Moves a virtual clock forward.
    pub(crate) fn advance_to(&self, moment: u64) {
        if let Self::Virtual(now) = self {
            now.set(now.get().max(moment));
        }
    }

    /// The system's time of a moment, see [`system_nanos`]; `None` if it has none (virtual, or too
    /// far). A counted clock moves only when it is read, so waiting for one of its moments ends at
    /// once.
    pub(crate) fn system(&self, moment: u64) -> Option<u64> {
        match self {
            Self::Monotonic { start } => start.checked_add(moment),
            Self::Virtual(_) => None,
            Self::Counted { .. } => Some(0),
        }
    }
}

/// The monotonic clock in nanoseconds.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn system_nanos() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    START.get_or_init(std::time::Instant::now).elapsed().as_nanos() as u64
}
