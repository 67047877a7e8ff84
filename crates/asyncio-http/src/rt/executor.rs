//! [`LoopExecutor`]: hyper's futures as tasks of the loop.

use asyncio_task::{TaskOptions, create_task_with};
use hyper::rt::Executor;

/// Runs hyper's futures as tasks of the running loop. The tasks are hidden from `all_tasks`.
///
/// For crates that take a [`hyper::rt::Executor`].
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_http::rt::{LoopExecutor, LoopTimer};
///
/// let mut builder = hyper::server::conn::http2::Builder::new(LoopExecutor);
/// builder.timer(LoopTimer);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopExecutor;

impl<F> Executor<F> for LoopExecutor
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        drop(create_task_with(future, TaskOptions::new().hidden()));
    }
}
