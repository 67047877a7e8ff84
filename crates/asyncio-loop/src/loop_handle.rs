//! The loop as other threads see it.

use std::fmt;

use crate::context::SendContext;
use crate::error::LoopClosed;
use crate::gauges::Gauges;
use crate::kernel::{RemoteScheduler, Ring};

/// A loop as other threads see it: `Send`, `Sync`, and cheap to clone.
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
/// let stopper = event_loop.handle_to_self();
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

    /// Runs `callback` on the loop's thread, in its next turn, and wakes the loop if it sleeps.
    ///
    /// Calls from one thread run in their order, and before callbacks that the loop's own thread
    /// schedules later. The callback sees the values of the calling thread's context that can
    /// travel (those of variables whose type is `Send + Sync`).
    ///
    /// # Errors
    ///
    /// [`LoopClosed`] with the callback, if the loop is closed. A callback that was accepted is
    /// dropped on the loop's thread if the loop is closed before it ran.
    ///
    /// # From asyncio
    ///
    /// Returns no handle: a cancellation from another thread would have to travel too.
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

    /// Whether the loop is closed, and takes no more.
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
