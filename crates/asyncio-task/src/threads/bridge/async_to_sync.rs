//! Asynchronous code called by a synchronous function.

use asyncio_loop::{
    JobError, LoopHandle, SendContext, ThreadFuture, calling_loop, try_running_loop,
};

use super::caller::{CALLER, Caller};
use super::cancel::waits_for;
use super::scope::Helper;
use crate::threads::submit::run_coroutine_threadsafe;

/// Calls asynchronous code from a synchronous function: blocks this thread until the future that `make`
/// makes is done, and returns its value.
///
/// Below [`sync_to_async`](crate::sync_to_async), `to_thread` or `run_in_executor` it runs on the loop that the
/// function was called from, otherwise on a loop of its own, in a helper thread (see
/// [`single_thread_scope`](crate::single_thread_scope)). Meanwhile this thread runs the thread-sensitive
/// functions that the future calls.
///
/// Context variables that can travel are visible to the future, and what it sets is visible afterwards.
///
/// # Errors
///
/// [`JobError::WouldDeadlock`] on a thread whose loop is running: await the future there.
/// [`JobError::Panicked`] if the future panics, [`JobError::Cancelled`] if its task is cancelled.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use asyncio_task::{async_to_sync, sync_to_async};
///
/// let here = thread::current().id();
/// let back = async_to_sync(|| async {
///     sync_to_async(|| thread::current().id()).await
/// });
/// assert_eq!(back.unwrap().unwrap(), here);
/// ```
#[track_caller]
pub fn async_to_sync<F, Fut>(make: F) -> Result<Fut::Output, JobError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    if try_running_loop().is_ok() {
        return Err(JobError::WouldDeadlock(
            "a loop runs on this thread: await the future instead",
        ));
    }
    let (caller, waiting) = Caller::new();
    let _below = CALLER.set(Some(caller.clone())).scope();
    let make = move || async { (make().await, SendContext::current()) };
    let (future, _helper) = submit(make)?;
    future.add_done_callback(move |_| caller.done());
    let waits = waits_for(&future);
    waiting.serve();
    drop(waits);
    let (value, context) = future.result(None)?;
    context.apply();
    Ok(value)
}

/// Hands the future to a loop; with a loop of its own, the helper has to live until it is done.
#[track_caller]
fn submit<F, Fut>(make: F) -> Result<(ThreadFuture<Fut::Output>, Option<Helper>), JobError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    if let Some(outer) = calling_loop().filter(|outer| !LoopHandle::is_closed(outer)) {
        return Ok((run_coroutine_threadsafe(&outer, make), None));
    }
    let helper = Helper::get().map_err(JobError::NoThread)?;
    Ok((run_coroutine_threadsafe(helper.handle(), make), Some(helper)))
}
