//! Awaits of tasks that no request has reached.
//!
//! Most awaits end without a request. So an await gets no node at first, but an entry in a list of
//! the node that encloses it. The delivery makes nodes of the entries when it looks for handlers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

use asyncio_loop::LoopWaker;
use slab::Slab;

use super::scope::{Kind, Node, Scope, Task};

/// The awaits directly inside one node.
pub(super) struct Awaits<T> {
    entries: RefCell<Slab<Entry<T>>>,
    /// Whether there may be entries without a node.
    fresh: Cell<bool>,
}

enum Entry<T> {
    Fresh(T, Kind),
    Made(Rc<Node<T>>),
}

impl<T> Awaits<T> {
    pub(super) fn new() -> Self {
        Self { entries: RefCell::new(Slab::new()), fresh: Cell::new(false) }
    }

    /// Whether the entry has a node.
    pub(super) fn is_made(&self, place: usize) -> bool {
        matches!(self.entries.borrow()[place], Entry::Made(_))
    }

    /// Frees a place of the list. Returns the node, if one was made.
    pub(super) fn remove(&self, place: usize) -> Option<Rc<Node<T>>> {
        // The task is dropped with nothing borrowed: it may hold the last reference to values of a
        // user, whose destructors run then.
        let entry = self.entries.borrow_mut().remove(place);
        if let Entry::Made(node) = entry { Some(node) } else { None }
    }
}

impl<T: Task> Node<T> {
    /// Lists an await, and returns its place.
    pub(super) fn add_await(&self, task: T, kind: Kind) -> usize {
        if self.is_asking() {
            self.asking.changed.set(true);
        }
        if !self.is_boundary() {
            self.mark_askers();
        }
        self.awaits.fresh.set(true);
        self.awaits.entries.borrow_mut().insert(Entry::Fresh(task, kind))
    }

    /// Makes a node for each await that has none.
    #[inline]
    pub(super) fn make_links(self: &Rc<Self>) {
        if self.awaits.fresh.replace(false) {
            let mut entries = self.awaits.entries.borrow_mut();
            entries.iter_mut().for_each(|(_, entry)| self.make_link(entry));
        }
    }

    #[cold]
    fn make_link(self: &Rc<Self>, entry: &mut Entry<T>) {
        if let Entry::Fresh(task, kind) = entry {
            let node = Self::new(Scope::new(*kind, Some(task.clone())));
            // The kernel wakes the awaiter when the task ends, whichever waker it has. This flag
            // says that the enclosing task may have to check by itself.
            *node.waker.borrow_mut() = Some(LoopWaker::from_waker(Waker::noop()));
            node.put(Some(Rc::clone(self)));
            *entry = Entry::Made(node);
        }
    }
}
