//! The end of a loop: its tasks are cancelled and awaited, then its executor's jobs.

use std::cell::Cell;
use std::fmt;
use std::future::IntoFuture;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{CancelReason, ErrorContext, LoopRef, LoopTime, TaskRef};

use crate::cancel::cancel_all;
use crate::promise::Promise;
use crate::timeout::timeout;

/// How long to wait for cancelled tasks.
pub(crate) const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// How long to wait for jobs of the default executor.
pub(crate) const EXECUTOR_TIMEOUT: Duration = Duration::from_secs(300);

/// Cancels every other task of a loop, and waits for them and for the jobs of the default executor,
/// as [`run`](crate::run) does at its end. Afterwards the loop can be closed.
///
/// Meant for programs that drive a loop themselves, as the guest of another one. Await it in a task
/// that no other task awaits.
///
/// # Cancel safety
///
/// Tasks that were cancelled stay cancelled; a second call continues the wait.
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
/// use asyncio_task::{TaskLoopExt, shutdown_loop, sleep};
/// use std::time::Duration;
///
/// let event_loop = EventLoop::new()?;
/// let worker = event_loop.create_task(sleep(Duration::from_secs(3600)))?;
/// event_loop.run_until_complete(shutdown_loop(&event_loop))?;
/// assert!(worker.is_cancelled());
/// event_loop.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn shutdown_loop(event_loop: &LoopRef) -> ShutdownLoop {
    ShutdownLoop {
        event_loop: event_loop.clone(),
        grace_period: GRACE_PERIOD,
        executor_timeout: EXECUTOR_TIMEOUT,
    }
}

/// The options of [`shutdown_loop`]; await it.
#[must_use = "await it"]
pub struct ShutdownLoop {
    event_loop: LoopRef,
    grace_period: Duration,
    executor_timeout: Duration,
}

impl ShutdownLoop {
    /// How long to wait for the cancelled tasks. Then they are reported to the exception handler
    /// and left behind. Default: 10 seconds.
    pub fn grace_period(mut self, limit: Duration) -> Self {
        self.grace_period = limit;
        self
    }

    /// How long to wait for jobs of the default executor. Then they are reported to the exception
    /// handler and left behind. Default: 5 minutes. With virtual time there is no limit.
    pub fn executor_timeout(mut self, limit: Duration) -> Self {
        self.executor_timeout = limit;
        self
    }

    async fn run(self) {
        let ended = self.cancel_tasks().await;
        end_jobs(&self.event_loop, self.executor_timeout).await;
        if ended {
            // Jobs that ended meanwhile may have made new tasks.
            self.cancel_tasks().await;
        }
    }

    async fn cancel_tasks(&self) -> bool {
        let mut leftovers = Leftovers::new(&self.event_loop, self.grace_period);
        while let Some(wait) = leftovers.ask() {
            if !wait.await && leftovers.give_up() {
                return false;
            }
        }
        true
    }
}

impl IntoFuture for ShutdownLoop {
    type Output = ();
    type IntoFuture = Pin<Box<dyn Future<Output = ()>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for ShutdownLoop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShutdownLoop").finish_non_exhaustive()
    }
}

/// Waits for the jobs of the default executor, and reports those that take too long.
pub(crate) async fn end_jobs(event_loop: &LoopRef, limit: Duration) {
    let limit = (!event_loop.is_virtual_time()).then_some(limit);
    if let Err(stuck) = event_loop.shutdown_default_executor(limit).await {
        let message = "the loop was closed while jobs were running";
        event_loop.report(&ErrorContext::new(message).with_error(stuck));
    }
}

/// The remaining tasks of a loop, which are cancelled and awaited until a deadline. Tasks that are
/// made meanwhile are cancelled as well, whether the others end or not: the loop is searched for
/// them after one millisecond, then after two, and so on.
pub(crate) struct Leftovers {
    event_loop: LoopRef,
    deadline: LoopTime,
    /// The youngest task that was cancelled.
    asked: u64,
    pause: Duration,
    /// The current wait is the last one.
    is_last: bool,
}

impl Leftovers {
    pub(crate) fn new(event_loop: &LoopRef, grace: Duration) -> Self {
        Self {
            event_loop: event_loop.clone(),
            deadline: event_loop.time() + grace,
            asked: 0,
            pause: Duration::from_millis(1),
            is_last: false,
        }
    }

    /// Cancels the new tasks; `None` if no tasks remain. The future waits a while, and returns
    /// whether all tasks have ended.
    pub(crate) fn ask(&mut self) -> Option<impl Future<Output = bool> + use<>> {
        let tasks = self.tasks();
        if tasks.is_empty() {
            return None;
        }
        let ended = all_ended(&self.event_loop, &tasks);
        let asked = self.asked;
        let new = tasks.iter().filter(|task| task.id() > asked);
        cancel_all(new.cloned(), &CancelReason::default().at(Location::caller()));
        self.asked = tasks.iter().map(TaskRef::id).max().unwrap_or(asked);
        let left = self.deadline - self.event_loop.time();
        self.is_last = left <= self.pause;
        let wait = timeout(left.min(self.pause), ended);
        Some(async move { wait.await.is_ok() })
    }

    /// Called after a wait in which not all tasks have ended. Returns whether the time is over; if
    /// so, reports the remaining tasks.
    pub(crate) fn give_up(&mut self) -> bool {
        if self.is_last {
            self.report();
        } else {
            self.pause *= 2;
        }
        self.is_last
    }

    /// The tasks of the loop, without the calling one, and without children of groups, which end
    /// with their parents.
    fn tasks(&self) -> Vec<TaskRef> {
        let this = self.event_loop.current_task();
        let mut tasks = self.event_loop.all_tasks();
        tasks.retain(|task| !task.is_child() && Some(task) != this.as_ref());
        tasks
    }

    /// Called after a wait that was stopped. Returns whether the time is over, as `give_up` does.
    pub(crate) fn is_late(&self) -> bool {
        let is_late = self.event_loop.time() >= self.deadline;
        if is_late {
            self.report();
        }
        is_late
    }

    /// Reports the tasks that did not end within the grace period.
    fn report(&self) {
        for task in self.tasks() {
            let message = "a cancelled task did not end within the grace period, and is dropped";
            self.event_loop.report(&ErrorContext::new(message).with_task(task));
        }
    }
}

/// A promise that is set when all tasks have ended.
fn all_ended(event_loop: &LoopRef, tasks: &[TaskRef]) -> Promise<()> {
    let ended = Promise::of(event_loop);
    let left = Rc::new(Cell::new(tasks.len()));
    for task in tasks {
        let (ended, left) = (ended.clone(), Rc::clone(&left));
        task.on_done(event_loop.callback(move || {
            left.set(left.get() - 1);
            if left.get() == 0 {
                let _ = ended.set_result(());
            }
        }));
    }
    ended
}
