//! Handles of scheduled callbacks.

use std::fmt;
use std::rc::Weak;

use super::Inner;
use crate::clock::LoopTime;
use crate::kernel::CallbackRef;
use crate::timers::TimerKey;

/// A callback that was handed to [`LoopRef::call_soon`](crate::LoopRef::call_soon).
///
/// Dropping the handle has no effect: the callback runs.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, running_loop};
///
/// let event_loop = EventLoop::new()?;
/// event_loop.run_until_complete(async {
///     let handle = running_loop().call_soon(|| unreachable!("cancelled"));
///     handle.cancel();
///     assert!(handle.is_cancelled());
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Handle {
    callback: CallbackRef,
}

impl Handle {
    pub(crate) fn new(callback: CallbackRef) -> Self {
        Self { callback }
    }

    /// Prevents the callback from running, and drops it with its captured values at once.
    ///
    /// This can be called at any time and any number of times. Once the callback runs or has run,
    /// the call only makes [`is_cancelled`](Self::is_cancelled) return true.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let captured = Rc::new(());
    /// let held = Rc::clone(&captured);
    /// let handle = event_loop.call_soon(move || drop(held));
    /// handle.cancel();
    /// assert_eq!(Rc::strong_count(&captured), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) {
        self.callback.cancel();
    }

    /// Whether [`cancel`](Self::cancel) was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let handle = EventLoop::new()?.call_soon(|| {});
    /// handle.cancel();
    /// assert!(handle.is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "cancelled")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }
}

/// A callback that was handed to [`LoopRef::call_later`](crate::LoopRef::call_later) or
/// [`LoopRef::call_at`](crate::LoopRef::call_at).
///
/// Dropping the handle has no effect: the callback runs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let timer = event_loop.call_later(Duration::from_secs(1), || unreachable!("cancelled"));
/// assert!(timer.when() > event_loop.time());
/// timer.cancel();
/// assert!(timer.is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TimerHandle {
    callback: CallbackRef,
    when: LoopTime,
    key: TimerKey,
    event_loop: Weak<Inner>,
}

impl TimerHandle {
    pub(crate) fn new(
        callback: CallbackRef,
        when: LoopTime,
        key: TimerKey,
        event_loop: Weak<Inner>,
    ) -> Self {
        Self { callback, when, key, event_loop }
    }

    /// Prevents the callback from running, drops it with its captured values, and removes the timer
    /// from the loop, at once.
    ///
    /// This can be called at any time and any number of times, as [`Handle::cancel`].
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(1), || unreachable!("cancelled"));
    /// timer.cancel();
    /// assert_eq!(event_loop.timer_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) {
        self.callback.cancel();
        if let Some(event_loop) = self.event_loop.upgrade() {
            event_loop.remove_timer(self.key);
        }
    }

    /// Whether [`cancel`](Self::cancel) was called.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let timer = EventLoop::new()?.call_later(Duration::from_secs(1), || {});
    /// assert!(!timer.is_cancelled());
    /// timer.cancel();
    /// assert!(timer.is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "cancelled")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.callback.is_cancelled()
    }

    /// The time at which the callback falls due, on the loop's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let timer = event_loop.call_later(Duration::from_secs(1), || {});
    /// assert_eq!(timer.when(), event_loop.time() + Duration::from_secs(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn when(&self) -> LoopTime {
        self.when
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.callback).finish()
    }
}

impl fmt::Debug for TimerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimerHandle")
            .field("when", &self.when)
            .field("callback", &self.callback)
            .finish_non_exhaustive()
    }
}
