//! A runtime of tokio as the host of a loop.

use std::fmt;
use std::io;
use std::mem;
use std::panic::resume_unwind;

use asyncio_loop::{Guest, Host, LoopRef, ThreadPoolExecutor};
use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};

use crate::drive::drive;

/// A runtime of tokio inside of which a loop runs: see [`LoopRef::set_host`].
///
/// The loop's default executor is one whose threads have entered the runtime. An executor that the
/// program sets itself does that by its
/// [`initializer`](asyncio_loop::ThreadPoolBuilder::initializer), if it has to.
///
/// When the loop has been closed, the runtime ends as tokio's do: its tasks are dropped, and
/// functions that `spawn_blocking` has started are waited for.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_loop::EventLoop;
/// use asyncio_tokio::TokioHost;
///
/// let event_loop = EventLoop::new()?;
/// event_loop.set_host(Rc::new(TokioHost::new()?))?;
/// let answer = event_loop.run_until_complete(async { tokio::spawn(async { 42 }).await })?;
/// assert_eq!(answer?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TokioHost {
    /// Taken when it is dropped.
    runtime: Option<LocalRuntime>,
}

impl TokioHost {
    /// A runtime with I/O and timers.
    ///
    /// # Errors
    ///
    /// Of the operating system, when it has no descriptors left.
    pub fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build_local(LocalOptions::default()).map(Self::with_runtime)
    }

    /// A runtime that was built elsewhere. It needs I/O enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_task::Runner;
    /// use asyncio_tokio::TokioHost;
    /// use tokio::runtime::{Builder, LocalOptions};
    ///
    /// let host = || {
    ///     let mut builder = Builder::new_current_thread();
    ///     builder.enable_all().max_blocking_threads(1);
    ///     let runtime = builder.build_local(LocalOptions::default())?;
    ///     Ok(Rc::new(TokioHost::with_runtime(runtime)) as _)
    /// };
    /// let blocking = Runner::builder().host(host).run(async {
    ///     tokio::task::spawn_blocking(|| 6 * 7).await
    /// });
    /// assert_eq!(blocking.unwrap(), 42);
    /// ```
    #[must_use]
    pub fn with_runtime(runtime: LocalRuntime) -> Self {
        Self { runtime: Some(runtime) }
    }

    fn runtime(&self) -> &LocalRuntime {
        self.runtime.as_ref().expect("there until the host is dropped")
    }
}

impl Host for TokioHost {
    fn attach(&self, event_loop: &LoopRef) {
        let runtime = self.runtime().handle().clone();
        // The thread stays in the context until its end.
        let enter = move || mem::forget(runtime.enter());
        event_loop.set_default_executor(ThreadPoolExecutor::builder().initializer(enter).build());
    }

    fn drive(&self, guest: Guest) {
        // A task of its own: were it the root of `block_on`, each of its wakes would cost more.
        let runtime = self.runtime();
        match runtime.block_on(runtime.spawn_local(drive(guest))) {
            Ok(result) => result.expect("the host of a run makes its turns"),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => panic!("the loop's task in tokio was ended: {error}"),
            },
        }
    }

    /// Other tasks of the runtime may have something that tasks of the loop wait for. Wakers that
    /// tokio keeps for tasks of the loop are known to the loop.
    fn may_wake(&self) -> bool {
        // One of them drives the loop.
        self.runtime().metrics().num_alive_tasks() > 1
    }

    fn enter(&self, code: &mut dyn FnMut()) {
        let _context = self.runtime().enter();
        code();
    }
}

impl Drop for TokioHost {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        if Handle::try_current().is_ok() {
            // Inside another runtime, which must not be blocked.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for TokioHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioHost").finish_non_exhaustive()
    }
}
