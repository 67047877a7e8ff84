//! A loop's executors: `run_in_executor` and the default one.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::calling::calling_loop_is;
use super::{Executor, Job, StuckJobs, ThreadPoolExecutor};
use crate::at_await::at_await;
use crate::event_loop::LoopRef;
use crate::thread_future::{WrapFuture, wrap_future};
use crate::{JobError, LoopWaker, ThreadFuture};

/// The executor that a loop keeps; dropped when the loop is closed, which shuts the executor down
/// without waiting.
#[derive(Default)]
struct DefaultExecutor(RefCell<State>);

#[derive(Default)]
enum State {
    #[default]
    Unused,
    Open(Rc<ThreadPoolExecutor>),
    Shutdown,
}

impl LoopRef {
    /// Runs a blocking function on another thread: one of `executor`'s, or without one of the
    /// default executor's.
    ///
    /// The function is submitted at once; await the result, or [`detach`](WrapFuture::detach) it.
    /// The function does not see the caller's context variables; with `to_thread` it does.
    ///
    /// The result fails with [`JobError::Panicked`] if the function panics, and with
    /// [`JobError::ExecutorShutdown`] if the executor takes no jobs any more. A result that comes
    /// after the loop was closed is dropped.
    ///
    /// # Cancel safety
    ///
    /// Dropping the result cancels the job if it has not started; a running job goes on to its end.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, ThreadPoolExecutor, running_loop};
    ///
    /// let own = ThreadPoolExecutor::default();
    /// let sum = EventLoop::new()?.run_until_complete(async {
    ///     let a = running_loop().run_in_executor(None, || 1);
    ///     let b = running_loop().run_in_executor(Some(&own), || 2);
    ///     Ok::<_, asyncio_loop::JobError>(a.await? + b.await?)
    /// })?;
    /// assert_eq!(sum?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn run_in_executor<F, T>(
        &self,
        executor: Option<&dyn Executor>,
        function: F,
    ) -> WrapFuture<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, future) = self.job(function);
        self.execute(executor, job);
        wrap_future(future)
    }

    /// Makes a job of this loop, which [`calling_loop`](crate::calling_loop) returns inside the
    /// job.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, calling_loop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (job, future) = event_loop.job(|| calling_loop().is_some());
    /// std::thread::spawn(move || job.run());
    /// assert!(future.result(None)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[track_caller]
    pub fn job<F, T>(&self, function: F) -> (Job, ThreadFuture<T>)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let event_loop = self.handle();
        Job::new(move || calling_loop_is(event_loop, function))
    }

    /// Submits an existing job to `executor`, or without one to the default executor.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Job};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let (job, future) = Job::new(|| 6 * 7);
    /// event_loop.execute(None, job);
    /// assert_eq!(event_loop.run_until_complete(future)??, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    pub fn execute(&self, executor: Option<&dyn Executor>, job: Job) {
        if self.is_closed() {
            return job.fail(JobError::LoopClosed);
        }
        if let Some(director) = self.director() {
            return director.execute(self, job);
        }
        match executor {
            Some(executor) => executor.execute(job),
            None => match self.default_executor() {
                Some(executor) => executor.execute(job),
                None => job.fail(JobError::ExecutorShutdown),
            },
        }
    }

    /// Makes `executor` the default executor. The previous one is shut down without waiting, unless
    /// another reference to it exists.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, ThreadPoolExecutor};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_default_executor(ThreadPoolExecutor::builder().max_workers(1).build());
    /// let job = event_loop.run_in_executor(None, || 6 * 7);
    /// assert_eq!(event_loop.run_until_complete(job)?.unwrap(), 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_default_executor(&self, executor: impl Into<Rc<ThreadPoolExecutor>>) {
        let open = State::Open(executor.into());
        let before = self.local::<DefaultExecutor>().0.replace(open);
        drop(before);
    }

    /// Returns the default executor, made at its first use; `None` after
    /// [`shutdown_default_executor`](Self::shutdown_default_executor), or if the loop is closed.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let future = event_loop.default_executor().unwrap().submit(|| 6 * 7);
    /// assert_eq!(future.result(None)?, 42);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn default_executor(&self) -> Option<Rc<ThreadPoolExecutor>> {
        if self.is_closed() {
            return None;
        }
        let local = self.local::<DefaultExecutor>();
        let mut state = local.0.borrow_mut();
        if matches!(*state, State::Unused) {
            *state = State::Open(Rc::new(ThreadPoolExecutor::default()));
        }
        match &*state {
            State::Open(executor) => Some(Rc::clone(executor)),
            _ => None,
        }
    }

    /// Refuses jobs for the default executor from now on, and waits until the submitted jobs have
    /// run and the threads have ended. The loop goes on meanwhile.
    ///
    /// # Errors
    ///
    /// [`StuckJobs`] after `timeout`, with the jobs that still run; they go on. A program that ends
    /// may want to log them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only ends the wait; the executor stays shut down.
    ///
    /// # From asyncio
    ///
    /// asyncio's warning "did not finish joining" is an error here, so that it is not overlooked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, JobError, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let job = running_loop().run_in_executor(None, || 1);
    ///     running_loop().shutdown_default_executor(None).await.unwrap();
    ///     assert_eq!(job.await.unwrap(), 1);
    ///
    ///     let refused = running_loop().run_in_executor(None, || 2).await;
    ///     assert!(matches!(refused, Err(JobError::ExecutorShutdown)));
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown_default_executor(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<(), StuckJobs>> {
        at_await(async move {
            let before = self.local::<DefaultExecutor>().0.replace(State::Shutdown);
            let State::Open(executor) = before else { return Ok(()) };
            if self.ends_within(executor.shutdown(), timeout).await {
                return Ok(());
            }
            Err(executor.stuck_jobs())
        })
    }

    /// Waits for `ended`; false if that takes longer than `timeout`.
    async fn ends_within(&self, ended: ThreadFuture<()>, timeout: Option<Duration>) -> bool {
        let when = timeout.map(|timeout| self.time() + timeout);
        let mut timer = None;
        let mut ended = pin!(ended);
        poll_fn(|cx| {
            if ended.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            if when.is_some_and(|when| self.time() >= when) {
                return Poll::Ready(false);
            }
            timer = when.map(|when| self.wake_at(when, LoopWaker::from_context(cx)));
            Poll::Pending
        })
        .await
    }
}
