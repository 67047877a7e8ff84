//! A tokio runtime as the host of a loop.

use std::fmt;
use std::io;
use std::mem;
use std::panic::resume_unwind;

use asyncio_loop::{Guest, Host, LoopRef, ThreadPoolExecutor};
use tokio::runtime::{Builder, Handle, LocalOptions, LocalRuntime};

use crate::drive::drive;

/// A tokio runtime inside which a loop runs: see [`LoopRef::set_host`].
///
/// The threads of the loop's default executor have entered the runtime. If the program sets its own
/// executor, the executor's threads can enter the runtime in its
/// [`initializer`](asyncio_loop::ThreadPoolBuilder::initializer).
///
/// When the loop has been closed, the runtime is dropped, as usual in tokio: its tasks are dropped,
/// and it waits for the functions that `spawn_blocking` has started.
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
    /// `None` only while this is dropped.
    runtime: Option<LocalRuntime>,
}

impl TokioHost {
    /// Creates a host with a new runtime that has I/O and timers.
    ///
    /// # Errors
    ///
    /// The operating system's error if no file descriptors are left.
    pub fn new() -> io::Result<Self> {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build_local(LocalOptions::default()).map(Self::with_runtime)
    }

    /// Creates a host with an existing runtime, which needs I/O enabled.
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
        // The thread stays in the runtime's context until it ends.
        let enter = move || mem::forget(runtime.enter());
        event_loop.set_default_executor(ThreadPoolExecutor::builder().initializer(enter).build());
    }

    fn drive(&self, guest: Guest) {
        // This is a task of its own, since each wake would cost more if it were the root future of
        // `block_on`.
        let runtime = self.runtime();
        match runtime.block_on(runtime.spawn_local(drive(guest))) {
            Ok(result) => result.expect("the host of a run makes its turns"),
            Err(error) => match error.try_into_panic() {
                Ok(payload) => resume_unwind(payload),
                Err(error) => panic!("the loop's task in tokio was ended: {error}"),
            },
        }
    }

    /// Tasks of the loop may wait for other tasks of the runtime. The loop knows the wakers that
    /// tokio keeps for the loop's tasks.
    fn may_wake(&self) -> bool {
        // One of the tasks drives the loop.
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
            // This is inside another runtime, which must not be blocked.
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for TokioHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokioHost").finish_non_exhaustive()
    }
}
