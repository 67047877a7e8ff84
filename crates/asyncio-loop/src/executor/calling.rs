//! The loop from which the job on this thread was submitted.

use std::cell::RefCell;

use crate::LoopHandle;

thread_local! {
    static CALLING: RefCell<Option<LoopHandle>> = const { RefCell::new(None) };
}

/// Returns the loop that the job on this thread was submitted from by
/// [`run_in_executor`](crate::LoopRef::run_in_executor); `None` outside such jobs.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, calling_loop, running_loop};
///
/// let in_job = EventLoop::new()?.run_until_complete(async {
///     let job = || calling_loop().map(|event_loop| event_loop.is_loop_thread());
///     running_loop().run_in_executor(None, job).await
/// })??;
/// assert_eq!(in_job, Some(false));
/// assert!(calling_loop().is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn calling_loop() -> Option<LoopHandle> {
    CALLING.try_with(|calling| calling.borrow().clone()).ok().flatten()
}

/// Calls `function` as a job of this loop.
pub(super) fn calling_loop_is<T>(event_loop: LoopHandle, function: impl FnOnce() -> T) -> T {
    let _restore = Restore(CALLING.replace(Some(event_loop)));
    function()
}

/// Restores the loop of the outer job, even after a panic.
struct Restore(Option<LoopHandle>);

impl Drop for Restore {
    fn drop(&mut self) {
        let before = self.0.take();
        // The thread-local is gone while the thread ends, when no job runs.
        let _ = CALLING.try_with(|calling| calling.replace(before));
    }
}
