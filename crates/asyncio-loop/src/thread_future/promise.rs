//! The giving side of a thread future.

use std::fmt;
use std::sync::Arc;

use super::cell::{Cell, HasCell};
use super::{ThreadFuture, run_callbacks};
use crate::JobError;

impl<T: Send> HasCell<T> for Cell<T> {
    fn cell(&self) -> &Cell<T> {
        self
    }
}

/// The giving side of a [`ThreadFuture`]: whoever holds it completes the future, from any thread.
///
/// Dropping it without a result cancels the future, so that nobody waits for ever.
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
}

impl<T: Send + 'static> ThreadPromise<T> {
    /// Makes a promise and its future.
    // The pair is the point: neither side is of use without the other.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (ThreadPromise<T>, ThreadFuture<T>) {
        let cell: Arc<dyn HasCell<T>> = Arc::new(Cell::new());
        let future = ThreadFuture { cell: Arc::clone(&cell) };
        (ThreadPromise { future: ThreadFuture { cell } }, future)
    }

    /// Marks the work as started: from now on the future cannot be cancelled.
    ///
    /// Returns false if it was cancelled before; then there is no use in doing the work.
    #[doc(alias = "set_running_or_notify_cancel")]
    #[must_use]
    pub fn start(&self) -> bool {
        self.future.cell.cell().start()
    }

    /// Returns true if the future was cancelled, and nobody will look at a result.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.future.is_cancelled()
    }

    /// Completes the future with a value.
    ///
    /// If the future was cancelled before, the value is dropped.
    pub fn set_result(self, value: T) {
        self.set_outcome(Ok(value));
    }

    /// Completes the future with an error.
    ///
    /// If the future was cancelled before, the error is dropped.
    #[doc(alias = "set_exception")]
    pub fn set_error(self, error: JobError) {
        self.set_outcome(Err(error));
    }

    /// Completes the future with a value or an error.
    ///
    /// If the future was cancelled before, the outcome is dropped.
    pub fn set_outcome(self, outcome: Result<T, JobError>) {
        self.future.complete(outcome);
    }

    /// Registers a function that is called when the future is done; see
    /// [`ThreadFuture::add_done_callback`]. Here it serves to learn that the future was cancelled.
    pub fn add_done_callback(&self, callback: impl FnOnce(&ThreadFuture<T>) + Send + 'static) {
        self.future.add_done_callback(callback);
    }
}

impl<T: Send + 'static> Drop for ThreadPromise<T> {
    fn drop(&mut self) {
        if let Ok(callbacks) = self.future.cell.cell().complete(Err(JobError::Cancelled)) {
            run_callbacks(&self.future, callbacks);
        }
    }
}

impl<T: Send + 'static> fmt::Debug for ThreadPromise<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPromise").field("state", &self.future.state_name()).finish()
    }
}
