//! Calls from a job back to the loop that it was submitted from.
//!
//! A function that [`to_thread`](crate::to_thread) or `run_in_executor` runs on another thread can
//! run code on the loop and wait for it:
//!
//! ```
//! use asyncio_task::{from_thread, run, sleep, to_thread};
//! use std::time::Duration;
//!
//! let value = run(async {
//!     to_thread(|| {
//!         let part = from_thread::run(|| async {
//!             sleep(Duration::from_millis(1)).await;
//!             40
//!         });
//!         part.map(|part| part + 2)
//!     })
//!     .await
//! });
//! assert_eq!(value.unwrap().unwrap(), 42);
//! ```

use asyncio_loop::{JobError, LoopHandle, NoRunningLoop, calling_loop};

use super::bridge::run_blocking;

/// Runs a future on the loop that this job was submitted from, and blocks until it is done.
///
/// In a function that [`sync_to_async`](crate::sync_to_async) runs, this thread meanwhile runs the
/// thread-sensitive functions that the future calls.
///
/// # Errors
///
/// [`JobError::Failed`] outside such jobs; otherwise as
/// [`run_coroutine_threadsafe`](crate::run_coroutine_threadsafe).
#[track_caller]
pub fn run<F, Fut>(make: F) -> Result<Fut::Output, JobError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    run_blocking(&event_loop()?, make)
}

/// Calls a function on the thread of the loop that this job was submitted from, and blocks until it
/// has returned.
///
/// # Errors
///
/// As [`run`].
///
/// # Examples
///
/// ```
/// use asyncio_task::{from_thread, run, running_loop, to_thread};
///
/// let running = run(async {
///     to_thread(|| from_thread::run_sync(|| running_loop().is_running())).await
/// });
/// assert!(running.unwrap().unwrap());
/// ```
#[track_caller]
pub fn run_sync<F, T>(function: F) -> Result<T, JobError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    run(move || async move { function() })
}

fn event_loop() -> Result<LoopHandle, JobError> {
    calling_loop().ok_or_else(|| JobError::Failed(Box::new(NoRunningLoop)))
}
