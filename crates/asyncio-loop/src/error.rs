//! What can go wrong with a loop.

use std::error::Error;
use std::fmt;
use std::panic::Location;

/// There is no running event loop on this thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRunningLoop;

impl fmt::Display for NoRunningLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no running event loop")
    }
}

impl Error for NoRunningLoop {}

/// The loop is closed: it takes no work any more.
///
/// Where something was handed over (a callback from another thread), it comes back in the field.
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

/// Why a run did not give the value of its future.
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
        }
    }
}

impl Error for RunError {}

/// Closing was refused: the loop is running.
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
