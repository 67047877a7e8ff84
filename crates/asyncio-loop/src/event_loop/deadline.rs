//! Deadlines for futures to wait for.

use std::task::Context;

use super::LoopRef;
use crate::clock::LoopTime;
use crate::kernel::LoopWaker;
use crate::timers::TimerKey;

/// A waker that is woken at a deadline; dropping it removes the timer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_loop::{EventLoop, LoopWaker};
///
/// let event_loop = EventLoop::new()?;
/// let waker = LoopWaker::from_waker(std::task::Waker::noop());
/// let deadline = event_loop.wake_at(event_loop.time() + Duration::from_secs(60), waker);
/// assert!(deadline.is_pending());
/// drop(deadline);
/// assert_eq!(event_loop.timer_count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Deadline {
    key: TimerKey,
    event_loop: LoopRef,
}

impl LoopRef {
    /// Wakes `waker` at `when`, unless the [`Deadline`] is dropped before.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use std::time::Duration;
    /// use asyncio_loop::{EventLoop, LoopWaker, running_loop};
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// event_loop.run_until_complete(async {
    ///     let when = running_loop().time() + Duration::from_secs(1);
    ///     let mut deadline = None;
    ///     poll_fn(|cx| match &deadline {
    ///         Some(_) => Poll::Ready(()),
    ///         None => {
    ///             deadline = Some(running_loop().wake_at(when, LoopWaker::from_context(cx)));
    ///             Poll::Pending
    ///         }
    ///     })
    ///     .await;
    ///     assert_eq!(running_loop().time(), when);
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn wake_at(&self, when: LoopTime, waker: LoopWaker) -> Deadline {
        let key = self.0.timers.borrow_mut().insert(when.as_nanos(), waker);
        self.wake_host();
        Deadline { key, event_loop: self.clone() }
    }
}

impl Deadline {
    /// Replaces the waker by the one of `cx`. False if the moment has come already.
    pub fn set_waker(&self, cx: &Context<'_>) -> bool {
        let timers = &self.event_loop.0.timers;
        match timers.borrow_mut().get_mut(self.key) {
            None => return false,
            Some(waker) if waker.will_wake(cx) => return true,
            Some(_) => {}
        }
        // The waker is cloned and dropped with nothing borrowed: both may run code of a user.
        let waker = LoopWaker::from_context(cx);
        let old = match timers.borrow_mut().get_mut(self.key) {
            Some(place) => Ok(std::mem::replace(place, waker)),
            None => Err(waker),
        };
        old.is_ok()
    }

    /// Whether the moment has not come yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, LoopWaker};
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let waker = LoopWaker::from_waker(std::task::Waker::noop());
    /// let deadline = event_loop.wake_at(event_loop.time(), waker);
    /// assert!(deadline.is_pending());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(!deadline.is_pending());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.event_loop.0.timers.borrow().deadline(self.key).is_some()
    }
}

impl Deadline {
    /// The moment, until it has come.
    #[doc(hidden)]
    #[must_use]
    pub fn when(&self) -> Option<LoopTime> {
        self.event_loop.0.timers.borrow().deadline(self.key).map(LoopTime::from_nanos)
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.event_loop.0.remove_timer(self.key);
    }
}
