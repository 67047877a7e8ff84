//! Awaiting a task, as a handler: a request goes on to the awaited task, and is answered when that
//! has ended.
//!
//! A task that awaits another one outside of every scope has no node for that: the loop's kernel
//! knows whom it awaits, and a node is made if it is cancelled (see `request`). A child of a group does
//! the same, and its group gets a node: else the task around it would not know that there is anybody to
//! ask.

use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Join, Outcome, RawTask, TaskRef};

use super::cancelled::wait_to_be_dropped;
use super::deliver::Work;
use super::node::{
    Answer, Kind, Node, current_root, enclosing, follow_frames, register_group, stands_right,
};

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
                let node = Node::new(kind, Some(task.clone()));
                node.attach(Some(parent));
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
                // What it was passed on to is over, or elsewhere: a handle that was lent to that is
                // awaited once more.
                node.leave();
                return Poll::Ready(outcome);
            }
            node.note(cx);
            wait_to_be_dropped(&node, &node.reason());
            self.node = Some(node);
            return Poll::Pending;
        }
        let asked = node.check_asked();
        if asked && matches!(outcome, Outcome::Cancelled) {
            node.note(cx);
            node.pass();
            wait_to_be_dropped(&node, &node.reason());
            self.node = Some(node);
            return Poll::Pending;
        }
        if asked {
            Work::run(|work| {
                node.detach();
                node.absorb(work);
            });
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
