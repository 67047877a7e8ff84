//! A future of `asyncio` inside a running tokio runtime.

use std::fmt;
use std::panic::{Location, resume_unwind};
use std::pin::Pin;
use std::time::Duration;

use asyncio_loop::{EventLoop, LoopRef, Outcome, RawTask, RunError, TaskOptions};
use asyncio_task::{ShutdownLoop, shutdown_loop};

use crate::drive::drive;

/// Runs `future` as the main task of a new loop, inside the tokio runtime that awaits this and on
/// its thread.
///
/// When the future is done, the loop shuts down as in [`asyncio_task::run`]: it cancels its
/// remaining tasks, and waits for them and for the default executor's jobs. tokio's other tasks run
/// meanwhile. The loop is the thread's running loop only while the loop's own code runs.
///
/// The future is not `Send`: await it in `main`, in a `LocalSet`, or in a task of a `LocalRuntime`.
/// The runtime needs I/O enabled, and timers on systems other than Linux. Several embedded loops
/// may run on one thread.
///
/// # Errors
///
/// [`RunError::Stopped`] and [`RunError::Cancelled`] as for
/// [`Runner::run`](asyncio_task::Runner::run); [`RunError::AlreadyRunning`] inside a run of a loop;
/// [`RunError::Closed`] if the loop is closed meanwhile.
///
/// # Panics
///
/// With the future's own panic, after the cleanup. Also outside of a tokio runtime, and if the
/// system has no file descriptors left for a loop.
///
/// # Cancel safety
///
/// Dropping this drops the future and all tasks of its loop without running their cleanup, and
/// reports the tasks. To end it with cleanup, cancel the main task.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{create_task, sleep};
///
/// #[tokio::main(flavor = "current_thread")]
/// async fn main() {
///     let embedded = asyncio_tokio::embed(async {
///         let ours = create_task(sleep(Duration::from_millis(1)));
///         tokio::time::sleep(Duration::from_millis(1)).await;
///         ours.await.unwrap();
///         6 * 7
///     });
///     let (ours, theirs) = tokio::join!(async { embedded.await }, tokio::spawn(async { 1 }));
///     assert_eq!((ours, theirs.unwrap()), (Ok(42), 1));
/// }
/// ```
#[track_caller]
pub fn embed<F>(future: F) -> Embed<F>
where
    F: IntoFuture<IntoFuture: 'static>,
{
    Embed {
        future,
        site: Location::caller(),
        debug: None,
        grace_period: None,
        executor_timeout: None,
    }
}

/// The options of [`embed`]. Await this to run the future.
#[must_use = "await it"]
pub struct Embed<F> {
    future: F,
    site: &'static Location<'static>,
    debug: Option<bool>,
    grace_period: Option<Duration>,
    executor_timeout: Option<Duration>,
}

impl<F> Embed<F> {
    /// Turns the loop's debug mode on or off. Default: as `ASYNCIO_DEBUG` in the environment says.
    pub fn debug(mut self, yes: bool) -> Self {
        self.debug = Some(yes);
        self
    }

    /// How long the shutdown waits for the cleanup of remaining tasks: see
    /// [`ShutdownLoop::grace_period`]. Default: 10 seconds.
    pub fn grace_period(mut self, limit: Duration) -> Self {
        self.grace_period = Some(limit);
        self
    }

    /// How long the shutdown waits for jobs of the default executor: see
    /// [`ShutdownLoop::executor_timeout`]. Default: 5 minutes.
    pub fn executor_timeout(mut self, limit: Duration) -> Self {
        self.executor_timeout = Some(limit);
        self
    }

    fn shutdown(&self, event_loop: &LoopRef) -> ShutdownLoop {
        let mut shutdown = shutdown_loop(event_loop);
        if let Some(limit) = self.grace_period {
            shutdown = shutdown.grace_period(limit);
        }
        if let Some(limit) = self.executor_timeout {
            shutdown = shutdown.executor_timeout(limit);
        }
        shutdown
    }
}

/// The future of [`embed`].
pub type EmbedFuture<T> = Pin<Box<dyn Future<Output = Result<T, RunError>>>>;

impl<F> IntoFuture for Embed<F>
where
    F: IntoFuture<IntoFuture: 'static> + 'static,
{
    type Output = Result<F::Output, RunError>;
    type IntoFuture = EmbedFuture<F::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(run(self))
    }
}

async fn run<F>(embed: Embed<F>) -> Result<F::Output, RunError>
where
    F: IntoFuture<IntoFuture: 'static>,
{
    let event_loop = EventLoop::new().unwrap_or_else(|error| panic!("no event loop: {error}"));
    if let Some(debug) = embed.debug {
        event_loop.set_debug(debug);
    }
    let shutdown = embed.shutdown(&event_loop);
    let options = TaskOptions::new().site(embed.site);
    let spawned = event_loop.spawn(embed.future.into_future(), options);
    let mut main = spawned.expect("a new loop takes tasks");
    let result = drive(event_loop.guest().until(main.task())).await;
    // The result is taken before the shutdown cancels the remaining tasks.
    let outcome = result.and_then(|()| taken(&mut main));
    if !event_loop.is_closed() {
        end(&event_loop, shutdown).await;
    }
    match outcome? {
        Outcome::Value(value) => Ok(value),
        Outcome::Panicked(payload) => resume_unwind(payload),
        Outcome::Cancelled => Err(RunError::Cancelled),
    }
}

fn taken<T>(main: &mut RawTask<T>) -> Result<Outcome<T>, RunError> {
    main.take().ok_or(RunError::Stopped)
}

/// Runs the loop until all tasks on it have ended. As for a runner, `stop` does not interrupt this.
async fn end(event_loop: &LoopRef, shutdown: ShutdownLoop) {
    let options = TaskOptions::new().hidden();
    let Ok(task) = event_loop.spawn(shutdown.into_future(), options) else { return };
    while !task.task().is_done() {
        if drive(event_loop.guest().until(task.task())).await.is_err() {
            return;
        }
    }
}

impl<F> fmt::Debug for Embed<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embed").field("site", &self.site).finish_non_exhaustive()
    }
}
