//! Blocks a thread on a loop. Meanwhile the thread runs the thread-sensitive functions that belong
//! to it.

use asyncio_loop::{JobError, LoopHandle};

use super::caller::{CALLER, Caller, serve_until_done};
use super::place::is_sensitive;
use crate::threads::submit::run_coroutine_threadsafe;

/// Runs a future on a loop and blocks this thread until it is done. In the middle of a
/// thread-sensitive function, the thread meanwhile runs the thread-sensitive functions that the
/// future calls, because they cannot run elsewhere.
#[track_caller]
pub(in crate::threads) fn run_blocking<F, Fut>(
    event_loop: &LoopHandle,
    make: F,
) -> Result<Fut::Output, JobError>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    // The loop's own thread must not wait at all; `result` returns the error for that.
    if !is_sensitive() || event_loop.is_loop_thread() {
        return run_coroutine_threadsafe(event_loop, make).result(None);
    }
    let (caller, waiting) = Caller::new();
    let _below = CALLER.set(Some(caller.clone())).scope();
    serve_until_done(&run_coroutine_threadsafe(event_loop, make), caller, waiting)
}
