//! Blocking functions, run by the default executor of the running loop.

use std::io;

use asyncio_loop::{WrapFuture, running_loop, try_running_loop};

/// Hands a blocking function to the executor at once.
pub(crate) fn start<T, F>(function: F) -> WrapFuture<T>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    running_loop().run_in_executor(None, function)
}

/// Runs a blocking function on the executor, and waits for its result.
pub(crate) async fn run<T, F>(function: F) -> io::Result<T>
where
    T: Send + 'static,
    F: FnOnce() -> io::Result<T> + Send + 'static,
{
    start(function).await?
}

/// Hands a blocking function to the executor without waiting for the result. If the loop has no
/// executor, no loop runs on this thread, or the executor refuses the function or cancels it, the
/// function runs on the thread that drops it: it is never lost.
pub(crate) fn start_detached(function: impl FnOnce() + Send + 'static) {
    let function = Certain(Some(function));
    let event_loop = try_running_loop().ok();
    if let Some(executor) = event_loop.and_then(|event_loop| event_loop.default_executor()) {
        drop(executor.submit(move || drop(function)));
    }
}

/// Calls the function when it is dropped.
struct Certain<F: FnOnce()>(Option<F>);

impl<F: FnOnce()> Drop for Certain<F> {
    fn drop(&mut self) {
        if let Some(function) = self.0.take() {
            function();
        }
    }
}
