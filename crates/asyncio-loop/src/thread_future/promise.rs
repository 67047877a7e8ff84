//! The side of a thread future that completes it.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use super::ThreadFuture;
use super::cell::{Cell, HasCell};
use crate::{JobError, LoopHandle};

impl<T: Send> HasCell<T> for Cell<T> {
    fn cell(&self) -> &Cell<T> {
        self
    }
}

/// The cell of a future whose value a loop produces.
struct LoopCell<T> {
    cell: Cell<T>,
    event_loop: LoopHandle,
}

impl<T: Send> HasCell<T> for LoopCell<T> {
    fn cell(&self) -> &Cell<T> {
        &self.cell
    }

    fn is_of_loop(&self) -> bool {
        true
    }

    fn is_for_this_thread(&self) -> bool {
        self.event_loop.is_loop_thread()
    }
}

/// The side of a [`ThreadFuture`] that completes it, from any thread.
///
/// Dropping it without a result cancels the future, so that no task waits forever.
///
/// ```
/// use asyncio_loop::ThreadPromise;
///
/// let (promise, future) = ThreadPromise::new();
/// std::thread::spawn(move || promise.set_result(6 * 7));
/// assert_eq!(future.result(None).unwrap(), 42);
/// ```
pub struct ThreadPromise<T: Send + 'static> {
    future: ThreadFuture<T>,
    /// The loop that produces the value, if a loop does.
    event_loop: Option<LoopHandle>,
}

impl<T: Send + 'static> ThreadPromise<T> {
    /// Makes a promise and its future.
    // The pair is the point: neither side is of use without the other.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (ThreadPromise<T>, ThreadFuture<T>) {
        let future = ThreadFuture { cell: Arc::new(Cell::new()) };
        (ThreadPromise { future: future.clone(), event_loop: None }, future)
    }

    /// Makes a promise that is completed on the thread of `event_loop`.
    ///
    /// Blocking that thread on the future is an error. If the promise is dropped because the loop
    /// is closed, the future fails with [`JobError::LoopClosed`].
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, JobError, ThreadPromise};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (promise, future) = ThreadPromise::<u8>::of_loop(&event_loop.handle());
    /// assert!(matches!(future.result(None), Err(JobError::WouldDeadlock(_))));
    ///
    /// event_loop.close()?;
    /// drop(promise);
    /// assert!(matches!(future.result(None), Err(JobError::LoopClosed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    pub fn of_loop(event_loop: &LoopHandle) -> (ThreadPromise<T>, ThreadFuture<T>) {
        let cell = LoopCell { cell: Cell::new(), event_loop: event_loop.clone() };
        let future = ThreadFuture { cell: Arc::new(cell) };
        (ThreadPromise { future: future.clone(), event_loop: Some(event_loop.clone()) }, future)
    }

    /// Returns its future.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, _) = ThreadPromise::new();
    /// let future = promise.future();
    /// promise.set_result(1);
    /// assert_eq!(future.result(None).unwrap(), 1);
    /// ```
    pub fn future(&self) -> ThreadFuture<T> {
        self.future.clone()
    }

    /// Marks the work as started: from now on the future cannot be cancelled.
    ///
    /// Returns false if the future was cancelled before; then the work need not be done.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// future.cancel();
    /// assert!(!promise.start(), "too late");
    /// ```
    #[doc(alias = "set_running_or_notify_cancel")]
    #[must_use]
    pub fn start(&self) -> bool {
        self.future.cell.cell().start()
    }

    /// Returns true if the future was cancelled, so that a result would be dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// future.cancel();
    /// assert!(promise.is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.future.is_cancelled()
    }

    /// Completes the future with a value.
    ///
    /// If the future was cancelled before, the value is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// promise.set_result(6 * 7);
    /// assert_eq!(future.result(None).unwrap(), 42);
    /// ```
    pub fn set_result(self, value: T) {
        self.set_outcome(Ok(value));
    }

    /// Completes the future with an error: a [`JobError`], or any other error, which the future
    /// returns as [`JobError::Failed`].
    ///
    /// If the future was cancelled before, the error is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{JobError, ThreadPromise};
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// promise.set_error("no luck");
    /// let error = future.result(None).unwrap_err();
    /// assert!(matches!(error, JobError::Failed(_)));
    /// assert_eq!(error.to_string(), "no luck");
    /// ```
    #[doc(alias = "set_exception")]
    pub fn set_error(self, error: impl Into<Box<dyn Error + Send + Sync>>) {
        let error = match error.into().downcast() {
            Ok(error) => *error,
            Err(error) => JobError::Failed(error),
        };
        self.set_outcome(Err(error));
    }

    /// Completes the future with a value or an error.
    ///
    /// If the future was cancelled before, the outcome is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// promise.set_outcome(Ok(1));
    /// assert_eq!(future.result(None).unwrap(), 1);
    /// ```
    #[doc(hidden)]
    pub fn set_outcome(self, outcome: Result<T, JobError>) {
        self.future.complete(outcome);
    }
}

impl<T: Send + 'static> Drop for ThreadPromise<T> {
    fn drop(&mut self) {
        if self.future.is_done() {
            return;
        }
        let closed = self.event_loop.as_ref().is_some_and(LoopHandle::is_closed);
        let error = if closed { JobError::LoopClosed } else { JobError::Cancelled };
        self.future.complete(Err(error));
    }
}

impl<T: Send + 'static> fmt::Debug for ThreadPromise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPromise").field("state", &self.future.state_name()).finish()
    }
}
