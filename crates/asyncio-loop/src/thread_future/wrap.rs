//! Wraps a thread future for a loop, so that a cancellation reaches the thread's side.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::ThreadFuture;
use crate::JobError;

/// Awaits `future`. Dropping the wrapper cancels `future`.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, ThreadPoolExecutor, wrap_future};
///
/// let pool = ThreadPoolExecutor::default();
/// let future = pool.submit(|| 6 * 7);
/// let value = EventLoop::new()?.run_until_complete(wrap_future(future))?;
/// assert_eq!(value.unwrap(), 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wrap_future<T: Send + 'static>(future: ThreadFuture<T>) -> WrapFuture<T> {
    WrapFuture { future: Some(future) }
}

/// The future of a job on a loop: see [`wrap_future`] and
/// [`run_in_executor`](crate::LoopRef::run_in_executor).
///
/// # Cancel safety
///
/// Dropping it cancels the job if the job has not started. A running job goes on to its end, and
/// its value is dropped. [`detach`](Self::detach) lets the job run without a wait.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, running_loop};
///
/// EventLoop::new()?.run_until_complete(async {
///     let answer = running_loop().run_in_executor(None, || 6 * 7);
///     assert_eq!(answer.await.unwrap(), 42);
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "dropping it cancels the job if it has not started; `detach` lets it run"]
pub struct WrapFuture<T: Send + 'static> {
    /// `None` once it was cancelled, awaited or detached.
    future: Option<ThreadFuture<T>>,
}

impl<T: Send + 'static> WrapFuture<T> {
    /// Ends the wait at once: the awaiting task gets [`JobError::Cancelled`]. The job is cancelled
    /// if it has not started; otherwise it goes on to its end, and its value is dropped.
    ///
    /// Returns false if it was awaited to its end, or cancelled before.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, ThreadPromise, wrap_future};
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// let mut wait = wrap_future(future);
    /// assert!(wait.cancel());
    /// assert!(promise.is_cancelled());
    /// assert!(EventLoop::new()?.run_until_complete(wait)?.unwrap_err().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&mut self) -> bool {
        match self.future.take() {
            Some(future) => {
                future.cancel();
                true
            }
            None => false,
        }
    }

    /// Lets the job go on, and drops its value.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{ThreadPromise, wrap_future};
    ///
    /// let (promise, future) = ThreadPromise::<u8>::new();
    /// wrap_future(future).detach();
    /// assert!(!promise.is_cancelled());
    /// ```
    pub fn detach(mut self) {
        self.future = None;
    }

    /// Returns the job's future for other threads; dropping that does not cancel the job.
    ///
    /// `None` if it was cancelled or awaited to its end.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{ThreadPromise, wrap_future};
    ///
    /// let (promise, future) = ThreadPromise::new();
    /// let future = wrap_future(future).into_thread_future().unwrap();
    /// promise.set_result(1);
    /// assert_eq!(future.result(None).unwrap(), 1);
    /// ```
    #[must_use]
    pub fn into_thread_future(mut self) -> Option<ThreadFuture<T>> {
        self.future.take()
    }
}

impl<T: Send + 'static> Future for WrapFuture<T> {
    type Output = Result<T, JobError>;

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(future) = &mut self.future else {
            return Poll::Ready(Err(JobError::Cancelled));
        };
        let poll = Pin::new(future).poll(cx);
        if poll.is_ready() {
            self.future = None;
        }
        poll
    }
}

impl<T: Send + 'static> Drop for WrapFuture<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}
