//! Awaiting a task, as a handler: a request goes on to the awaited task, and is answered when that
//! has ended.
//!
//! A task that awaits another one outside of every scope has no node for the await: the loop's
//! kernel knows the awaited task, and a node is made when the task is cancelled (see `tasks`). A
//! child of a group does the same. Its group gets a node, so that requests to the task around the
//! group reach the child. Every other await is listed by the node around it until a request comes
//! (see `awaits`).

use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::Join;
use asyncio_loop::{Outcome, RawTask, TaskRef};

use super::cancelled::wait_to_be_dropped;
use super::scope::{Answer, Kind};
use super::slot::{
    current_root, enclosing, follow_frames, is_polled, register_group, stands_right,
};
use super::tasks::{Node, run};

/// The place in the tree of one await.
#[derive(Debug, Default)]
pub(crate) struct Link(Place);

#[derive(Debug, Default)]
enum Place {
    /// No place, or one that only the kernel knows.
    #[default]
    Unknown,
    /// In the list of the node around it.
    Listed(Rc<Node>, usize),
    /// The await has a node of its own.
    Node(Rc<Node>),
}

impl Link {
    /// Takes the value of a task that has returned one, if there is nothing to answer.
    #[inline]
    pub(crate) fn take_value<T>(&mut self, raw: &mut RawTask<T>, cx: &Context<'_>) -> Option<T> {
        let has_node = match &self.0 {
            Place::Unknown => false,
            Place::Listed(parent, place) => parent.awaits.is_made(*place),
            Place::Node(_) => true,
        };
        let value = if has_node { None } else { raw.take_value(cx) };
        if value.is_some() {
            self.leave();
        }
        value
    }

    /// Leaves its place in the tree. Returns its node, if it has one.
    fn take_node(&mut self) -> Option<Rc<Node>> {
        match std::mem::take(&mut self.0) {
            Place::Unknown => None,
            Place::Listed(parent, place) => parent.awaits.remove(place),
            Place::Node(node) => Some(node),
        }
    }

    /// Polls the awaited task; stays pending once the request was passed on.
    #[inline]
    #[track_caller]
    pub(crate) fn poll<T>(
        &mut self,
        raw: &mut RawTask<T>,
        kind: impl FnOnce() -> Kind,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<T>> {
        match raw.poll_linked(cx) {
            Join::Ready { outcome, ending: false } if self.is_unknown() => Poll::Ready(outcome),
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
        if matches!(&self.0, Place::Listed(parent, place) if parent.awaits.is_made(*place)) {
            self.0 = self.take_node().map_or(Place::Unknown, Place::Node);
        }
        match &self.0 {
            Place::Node(node) => {
                follow_frames(node);
                node.note(cx);
            }
            Place::Listed(parent, _) if is_polled(parent) => {}
            _ => {
                self.leave();
                let Some(parent) = enclosing(None) else { return };
                let place = parent.add_await(task.clone(), kind);
                self.0 = Place::Listed(parent, place);
            }
        }
    }

    /// Answers the request, if this await was asked.
    #[cold]
    fn finish<T>(
        &mut self,
        task: &TaskRef,
        outcome: Outcome<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Outcome<T>> {
        let node = match &self.0 {
            Place::Unknown => current_root().and_then(|root| root.take_link(task)),
            _ => self.take_node(),
        };
        let Some(node) = node else { return Poll::Ready(outcome) };
        if node.answer.get() == Answer::Passed {
            if !stands_right(&node) {
                // The scope that the request was passed on to has ended or moved: a handle that was
                // lent to it is awaited once more.
                node.leave();
                return Poll::Ready(outcome);
            }
            node.note(cx);
            wait_to_be_dropped(&node, &node.reason());
            self.0 = Place::Node(node);
            return Poll::Pending;
        }
        let asked = node.is_asking();
        if asked && matches!(outcome, Outcome::Cancelled) {
            node.note(cx);
            run(|work| node.pass(work));
            wait_to_be_dropped(&node, &node.reason());
            self.0 = Place::Node(node);
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
    fn is_unknown(&self) -> bool {
        matches!(self.0, Place::Unknown)
    }

    #[inline]
    fn leave(&mut self) {
        if !self.is_unknown() {
            self.leave_tree();
        }
    }

    #[cold]
    fn leave_tree(&mut self) {
        if let Some(node) = self.take_node() {
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
