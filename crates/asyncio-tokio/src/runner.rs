//! Runs inside a tokio runtime.

use std::io;
use std::rc::Rc;

use asyncio_loop::Host;
use asyncio_task::{LoopThreadBuilder, Runner, RunnerBuilder};

use crate::host::TokioHost;

/// Runs `future` as [`asyncio_task::run`] does, inside a tokio runtime.
///
/// # Panics
///
/// As [`asyncio_task::run`]. Also inside a running tokio runtime: use [`embed`](crate::embed())
/// there.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// let answer = asyncio_tokio::run(async {
///     tokio::time::sleep(Duration::from_millis(1)).await;
///     6 * 7
/// });
/// assert_eq!(answer, 42);
/// ```
#[track_caller]
pub fn run<F: IntoFuture>(future: F) -> F::Output {
    runner().run(future)
}

/// A runner with options, whose loop runs inside a tokio runtime.
///
/// # Examples
///
/// ```
/// let runner = asyncio_tokio::runner().debug(true);
/// assert_eq!(runner.run(async { tokio::spawn(async { 1 }).await.unwrap() }), 1);
/// ```
pub fn runner() -> RunnerBuilder {
    Runner::builder().tokio(true)
}

/// The option `tokio` of the builders that create loops.
///
/// # Examples
///
/// ```
/// use asyncio_task::{LoopThread, Runner};
/// use asyncio_tokio::TokioExt;
///
/// let answer = Runner::builder().tokio(true).run(async { tokio::spawn(async { 42 }).await });
/// assert_eq!(answer.unwrap(), 42);
///
/// let thread = LoopThread::builder().tokio(true).start()?;
/// assert_eq!(thread.run(|| async { tokio::spawn(async { 1 }).await.unwrap() })?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TokioExt: Sized {
    /// Whether the loop runs inside its own tokio runtime, on the same thread.
    #[must_use]
    fn tokio(self, yes: bool) -> Self;
}

impl TokioExt for RunnerBuilder {
    fn tokio(self, yes: bool) -> Self {
        if yes { self.host(host) } else { self }
    }
}

impl TokioExt for LoopThreadBuilder {
    fn tokio(self, yes: bool) -> Self {
        if yes { self.host(host) } else { self }
    }
}

fn host() -> io::Result<Rc<dyn Host>> {
    Ok(Rc::new(TokioHost::new()?))
}
