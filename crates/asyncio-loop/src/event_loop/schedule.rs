//! Scheduling callbacks: soon, and at a time.

use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::handle::{Handle, TimerHandle};
use super::marks::HOOKS;
use super::{Inner, LoopRef};
use crate::clock::LoopTime;
use crate::context::ContextSlot;
use crate::kernel::{CallbackRef, LoopWaker};
use crate::loop_handle::LoopHandle;
use crate::timers::TimerKey;

/// From the beginning of Unix time to 2000-01-01.
const YEAR_2000: Duration = Duration::from_secs(946_684_800);

impl LoopRef {
    /// Runs `callback` in the next turn, after everything that is scheduled already, in a copy of
    /// the current context. On a closed loop the callback is dropped.
    ///
    /// # From asyncio
    ///
    /// `context=`: the callback enters the context itself, by `move || context.run(…)`. So it does
    /// with [`call_later`](Self::call_later) and [`call_at`](Self::call_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(Cell::new(0));
    /// let see = Rc::clone(&seen);
    /// event_loop.call_soon(move || see.set(1));
    /// assert_eq!(seen.get(), 0, "not inside call_soon");
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(seen.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn call_soon<F: FnOnce() + 'static>(&self, callback: F) -> Handle {
        // Callbacks that another thread scheduled earlier run earlier.
        self.0.scheduler.take_remote();
        let callback = self.callback(callback);
        callback.schedule();
        Handle::new(callback)
    }

    /// Makes a callback of this loop that runs when it is scheduled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let count = Rc::new(Cell::new(0));
    /// let counter = Rc::clone(&count);
    /// let callback = event_loop.callback(move || counter.set(counter.get() + 1));
    /// callback.schedule();
    /// callback.schedule();
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(count.get(), 1, "it runs once");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[track_caller]
    pub fn callback<F: FnOnce() + 'static>(&self, callback: F) -> CallbackRef {
        let callback = self.0.scheduler.callback(callback, ContextSlot::copy_current());
        if self.is_closed() {
            callback.cancel();
        }
        callback
    }

    /// Runs `callback` after `delay`; never earlier, and never inside this call.
    ///
    /// Timers run in the order of their deadlines, equal ones in the order of creation. A delay
    /// that is too long for the clock never ends. On a closed loop the callback is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let this = event_loop.loop_ref();
    /// let timer = event_loop.call_later(Duration::from_millis(250), move || this.stop());
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.time(), timer.when());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn call_later<F: FnOnce() + 'static>(&self, delay: Duration, callback: F) -> TimerHandle {
        self.call_at(self.time() + delay, callback)
    }

    /// Runs `callback` at `when`, or in the next turn if `when` is in the past.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let this = event_loop.loop_ref();
    /// let noon = event_loop.time() + Duration::from_secs(43_200);
    /// event_loop.call_at(noon, move || this.stop());
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.time(), noon);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn call_at<F: FnOnce() + 'static>(&self, when: LoopTime, callback: F) -> TimerHandle {
        let callback = self.callback(callback);
        let waker = LoopWaker::from_runnable(callback.clone().into_runnable());
        let key = self.0.timers.borrow_mut().insert(when.as_nanos(), waker);
        self.wake_host();
        if self.is_closed() {
            self.0.remove_timer(key);
        }
        TimerHandle::new(callback, when, key, Rc::downgrade(&self.0))
    }

    /// The time on the loop's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let earlier = event_loop.time();
    /// assert!(event_loop.time() >= earlier);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn time(&self) -> LoopTime {
        LoopTime::from_nanos(self.0.clock.now())
    }

    /// The time of day. With virtual time it follows the loop's clock and starts at the beginning
    /// of the year 2000, so that a test sees the same dates in each run.
    ///
    /// # From asyncio
    ///
    /// `time.time()`, which asyncio programs call directly.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::builder().virtual_time(true).build()?;
    /// let begin = UNIX_EPOCH + Duration::from_secs(946_684_800);
    /// assert_eq!(event_loop.system_time(), begin);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn system_time(&self) -> SystemTime {
        if self.is_virtual_time() {
            UNIX_EPOCH + YEAR_2000 + Duration::from_nanos(self.0.clock.now())
        } else {
            SystemTime::now()
        }
    }

    /// Whether the loop's time is virtual: see
    /// [`LoopBuilder::virtual_time`](crate::LoopBuilder::virtual_time).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(!EventLoop::new()?.is_virtual_time());
    /// assert!(EventLoop::builder().virtual_time(true).build()?.is_virtual_time());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_virtual_time(&self) -> bool {
        self.0.clock.is_virtual()
    }

    /// The number of timers, without cancelled ones.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let timer = event_loop.call_later(Duration::from_secs(1), || {});
    /// assert_eq!(event_loop.timer_count(), 1);
    /// timer.cancel();
    /// assert_eq!(event_loop.timer_count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn timer_count(&self) -> usize {
        self.0.timers.borrow().len()
    }

    /// The number of turns that the loop has made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// (0..100).for_each(|_| drop(event_loop.call_soon(|| ())));
    /// event_loop.stop();
    /// event_loop.run_forever()?;
    /// assert_eq!(event_loop.turns(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn turns(&self) -> u64 {
        self.0.scheduler.turns()
    }

    /// Calls `hook` once at the end of this turn: after everything that was ready at its start has
    /// run, and before the loop waits for events. A hook that is added by a hook, or outside a run,
    /// is called at the end of the next turn, which comes without a wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let flushed = Rc::new(Cell::new(false));
    /// let flush = Rc::clone(&flushed);
    /// event_loop.call_soon({
    ///     let event_loop = event_loop.loop_ref();
    ///     move || event_loop.at_turn_end(Rc::new(move || flush.set(true)))
    /// });
    /// let before = Rc::clone(&flushed);
    /// event_loop.call_soon(move || assert!(!before.get(), "this turn is not over"));
    /// event_loop.run_until_complete(async {})?;
    /// assert!(flushed.get());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    pub fn at_turn_end(&self, hook: Rc<dyn Fn()>) {
        if !self.is_closed() {
            self.0.turn_end.borrow_mut().push(hook);
            self.0.marks.set(HOOKS, true);
            self.wake_host();
        }
    }

    /// Returns a handle to the loop for other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let elsewhere = std::thread::spawn(move || handle.is_loop_thread());
    /// assert!(!elsewhere.join().unwrap());
    /// assert!(event_loop.handle().is_loop_thread());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> LoopHandle {
        LoopHandle::new(self.0.scheduler.remote())
    }
}

impl Inner {
    pub(crate) fn remove_timer(&self, key: TimerKey) {
        let removed = self.timers.borrow_mut().remove(key);
        drop(removed);
    }
}
