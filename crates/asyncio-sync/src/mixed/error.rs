//! What can go wrong on the side of threads. The side of tasks has the errors of the other queues.

use std::error::Error;
use std::fmt;

use crate::error::{QueueShutDown, TryGetError, TryPutError};

/// An item could not be put by a thread. It comes back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum SyncPutError<T> {
    /// There was no room, at once or in time.
    #[doc(alias = "SyncQueueFull")]
    Full(T),
    /// The queue was shut down and takes no more items.
    #[doc(alias = "SyncQueueShutDown")]
    ShutDown(T),
}

impl<T> SyncPutError<T> {
    /// The item that was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// assert_eq!(asyncio_sync::mixed::SyncPutError::Full(3).into_inner(), 3);
    /// ```
    pub fn into_inner(self) -> T {
        match self {
            Self::Full(item) | Self::ShutDown(item) => item,
        }
    }

    /// Whether there was no room.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(asyncio_sync::mixed::SyncPutError::Full(3).is_full());
    /// ```
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Full(_))
    }

    /// Whether the queue was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(asyncio_sync::mixed::SyncPutError::ShutDown(3).is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        matches!(self, Self::ShutDown(_))
    }
}

impl<T> From<TryPutError<T>> for SyncPutError<T> {
    fn from(error: TryPutError<T>) -> Self {
        match error {
            TryPutError::Full(item) => Self::Full(item),
            TryPutError::ShutDown(item) => Self::ShutDown(item),
        }
    }
}

impl<T> fmt::Debug for SyncPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "Full(..)",
            Self::ShutDown(_) => "ShutDown(..)",
        })
    }
}

impl<T> fmt::Display for SyncPutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("queue is full"),
            Self::ShutDown(_) => QueueShutDown.fmt(f),
        }
    }
}

impl<T> Error for SyncPutError<T> {}

/// A thread got no item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncGetError {
    /// There was no item, at once or in time.
    #[doc(alias = "SyncQueueEmpty")]
    Empty,
    /// The queue was shut down, and there is nothing left to get.
    #[doc(alias = "SyncQueueShutDown")]
    ShutDown,
}

impl From<TryGetError> for SyncGetError {
    fn from(error: TryGetError) -> Self {
        match error {
            TryGetError::Empty => Self::Empty,
            TryGetError::ShutDown => Self::ShutDown,
        }
    }
}

impl fmt::Display for SyncGetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        TryGetError::from(*self).fmt(f)
    }
}

impl From<SyncGetError> for TryGetError {
    fn from(error: SyncGetError) -> Self {
        match error {
            SyncGetError::Empty => Self::Empty,
            SyncGetError::ShutDown => Self::ShutDown,
        }
    }
}

impl Error for SyncGetError {}

/// `wait_closed` was called before `close`: it might wait for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotClosedError(pub(super) ());

impl fmt::Display for NotClosedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue was not closed")
    }
}

impl Error for NotClosedError {}
