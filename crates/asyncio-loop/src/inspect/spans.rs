//! A span of the crate tracing for each task.

use std::cell::RefCell;
use std::collections::HashMap;

use tracing::Span;
use tracing::field::Empty;

use crate::event_loop::TaskHooks;
use crate::kernel::TaskRef;

/// Hooks that give each task a span of the crate [tracing]: with the feature `tracing`, a `Runner`
/// adds them to its loop, and [`add_task_hooks`](crate::LoopRef::add_task_hooks) to any other.
///
/// The span has the target `asyncio::task`, the name `task`, the level `INFO`, and the fields `id`,
/// `name`, `function` and `created_at`; `ended` is recorded at its end: `finished`, `cancelled` or
/// `panicked`. Its parent is the span in which the task was made, which for a task that another one
/// has made is the other one's. It is entered while the task is polled, so what the task logs is in
/// it, and it is closed when the task has ended.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_loop::EventLoop;
/// use asyncio_loop::inspect::TaskSpans;
///
/// let event_loop = EventLoop::new()?;
/// event_loop.add_task_hooks(Rc::new(TaskSpans::new()));
/// event_loop.run_until_complete(async {
///     tracing::info!("this is inside of the span of the task");
/// })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct TaskSpans(RefCell<HashMap<u64, Span>>);

impl TaskSpans {
    /// For one loop.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A handle to the span of a task, if it has one.
    fn of(&self, task: &TaskRef) -> Option<Span> {
        self.0.borrow().get(&task.id()).cloned()
    }
}

impl TaskHooks for TaskSpans {
    fn created(&self, task: &TaskRef) {
        let span = tracing::info_span!(
            target: "asyncio::task",
            "task",
            id = task.id(),
            name = task.name().as_str(),
            function = task.type_name(),
            created_at = %task.site(),
            ended = Empty,
        );
        if !span.is_disabled() {
            self.0.borrow_mut().insert(task.id(), span);
        }
    }

    fn poll_begins(&self, task: &TaskRef) {
        if let Some(span) = self.of(task) {
            span.with_subscriber(|(id, subscriber)| subscriber.enter(id));
        }
    }

    fn poll_ends(&self, task: &TaskRef) {
        if let Some(span) = self.of(task) {
            span.with_subscriber(|(id, subscriber)| subscriber.exit(id));
        }
    }

    fn ended(&self, task: &TaskRef) {
        let span = self.0.borrow_mut().remove(&task.id());
        if let Some(span) = span {
            span.record("ended", task.info().state.to_string());
        }
    }
}
