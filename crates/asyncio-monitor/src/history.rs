//! A limited history of ended tasks.

use std::collections::VecDeque;
use std::panic::Location;
use std::time::Instant;

use asyncio_loop::TaskRef;
use asyncio_loop::inspect::TaskInfo;

/// An ended task.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) info: TaskInfo,
    pub(crate) at: Instant,
    /// The requester of the cancellation, if the task was cancelled.
    pub(crate) request: Option<Request>,
}

/// The last cancellation request of a task.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) message: Option<String>,
    /// The name of the requesting task.
    pub(crate) asked_by: Option<String>,
    pub(crate) site: Option<&'static Location<'static>>,
}

impl Ended {
    /// Creates the entry of a task that ends now.
    pub(crate) fn new(task: &TaskRef) -> Self {
        let reason = task.cancel_reason().filter(|_| task.is_cancelled());
        let request = reason.map(|reason| Request {
            message: reason.message().map(str::to_owned),
            asked_by: reason.asked_by(),
            site: reason.site(),
        });
        Self { info: task.info(), at: Instant::now(), request }
    }
}

/// The last ended tasks.
#[derive(Debug)]
pub(crate) struct History {
    /// The oldest first.
    ended: VecDeque<Ended>,
    limit: usize,
}

impl History {
    pub(crate) fn new(limit: usize) -> Self {
        Self { ended: VecDeque::new(), limit }
    }

    /// Adds a task. Returns the oldest one if there is no more room for it.
    #[must_use]
    pub(crate) fn push(&mut self, ended: Ended) -> Option<Ended> {
        if self.limit == 0 {
            return Some(ended);
        }
        let gone = if self.ended.len() < self.limit { None } else { self.ended.pop_front() };
        self.ended.push_back(ended);
        gone
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter().rev()
    }
}
