//! Snapshots of tasks.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::wait_info::WaitInfo;
use crate::clock::LoopTime;
use crate::event_loop::LoopRef;
use crate::kernel::TaskRef;

/// A snapshot of a task. It holds no reference to the task, and can be sent to another thread.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number, unique in the process.
    pub id: u64,
    /// Its name: the given one, or `Task-` and its number.
    pub name: String,
    /// The Rust type of its future; for an `async` block or function the path of the function.
    pub future: &'static str,
    /// Whether it runs, is ready, waits, or has ended.
    pub state: TaskState,
    /// Whether it has been asked to end, and has not ended.
    pub is_cancelling: bool,
    /// The place where it was made. For client tasks of a server, the call that made the server.
    pub created_at: &'static Location<'static>,
    /// The time at which it was made, in hundredths of a second.
    pub created: LoopTime,
    /// The time of this snapshot. [`age`](Self::age) and [`waited`](Self::waited) count to it.
    pub now: LoopTime,
    /// The number of the task that made it; `None` if a callback or a hidden task did. That task
    /// may have ended.
    pub parent: Option<u64>,
    /// How often it was polled without ending. `u32::MAX` stands for more.
    pub polls: u32,
    /// What it waits for. `None` if it does not wait, or if its future has not noted it, as futures
    /// of other crates do not.
    pub wait: Option<WaitInfo>,
    /// The numbers of the tasks that await it, in ascending order.
    pub awaited_by: Vec<u64>,
}

/// The state of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TaskState {
    /// It is being polled.
    Running,
    /// It will be polled when its turn comes.
    Ready,
    /// It waits to be woken.
    Waiting,
    /// It has returned.
    Finished,
    /// It was cancelled.
    Cancelled,
    /// It has panicked.
    Panicked,
}

impl TaskState {
    /// The word for it, such as `waiting`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Ready => "ready",
            Self::Waiting => "waiting",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
            Self::Panicked => "panicked",
        }
    }

    fn of(task: &TaskRef) -> Self {
        match () {
            () if task.is_cancelled() => Self::Cancelled,
            () if task.is_panicked() => Self::Panicked,
            () if task.is_done() => Self::Finished,
            () if task.is_running() => Self::Running,
            () if task.is_scheduled() => Self::Ready,
            () => Self::Waiting,
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl TaskInfo {
    /// The time since it was made, in hundredths of a second.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.now - self.created
    }

    /// The time for which it has been waiting, in hundredths of a second; zero if it is not known
    /// to wait.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.wait.as_ref().map_or(Duration::ZERO, |wait| self.now - wait.since)
    }

    /// The path of the function whose future it runs: [`future`](Self::future) without the marks of
    /// closures at its end.
    #[must_use]
    pub fn function(&self) -> &'static str {
        let mut path = self.future;
        while let Some(outer) = path.strip_suffix("::{{closure}}") {
            path = outer;
        }
        path
    }
}

impl TaskRef {
    /// Takes a snapshot of the task.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::inspect::TaskState;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {}, TaskOptions::new().name("worker"))?;
    /// let info = task.task().info();
    /// assert_eq!((info.name.as_str(), info.state, info.polls), ("worker", TaskState::Ready, 0));
    /// assert_eq!(info.created_at.file(), file!());
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(task.task().info().state, TaskState::Finished);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn info(&self) -> TaskInfo {
        let event_loop = self.event_loop();
        let now = event_loop.as_ref().map_or(LoopTime::default(), |event_loop| event_loop.time());
        self.info_at(event_loop.as_ref(), now)
    }

    /// As [`info`](Self::info), for a caller that reads many tasks: it passes the loop of the task
    /// (`None` if that is gone) and its time, so that they are looked up once.
    #[doc(hidden)]
    #[must_use]
    pub fn info_at(&self, event_loop: Option<&LoopRef>, now: LoopTime) -> TaskInfo {
        let look = self.look();
        let since = look.since.before(now);
        TaskInfo {
            id: self.id(),
            name: self.name_text(),
            future: self.type_name(),
            state: TaskState::of(self),
            is_cancelling: self.is_ending() && !self.is_done(),
            created_at: self.site(),
            created: look.created.before(now),
            now,
            parent: look.parent,
            polls: look.polls,
            wait: look.wait.map(|wait| WaitInfo::new(wait, since, event_loop)),
            awaited_by: self.awaiters(),
        }
    }
}
