//! The handle of a loop for other threads.

use std::fmt;

use crate::context::SendContext;
use crate::error::LoopClosed;
use crate::gauges::Gauges;
use crate::inspect::StuckStep;
use crate::kernel::{RemoteScheduler, Ring};
use crate::watchdog;

/// A handle of a loop for other threads: `Send`, `Sync`, and cheap to clone.
///
/// It does not keep the loop open.
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let (handle, this) = (event_loop.handle(), std::thread::current().id());
/// let stopper = event_loop.loop_ref();
/// let thread = std::thread::spawn(move || {
///     handle.call_soon_threadsafe(move || assert_eq!(std::thread::current().id(), this))
/// });
/// event_loop.call_soon(move || stopper.stop());
/// event_loop.run_forever()?;
/// thread.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LoopHandle {
    scheduler: RemoteScheduler,
}

impl LoopHandle {
    pub(crate) fn new(scheduler: RemoteScheduler) -> Self {
        Self { scheduler }
    }

    /// Runs `callback` on the loop's thread, in the loop's next turn, and wakes the loop if it
    /// sleeps.
    ///
    /// Calls from one thread run in their order, and before callbacks that the loop's own thread
    /// schedules later. The callback sees the values of the calling thread's context that can move
    /// between threads (those of variables whose type is `Send + Sync`).
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with the callback, if the loop is closed. A callback that was accepted is
    /// dropped on the loop's thread if the loop is closed before it ran.
    ///
    /// # From asyncio
    ///
    /// Returns no handle, because a cancellation from another thread would have to be sent to the
    /// loop too.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// let thread = std::thread::spawn(move || {
    ///     let (loops, again) = (handle.clone(), handle);
    ///     again.call_soon_threadsafe(move || assert!(loops.is_loop_thread()))
    /// });
    /// thread.join().unwrap()?;
    /// event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn call_soon_threadsafe<F>(&self, callback: F) -> Result<(), LoopClosed<F>>
    where
        F: FnOnce() + Send + 'static,
    {
        let context = SendContext::current();
        if context.is_empty() {
            return self.scheduler.call_soon(callback).map_err(LoopClosed);
        }
        // A refused closure has to come back as it was: keep it where both can reach it.
        let slot = std::sync::Arc::new(std::sync::Mutex::new(Some(callback)));
        let taken = std::sync::Arc::clone(&slot);
        let take = move |slot: &std::sync::Mutex<Option<F>>| {
            slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
        };
        let wrapped = move || {
            if let Some(callback) = take(&taken) {
                context.run(callback);
            }
        };
        match self.scheduler.call_soon(wrapped) {
            Ok(()) => Ok(()),
            Err(refused) => {
                drop(refused);
                let back = slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
                match back {
                    Some(callback) => Err(LoopClosed(callback)),
                    None => Ok(()),
                }
            }
        }
    }

    /// Whether the loop is closed, and refuses callbacks.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let handle = event_loop.handle();
    /// drop(event_loop);
    /// assert!(handle.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.scheduler.is_closed()
    }

    /// Examines the loop's thread without the help of the loop: the running step, and the active
    /// calls. The result is that of the watchdog's report of a stuck step, but at any moment. While
    /// the loop waits for events, it has the calls of the loop itself.
    ///
    /// `None` if the loop is not [watched](crate::LoopRef::set_watchdog), or if it went on
    /// meanwhile. The thread gets a signal, as for a report of the watchdog. The call waits at most
    /// half a second for it; looking up the names of the calls may take longer.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_watchdog(Some(Duration::from_secs(60)));
    /// let handle = event_loop.handle();
    /// let blocks = async move {
    ///     // Blocks this loop until another thread has sampled it.
    ///     std::thread::spawn(move || handle.sample()).join().unwrap()
    /// };
    /// let step = event_loop.run_task(blocks, TaskOptions::new().name("blocks"))?;
    /// if let Some(stuck) = step.and_then(|step| step.step) {
    ///     assert_eq!(stuck.name.as_deref(), Some("blocks"));
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn sample(&self) -> Option<StuckStep> {
        watchdog::sample(&self.scheduler)
    }

    /// The [watchdog](crate::LoopRef::set_watchdog)'s report of the step that still runs; `None` if
    /// the step was not reported, or the loop is not watched. The call does not disturb the loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_watchdog(Some(Duration::from_millis(20)));
    /// let handle = event_loop.handle();
    /// event_loop.call_soon(move || {
    ///     let step = std::iter::repeat_with(|| {
    ///         std::thread::sleep(Duration::from_millis(1));
    ///         handle.stuck_step()
    ///     });
    ///     let step = step.flatten().next().unwrap();
    ///     assert!(step.lasts >= Duration::from_millis(20));
    /// });
    /// event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn stuck_step(&self) -> Option<StuckStep> {
        watchdog::report_of(&self.scheduler)
    }

    /// Where events are recorded, if they are.
    pub(crate) fn ring(&self) -> Option<std::sync::Arc<Ring>> {
        self.scheduler.ring()
    }

    pub(crate) fn gauges(&self) -> &Gauges {
        self.scheduler.gauges()
    }

    /// Whether the calling thread is the loop's own.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// assert!(event_loop.handle().is_loop_thread());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_loop_thread(&self) -> bool {
        self.scheduler.is_owner()
    }
}

impl fmt::Debug for LoopHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopHandle").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}
