//! `to_thread`: runs a blocking function away from the loop.

use std::panic::Location;

use asyncio_loop::machinery::at_await;
use asyncio_loop::{JobError, SendContext, running_loop, wrap_future};

/// Runs a blocking function on a thread of the loop's default executor, in a copy of the caller's
/// context.
///
/// The function is submitted at the first poll. It sees the values of the context variables that
/// can travel between threads (those of `Send + Sync` types). Values that it sets are discarded.
///
/// # Errors
///
/// [`JobError::Panicked`] if the function panics, [`JobError::ExecutorShutdown`] if the default
/// executor is shut down.
///
/// # Panics
///
/// When polled if no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping it cancels the function if it has not started. A running one goes on to its end, and
/// its value is dropped.
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, to_thread};
///
/// let sum = run(async {
///     let numbers = vec![1, 2, 3];
///     to_thread(move || numbers.iter().sum::<i32>()).await
/// });
/// assert_eq!(sum.unwrap(), 6);
/// ```
#[doc(alias = "spawn_blocking")]
#[track_caller]
pub fn to_thread<F, T>(function: F) -> impl Future<Output = Result<T, JobError>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let site = Location::caller();
    at_await(async move {
        let event_loop = running_loop();
        let context = SendContext::current();
        let (job, future) = event_loop.job(move || context.run(function));
        event_loop.execute(None, job.submitted_at(site));
        wrap_future(future).await
    })
}
