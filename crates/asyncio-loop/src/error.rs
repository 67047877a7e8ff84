//! The errors of a loop.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// There is no running event loop on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_loop::try_running_loop;
///
/// assert_eq!(try_running_loop().unwrap_err().to_string(), "no running event loop");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoop;

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no running event loop")
    }
}

impl Error for NoRunningLoop {}

/// The error of a closed loop, which accepts no work any more.
///
/// If a value was handed over (a callback from another thread), the field gives it back.
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
///
/// let event_loop = EventLoop::new()?;
/// let handle = event_loop.handle();
/// event_loop.close()?;
/// let refused = handle.call_soon_threadsafe(|| {}).unwrap_err();
/// assert_eq!(refused.to_string(), "event loop is closed");
/// (refused.0)(); // the callback itself
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LoopClosed<T = ()>(pub T);

impl<T> fmt::Debug for LoopClosed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoopClosed")
    }
}

impl<T> fmt::Display for LoopClosed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event loop is closed")
    }
}

impl<T> Error for LoopClosed<T> {}

/// The reason why a run did not return the value of its future.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, RunError, running_loop};
///
/// let event_loop = EventLoop::new()?;
/// let stopped = event_loop.run_until_complete(async {
///     running_loop().stop();
///     std::future::pending::<()>().await;
/// });
/// assert_eq!(stopped, Err(RunError::Stopped));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunError {
    /// A loop is running on this thread already.
    AlreadyRunning {
        /// Where that run was started.
        outer: &'static Location<'static>,
    },
    /// The loop is closed.
    Closed,
    /// `stop` was called before the future completed.
    Stopped,
    /// The future was cancelled.
    Cancelled,
    /// Ctrl-C ended the run.
    #[doc(alias = "KeyboardInterrupt")]
    Interrupted,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyRunning { outer } => {
                write!(f, "a loop is already running on this thread, started at {outer}")
            }
            Self::Closed => f.write_str("event loop is closed"),
            Self::Stopped => f.write_str("event loop stopped before the future completed"),
            Self::Cancelled => f.write_str("the future was cancelled"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl Error for RunError {}

/// The error of closing a loop that is running.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, running_loop};
///
/// let event_loop = EventLoop::new()?;
/// let refused = event_loop.run_until_complete(async { running_loop().close().unwrap_err() })?;
/// assert!(refused.to_string().starts_with("cannot close a running event loop (started at "));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopRunning {
    /// Where the run was started.
    pub site: &'static Location<'static>,
}

impl fmt::Display for LoopRunning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot close a running event loop (started at {})", self.site)
    }
}

impl Error for LoopRunning {}
