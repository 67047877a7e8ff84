//! `LoopThread`: a loop in a thread of its own, for programs that are not asynchronous themselves.

use std::fmt;
use std::io;
use std::rc::Rc;
use std::thread::{self, JoinHandle};

use asyncio_loop::{
    EventLoop, Host, JobError, LoopHandle, ThreadFuture, ThreadPromise, running_loop,
};

use super::bridge::run_blocking;
use super::submit::run_coroutine_threadsafe;
use crate::runner::Runner;

/// An event loop that runs in a thread of its own.
///
/// It runs until it is stopped or dropped. Then its tasks are cancelled and awaited, as at the end
/// of [`run`](crate::run), the loop is closed, and the thread is joined.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{LoopThread, sleep};
///
/// let thread = LoopThread::start()?;
/// let value = thread.run(|| async {
///     sleep(Duration::from_millis(1)).await;
///     6 * 7
/// });
/// assert_eq!(value?, 42);
/// thread.stop();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct LoopThread {
    handle: LoopHandle,
    /// Dropped to stop it.
    stop: Option<ThreadPromise<()>>,
    thread: Option<JoinHandle<()>>,
}

impl LoopThread {
    /// Starts a thread named "asyncio_loop", and returns when its loop runs.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread or has no descriptors left for a loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// let thread = LoopThread::start()?;
    /// assert!(!thread.handle().is_loop_thread());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start() -> io::Result<Self> {
        Self::builder().start()
    }

    /// Returns a builder for a loop thread with options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// let thread = LoopThread::builder().name("background").start()?;
    /// let name = thread.run(|| async { std::thread::current().name().map(str::to_owned) });
    /// assert_eq!(name?.as_deref(), Some("background"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> LoopThreadBuilder {
        LoopThreadBuilder {
            name: "asyncio_loop".to_owned(),
            make: Box::new(EventLoop::new),
            host: None,
        }
    }

    /// Returns the loop's handle for other threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// let thread = LoopThread::start()?;
    /// let handle = thread.handle().clone();
    /// thread.stop();
    /// assert!(handle.is_closed());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[must_use]
    pub fn handle(&self) -> &LoopHandle {
        &self.handle
    }

    /// Runs a future on the loop and blocks this thread until it is done. See
    /// [`run_coroutine_threadsafe`].
    ///
    /// # Errors
    ///
    /// [`JobError::Panicked`] if the future panics, [`JobError::Cancelled`] if its task is
    /// cancelled, [`JobError::WouldDeadlock`] on the loop's own thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// assert_eq!(LoopThread::start()?.run(|| async { 6 * 7 })?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run<F, Fut>(&self, make: F) -> Result<Fut::Output, JobError>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        run_blocking(&self.handle, make)
    }

    /// Runs a future on the loop, and returns at once. See [`run_coroutine_threadsafe`].
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// let thread = LoopThread::start()?;
    /// let answers = [1, 2, 3].map(|number| thread.submit(move || async move { number * 2 }));
    /// let sum: i32 = answers.iter().map(|answer| answer.result(None).unwrap()).sum();
    /// assert_eq!(sum, 12);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn submit<F, Fut>(&self, make: F) -> ThreadFuture<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        run_coroutine_threadsafe(&self.handle, make)
    }

    /// Cancels all tasks of the loop, waits for them, closes the loop and joins the thread.
    ///
    /// On the loop's own thread the call only requests this: the loop ends when the caller has
    /// returned to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopThread;
    ///
    /// let thread = LoopThread::start()?;
    /// let never = thread.submit(std::future::pending::<()>);
    /// thread.stop();
    /// assert!(never.result(None).unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        if self.handle.is_loop_thread() {
            return;
        }
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic of the thread.
            let _ = thread.join();
        }
    }
}

type MakeLoop = Box<dyn FnOnce() -> io::Result<EventLoop> + Send>;
type MakeHost = Box<dyn FnOnce() -> io::Result<Rc<dyn Host>> + Send>;

/// The options of a [`LoopThread`].
#[must_use = "call start"]
pub struct LoopThreadBuilder {
    name: String,
    make: MakeLoop,
    host: Option<MakeHost>,
}

impl LoopThreadBuilder {
    /// Sets the thread's name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Makes the loop by `make`, which is called on the new thread.
    pub fn loop_factory(
        mut self,
        make: impl FnOnce() -> io::Result<EventLoop> + Send + 'static,
    ) -> Self {
        self.make = Box::new(make);
        self
    }

    /// Runs the loop inside another one: as the guest of the host that `make` returns, on the new
    /// thread (see [`LoopRef::set_host`](asyncio_loop::LoopRef::set_host)).
    pub fn host(
        mut self,
        make: impl FnOnce() -> io::Result<Rc<dyn Host>> + Send + 'static,
    ) -> Self {
        self.host = Some(Box::new(make));
        self
    }

    /// Starts the thread, and returns when its loop runs.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread, or the loop or its host cannot be made.
    pub fn start(self) -> io::Result<LoopThread> {
        let (stop, stopped) = ThreadPromise::new();
        let (started, told) = ThreadPromise::new();
        let (make, host) = (self.make, self.host);
        let make: MakeLoop = Box::new(move || {
            let event_loop = make()?;
            if let Some(host) = host {
                event_loop.set_host(host()?).map_err(io::Error::other)?;
            }
            Ok(event_loop)
        });
        let thread = thread::Builder::new()
            .name(self.name)
            .spawn(move || run_loop(make, stopped, started))?;
        match told.result(None) {
            Ok(Ok(handle)) => Ok(LoopThread { handle, stop: Some(stop), thread: Some(thread) }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::Error::other("the loop's factory panicked")),
        }
    }
}

impl fmt::Debug for LoopThreadBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopThreadBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The body of the thread.
fn run_loop(
    make: MakeLoop,
    stopped: ThreadFuture<()>,
    started: ThreadPromise<io::Result<LoopHandle>>,
) {
    let event_loop = match make() {
        Ok(event_loop) => event_loop,
        Err(error) => {
            started.set_result(Err(error));
            return;
        }
    };
    Runner::builder().loop_factory(move || Ok(event_loop)).run(async move {
        started.set_result(Ok(running_loop().handle()));
        // The channel never carries a value: its end is dropped.
        let _ = stopped.await;
    });
}
