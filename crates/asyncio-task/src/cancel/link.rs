//! Awaiting a task, as a handler: a request goes on to the awaited task, and is answered when that
//! has ended.
//!
//! A task that awaits another one outside of every scope has no node for the await: the loop's
//! kernel knows the awaited task, and a node is made when the task is cancelled (see `tasks`). A
//! child of a group does the same. Its group gets a node, so that requests to the task around the
//! group reach the child.

use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::Join;
use asyncio_loop::{Outcome, RawTask, TaskRef};

use super::cancelled::wait_to_be_dropped;
use super::scope::{Answer, Kind, Scope};
use super::slot::{current_root, enclosing, follow_frames, register_group, stands_right};
use super::tasks::{Node, run};

/// The place in the tree of one await.
#[derive(Debug, Default)]
pub(crate) struct Link {
    node: Option<Rc<Node>>,
}

impl Link {
    /// Takes the value of a task that has returned one, if there is nothing to answer.
    #[inline]
    pub(crate) fn take_value<T>(&self, raw: &mut RawTask<T>, cx: &Context<'_>) -> Option<T> {
        if self.node.is_none() { raw.take_value(cx) } else { None }
    }

    /// Polls the awaited task; pending for good once the request was passed on.
    #[inline]
    #[track_caller]
    pub(crate) fn poll<T>(
        &mut self,
        raw: &mut RawTask<T>,
        kind: impl FnOnce() -> Kind,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<T>> {
        match raw.poll_linked(cx) {
            Join::Ready { outcome, ending: false } if self.node.is_none() => Poll::Ready(outcome),
            Join::Ready { outcome, .. } => self.finish(raw.task(), outcome, cx),
            Join::Linked => {
                self.leave();
                register_group();
                Poll::Pending
            }
            Join::Noted => {
                self.register(raw.task(), kind(), cx);
                Poll::Pending
            }
        }
    }

    #[cold]
    fn register(&mut self, task: &TaskRef, kind: Kind, cx: &mut Context<'_>) {
        match &self.node {
            Some(node) => follow_frames(node),
            None => {
                let Some(parent) = enclosing(None) else { return };
                let node = Node::new(Scope::new(kind, Some(task.clone())));
                node.enter(Some(parent));
                self.node = Some(node);
            }
        }
        if let Some(node) = &self.node {
            node.note(cx);
        }
    }

    /// Answers, if it was asked.
    #[cold]
    fn finish<T>(
        &mut self,
        task: &TaskRef,
        outcome: Outcome<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<T>> {
        let fast = || current_root().and_then(|root| root.take_link(task));
        let Some(node) = self.node.take().or_else(fast) else { return Poll::Ready(outcome) };
        if node.answer.get() == Answer::Passed {
            if !stands_right(&node) {
                // The scope that the request was passed on to is over, or elsewhere: a handle that
                // was lent to it is awaited once more.
                node.leave();
                return Poll::Ready(outcome);
            }
            node.note(cx);
            wait_to_be_dropped(&node, &node.reason());
            self.node = Some(node);
            return Poll::Pending;
        }
        let asked = node.is_asking();
        if asked && matches!(outcome, Outcome::Cancelled) {
            node.note(cx);
            run(|work| node.pass(work));
            wait_to_be_dropped(&node, &node.reason());
            self.node = Some(node);
            return Poll::Pending;
        }
        if asked {
            node.detach();
            run(|work| node.absorb(work));
        }
        node.leave();
        Poll::Ready(outcome)
    }

    #[inline]
    fn leave(&mut self) {
        if self.node.is_some() {
            self.leave_tree();
        }
    }

    #[cold]
    fn leave_tree(&mut self) {
        if let Some(node) = self.node.take() {
            node.leave();
        }
    }
}

impl Drop for Link {
    #[inline]
    fn drop(&mut self) {
        self.leave();
    }
}
