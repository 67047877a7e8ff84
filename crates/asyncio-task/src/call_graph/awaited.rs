//! Awaitable types (tasks and promises), and await edges that a user's own primitive adds.

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{CallbackRef, TaskRef, try_running_loop};

use super::{CallGraph, Capture, Subject};
use crate::promise::Promise;
use crate::task::Task;

/// Types that have a [`CallGraph`]: tasks and promises.
pub trait Awaitable {
    /// See [`CallGraph::of`].
    #[doc(hidden)]
    fn capture(&self) -> CallGraph;
}

impl Awaitable for TaskRef {
    fn capture(&self) -> CallGraph {
        Capture::of(self.event_loop().as_ref()).task(self)
    }
}

impl<T> Awaitable for Task<T> {
    fn capture(&self) -> CallGraph {
        self.task_ref().capture()
    }
}

impl<T> Awaitable for Promise<T> {
    fn capture(&self) -> CallGraph {
        let awaited_by = Capture::of(Some(self.event_loop())).tasks(&self.awaiters());
        let subject = Subject::Promise { id: self.address(), created_at: self.site() };
        CallGraph { subject, call_stack: Vec::new(), awaited_by }
    }
}

/// Records that the current task awaits `task`, until the returned edge is dropped. Meant for your
/// own primitives that wait for a task by other means than its handle.
///
/// The call does nothing outside a task, or if `task` has ended.
///
/// # From asyncio
///
/// `asyncio.future_add_to_awaited_by` and `future_discard_from_awaited_by`.
///
/// # Examples
///
/// ```
/// use asyncio_task::{await_edge, create_task, run};
///
/// run(async {
///     let task = create_task(std::future::pending::<()>());
///     let edge = await_edge(&task.task_ref());
///     assert_eq!(task.task_ref().info().awaited_by.len(), 1);
///     drop(edge);
///     assert!(task.task_ref().info().awaited_by.is_empty());
/// });
/// ```
#[must_use = "the edge ends when this is dropped"]
pub fn await_edge(task: &TaskRef) -> AwaitEdge {
    let awaiter = try_running_loop().ok().and_then(|event_loop| {
        let awaiter = event_loop.current_task()?.id();
        Some((awaiter, event_loop.callback(|| ())))
    });
    if let Some((awaiter, callback)) = &awaiter {
        task.on_done_for(callback.clone(), Some(*awaiter));
    }
    AwaitEdge { task: task.clone(), callback: awaiter.map(|(_, callback)| callback) }
}

/// See [`await_edge`].
#[derive(Debug)]
pub struct AwaitEdge {
    task: TaskRef,
    callback: Option<CallbackRef>,
}

impl Drop for AwaitEdge {
    fn drop(&mut self) {
        if let Some(callback) = &self.callback {
            self.task.remove_on_done(callback);
        }
    }
}
