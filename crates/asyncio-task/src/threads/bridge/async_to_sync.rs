//! `async_to_sync`: a synchronous function calls asynchronous code.

use asyncio_loop::{JobError, LoopHandle, SendContext, calling_loop, try_running_loop};

use super::caller::{CALLER, Caller, serve_until_done};
use super::cancel::Chain;
use super::scope::Helper;
use crate::threads::submit::submit;

/// Calls asynchronous code from a synchronous function: blocks this thread until the future that
/// `make` makes is done, and returns its value.
///
/// Below [`sync_to_async`](crate::sync_to_async), `to_thread` or `run_in_executor` the future runs
/// on the loop that called the function; elsewhere it runs on a loop of its own, in a helper thread
/// (see [`single_thread_scope`](crate::single_thread_scope)). Meanwhile this thread runs the
/// thread-sensitive functions that the future calls.
///
/// The future sees the context variables that can travel between threads, and the caller sees the
/// values that the future has set.
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
    let helper;
    let event_loop = match outer_loop() {
        Some(outer) => outer,
        None => {
            helper = Helper::get().map_err(JobError::NoThread)?;
            helper.handle().clone()
        }
    };
    let (future, task) = submit(&event_loop, make);
    let waits = match Chain::current() {
        Some(chain) => match chain.waits_for(task.clone()) {
            Some(waits) => Some(waits),
            None => {
                task.cancel();
                None
            }
        },
        None => None,
    };
    let outcome = serve_until_done(&future, caller, waiting);
    if let Some(waits) = waits {
        waits.ended(outcome.is_ok());
    }
    let (value, context) = outcome?;
    context.apply();
    Ok(value)
}

/// The loop that called the function on this thread, if the loop still exists.
fn outer_loop() -> Option<LoopHandle> {
    calling_loop().filter(|outer| !LoopHandle::is_closed(outer))
}
