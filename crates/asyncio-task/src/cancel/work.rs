//! Requests and wakes that a change of the tree asks for. They are done when the tree is at rest.

use std::rc::Rc;

use asyncio_loop::CancelReason;

use super::scope::{Node, Task, moment};

/// Requests and wakes to be done when the tree is at rest.
pub(crate) struct Work<T> {
    /// Tasks that are to be asked to end, and the reasons.
    pub(super) requests: Vec<(T, CancelReason)>,
    /// Awaits whose tasks are among the requests.
    pub(super) links: Vec<Rc<Node<T>>>,
    /// Nodes that are to be woken.
    pub(super) wakes: Vec<Rc<Node<T>>>,
    /// The moment that marks the tasks which this request has reached; 0 until there is one.
    since: u64,
    /// The moment at which the first of several requests at once began; 0 if there is only one.
    batch: u64,
}

impl<T> Default for Work<T> {
    fn default() -> Self {
        Self::in_batch(0)
    }
}

impl<T> Work<T> {
    /// Work for one of several requests that are made at once.
    pub(super) fn in_batch(batch: u64) -> Self {
        Self { requests: Vec::new(), links: Vec::new(), wakes: Vec::new(), since: 0, batch }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.links.is_empty() && self.wakes.is_empty()
    }

    /// The moment that marks the tasks which this request reaches.
    pub(super) fn since(&mut self) -> u64 {
        if self.since == 0 {
            self.since = moment();
        }
        self.since
    }
}

impl<T: Task> Work<T> {
    /// Whether this request has reached `task`, which has passed it on to the tasks it awaits.
    pub(super) fn has_reached(&self, task: &T) -> bool {
        self.since != 0 && task.reached_at() == self.since
    }

    /// Whether this request or another one of its batch has reached `task`.
    pub(super) fn has_covered(&self, task: &T) -> bool {
        self.has_reached(task) || self.batch != 0 && task.reached_at() >= self.batch
    }

    pub(super) fn wake(&mut self, node: &Rc<Node<T>>) {
        self.wakes.push(Rc::clone(node));
    }
}
