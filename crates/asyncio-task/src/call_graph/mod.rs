//! The call graph of a task or a promise: which tasks await it, and which tasks await those.

mod awaited;
mod show;

use std::collections::HashMap;
use std::panic::Location;

use asyncio_loop::inspect::{Frame, TaskInfo};
use asyncio_loop::{LoopRef, NoRunningLoop, TaskRef, try_running_loop};

pub use self::awaited::{AwaitEdge, Awaitable, await_edge};
pub use self::show::{format_call_graph, print_call_graph};

/// A task or a promise with its stack, and all tasks that await it, directly or through other
/// tasks.
///
/// Its `Display` is the printed form: a header, the stack, and the awaiting tasks indented by four.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CallGraph {
    /// The task or promise that the graph describes.
    pub subject: Subject,
    /// The stack, the newest frame first. A promise has none.
    pub call_stack: Vec<Frame>,
    /// The graphs of the tasks that await it. In a cycle of awaits the first task appears once
    /// more, without its stack and its awaiting tasks.
    pub awaited_by: Vec<CallGraph>,
}

/// The task or promise that a [`CallGraph`] describes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Subject {
    /// A task.
    Task(Box<TaskInfo>),
    /// A promise.
    Promise {
        /// A number that is unique among the promises that exist now.
        id: usize,
        /// The place in the source where the promise was made.
        created_at: &'static Location<'static>,
    },
}

/// The graph of the current task. `None` in a callback, where there is no current task.
///
/// The newest frame is the place of this call.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{capture_call_graph, create_task, run};
///
/// run(async {
///     let inner = create_task(async { capture_call_graph().unwrap().unwrap() });
///     let graph = inner.await.unwrap();
///     assert_eq!(graph.call_stack[0].location.file(), file!());
///     assert_eq!(graph.awaited_by.len(), 1, "the main task awaits it");
/// });
/// ```
#[track_caller]
pub fn capture_call_graph() -> Result<Option<CallGraph>, NoRunningLoop> {
    let (event_loop, site) = (try_running_loop()?, Location::caller());
    Ok(event_loop.current_task().map(|task| {
        let mut graph = Capture::of(Some(&event_loop)).task(&task);
        graph.call_stack.insert(0, Frame::plain(site));
        graph
    }))
}

impl CallGraph {
    /// The graph of a task or of a promise. The call works inside and outside a running loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{CallGraph, create_future, create_task, run, yield_now};
    ///
    /// run(async {
    ///     let promise = create_future::<()>();
    ///     let waiter = promise.clone();
    ///     let _task = create_task(async move { waiter.await });
    ///     yield_now().await;
    ///     let graph = CallGraph::of(&promise);
    ///     assert!(graph.call_stack.is_empty());
    ///     assert_eq!(graph.awaited_by.len(), 1);
    /// });
    /// ```
    #[must_use]
    pub fn of(subject: &impl Awaitable) -> Self {
        subject.capture()
    }

    /// Skips the newest `depth` frames of the stack of this graph's own task. The stacks of the
    /// awaiting tasks stay whole.
    #[must_use]
    pub fn depth(mut self, depth: usize) -> Self {
        self.call_stack.drain(..depth.min(self.call_stack.len()));
        self
    }

    /// Keeps the `limit` newest frames of each stack, or the `-limit` oldest if `limit` is
    /// negative.
    #[must_use]
    pub fn limit(mut self, limit: isize) -> Self {
        let kept = limit.unsigned_abs().min(self.call_stack.len());
        if limit < 0 {
            self.call_stack.drain(..self.call_stack.len() - kept);
        } else {
            self.call_stack.truncate(kept);
        }
        self.awaited_by = self.awaited_by.into_iter().map(|graph| graph.limit(limit)).collect();
        self
    }
}

/// Makes graphs of the tasks of one loop.
struct Capture {
    tasks: HashMap<u64, TaskRef>,
    /// The tasks on the path from the subject to the task whose graph is being made.
    path: Vec<u64>,
}

impl Capture {
    fn of(event_loop: Option<&LoopRef>) -> Self {
        let tasks = event_loop.map(LoopRef::all_tasks).unwrap_or_default();
        let tasks = tasks.into_iter().map(|task| (task.id(), task)).collect();
        Self { tasks, path: Vec::new() }
    }

    fn task(&mut self, task: &TaskRef) -> CallGraph {
        let info = task.info();
        let mut call_stack = info.stack();
        call_stack.reverse();
        self.path.push(info.id);
        let awaited_by = self.tasks(&info.awaited_by);
        self.path.pop();
        CallGraph { subject: Subject::Task(Box::new(info)), call_stack, awaited_by }
    }

    /// The graphs of these tasks. A task that is already on the path closes a cycle, and is not
    /// followed.
    fn tasks(&mut self, numbers: &[u64]) -> Vec<CallGraph> {
        let mut graphs = Vec::new();
        for number in numbers {
            let Some(task) = self.tasks.get(number).cloned() else { continue };
            graphs.push(if self.path.contains(number) {
                let subject = Subject::Task(Box::new(task.info()));
                CallGraph { subject, call_stack: Vec::new(), awaited_by: Vec::new() }
            } else {
                self.task(&task)
            });
        }
        graphs
    }
}
