//! Futures of results that other threads compute: Python's `concurrent.futures.Future`.

mod cell;
#[cfg(all(test, loom))]
mod loom_tests;
mod promise;
mod wrap;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) use cell::{Cell, HasCell, Outcome};
pub use promise::ThreadPromise;
pub use wrap::{WrapFuture, wrap_future};

use crate::thread_wait::announce_wait;
use crate::{JobError, WaitsFor, report};

/// A value that is computed on another thread, or by a loop on another thread.
///
/// A blocking call ([`result`](Self::result)) can wait for it, and it can be awaited on any
/// executor. It is `Send` and `Sync`, and its clones are handles to the same future. Dropping it
/// does not stop the work, whose value is then dropped.
///
/// The value is handed out once, to the first caller. If several tasks await clones, only the one
/// that polled last is woken; use [`add_done_callback`](Self::add_done_callback) to notify several.
///
/// # From asyncio
///
/// `concurrent.futures.Future` hands out its value any number of times; `exception()` is the `Err`
/// of [`result`](Self::result).
///
/// # Examples
///
/// ```
/// use asyncio_loop::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::default();
/// let future = pool.submit(|| 6 * 7);
/// assert_eq!(future.result(None).unwrap(), 42);
/// ```
#[doc(alias = "concurrent.futures.Future")]
pub struct ThreadFuture<T> {
    pub(crate) cell: Arc<dyn HasCell<T>>,
}

impl<T: Send + 'static> ThreadFuture<T> {
    /// Blocks the calling thread until the value has come, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// [`JobError::TimedOut`] after `timeout`: the work goes on, and `result` may be called again.
    /// [`JobError::WouldDeadlock`] on the thread of the loop that has to produce the value, unless
    /// the value has come already. Otherwise the error of the work.
    ///
    /// # Panics
    ///
    /// If the value was taken before.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{JobError, ThreadPromise};
    /// use std::time::Duration;
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// assert!(matches!(future.result(Some(Duration::ZERO)), Err(JobError::TimedOut)));
    /// promise.set_result("late");
    /// assert_eq!(future.result(None).unwrap(), "late");
    /// ```
    pub fn result(&self, timeout: Option<Duration>) -> Result<T, JobError> {
        if self.cell.is_for_this_thread() && !self.is_done() {
            return Err(JobError::WouldDeadlock("this thread's loop has to produce the value"));
        }
        if self.cell.is_of_loop() && !self.is_done() {
            announce_wait();
        }
        self.cell.cell().wait(timeout)
    }

    /// Cancels the work if it has not started. Returns true if the future is cancelled now.
    ///
    /// The waiting function is dropped before this returns, and waiters get
    /// [`JobError::Cancelled`]. Running work cannot be stopped from outside: then this returns
    /// false and has no effect.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// assert!(future.cancel());
    /// assert!(!promise.start());
    /// assert!(future.result(None).unwrap_err().is_cancelled());
    /// ```
    pub fn cancel(&self) -> bool {
        match self.cell.cell().cancel() {
            Ok(callbacks) => {
                self.cell.discard();
                run_callbacks(self, callbacks);
                true
            }
            Err(_) => self.is_cancelled(),
        }
    }

    /// Returns true if the work has started and not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// assert!(!future.is_running());
    /// assert!(promise.start());
    /// assert!(future.is_running());
    /// # promise.set_result(1);
    /// ```
    #[doc(alias = "running")]
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.cell.cell().is_running()
    }

    /// Returns true if the work has ended, even if its value was taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// assert!(!future.is_done());
    /// promise.set_result(1);
    /// assert!(future.is_done());
    /// ```
    #[doc(alias = "done")]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.cell.cell().is_done()
    }

    /// Returns true if it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (_promise, future) = ThreadPromise::<u8>::new();
    /// future.cancel();
    /// assert!(future.is_cancelled());
    /// ```
    #[doc(alias = "cancelled")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cell.cell().is_cancelled()
    }

    /// Calls `callback` when the future is done, on the thread that completes or cancels it; at
    /// once, on this thread, if it is done already.
    ///
    /// Callbacks run in the order of their registration, after waiters were woken. If one panics,
    /// that is reported, and the others still run.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPromise;
    /// use std::sync::mpsc;
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let (promise, future) = ThreadPromise::new();
    /// future.add_done_callback(move |future| sender.send(future.result(None).unwrap()).unwrap());
    /// promise.set_result(5);
    /// assert_eq!(receiver.recv().unwrap(), 5);
    /// ```
    pub fn add_done_callback(&self, callback: impl FnOnce(&ThreadFuture<T>) + Send + 'static) {
        if let Err(callback) = self.cell.cell().add_callback(Box::new(callback)) {
            run_callbacks(self, vec![callback]);
        }
    }

    /// Completes the future, wakes the waiters and calls the callbacks, unless it is done.
    pub(crate) fn complete(&self, outcome: Outcome<T>) {
        if let Ok(callbacks) = self.cell.cell().complete(outcome) {
            run_callbacks(self, callbacks);
        }
    }

    fn state_name(&self) -> &'static str {
        match self {
            _ if self.is_cancelled() => "cancelled",
            _ if self.is_done() => "done",
            _ if self.is_running() => "running",
            _ => "waiting",
        }
    }
}

impl<T> Clone for ThreadFuture<T> {
    fn clone(&self) -> Self {
        ThreadFuture { cell: Arc::clone(&self.cell) }
    }
}

impl<T: Send + 'static> Future for ThreadFuture<T> {
    type Output = Result<T, JobError>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = self.cell.cell().poll(cx);
        if polled.is_pending() {
            WaitsFor::Thread.note(cx);
        }
        polled
    }
}

impl<T: Send + 'static> fmt::Debug for ThreadFuture<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadFuture").field("state", &self.state_name()).finish()
    }
}

fn run_callbacks<T: Send + 'static>(future: &ThreadFuture<T>, callbacks: Vec<cell::Callback<T>>) {
    for callback in callbacks {
        // The callback is dropped inside, since its destructor may panic as well.
        report::caught("a done callback of a thread future", || callback(future));
    }
}
