//! The tree: which node is inside which.
//!
//! This is a data structure only. It knows neither requests nor tasks, and calls no code but its
//! own. The rules:
//!
//! 1. A node has at most one parent, and leads outwards to it ([`Node::parent`],
//!    [`Node::outwards`]).
//! 2. [`Node::put`] lists a node in its parent, and the parent leads inwards to it
//!    ([`Node::inside`]). [`Node::hang`] does not: the parent does not know the node. (The tree of
//!    a child hangs in its group, which asks the child's task instead.)
//! 3. [`Node::detach`] takes a node out of its parent's list. The node still leads outwards, until
//!    it is put elsewhere or cleared.
//! 4. [`Node::clear`] ends a node for good. The nodes inside it go on without a parent.
//! 5. `put` and `detach` take constant time. The order in a list means nothing.
//!
//! Two nodes that are put into each other make a cycle, in which walks outwards do not end; scopes
//! follow the nesting of futures, which has no cycles.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::{ControlFlow, Deref};
use std::rc::Rc;

/// A node and its value, which it dereferences to.
pub(crate) struct Node<T> {
    value: T,
    parent: RefCell<Option<Rc<Self>>>,
    inside: RefCell<Vec<Rc<Self>>>,
    /// The index in the list of the parent, if the parent lists it.
    place: Cell<usize>,
    gone: Cell<bool>,
}

impl<T> Node<T> {
    pub(super) fn new(value: T) -> Rc<Self> {
        Rc::new(Self {
            value,
            parent: RefCell::new(None),
            inside: RefCell::default(),
            place: Cell::new(0),
            gone: Cell::new(false),
        })
    }

    pub(crate) fn parent(&self) -> Option<Rc<Self>> {
        self.parent.borrow().clone()
    }

    /// Whether `parent` is the parent; `None` stands for no parent.
    pub(super) fn is_in(&self, parent: Option<&Rc<Self>>) -> bool {
        self.parent.borrow().as_ref().map(Rc::as_ptr) == parent.map(Rc::as_ptr)
    }

    /// Calls `visit` with the nodes around this one, the innermost first, until it breaks.
    pub(super) fn outwards<R>(
        &self,
        mut visit: impl FnMut(&Rc<Self>) -> ControlFlow<R>,
    ) -> Option<R> {
        let mut next = self.parent();
        while let Some(node) = next {
            if let ControlFlow::Break(value) = visit(&node) {
                return Some(value);
            }
            next = node.parent();
        }
        None
    }

    /// The innermost of the nodes around this one for which `is_it` returns true.
    pub(super) fn find_outwards(&self, is_it: impl Fn(&Self) -> bool) -> Option<Rc<Self>> {
        self.outwards(|node| match is_it(node) {
            true => ControlFlow::Break(Rc::clone(node)),
            false => ControlFlow::Continue(()),
        })
    }

    /// The nodes directly inside, as of now.
    pub(super) fn inside(&self) -> Vec<Rc<Self>> {
        self.inside.borrow().clone()
    }

    /// Calls `f`, which leaves the tree as it is, with the nodes directly inside.
    pub(super) fn for_each_inside(&self, f: impl FnMut(&Rc<Self>)) {
        self.inside.borrow().iter().for_each(f);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inside.borrow().is_empty()
    }

    /// Whether [`clear`](Self::clear) was called.
    pub(super) fn is_cleared(&self) -> bool {
        self.gone.get()
    }

    /// Puts a detached node into `parent`, which lists it.
    pub(super) fn put(self: &Rc<Self>, parent: Option<Rc<Self>>) {
        if let Some(parent) = &parent {
            let mut list = parent.inside.borrow_mut();
            self.place.set(list.len());
            list.push(Rc::clone(self));
        }
        let old = self.parent.replace(parent);
        drop(old);
    }

    /// Makes a node lead outwards to `parent`, which does not list it.
    pub(super) fn hang(&self, parent: Option<Rc<Self>>) {
        let old = self.parent.replace(parent);
        drop(old);
    }

    /// Takes the node out of its parent's list.
    pub(super) fn detach(&self) {
        let parent = self.parent.borrow();
        let Some(parent) = &*parent else { return };
        let mut list = parent.inside.borrow_mut();
        let place = self.place.get();
        if list.get(place).is_none_or(|node| !std::ptr::eq(Rc::as_ptr(node), self)) {
            return;
        }
        let removed = list.swap_remove(place);
        if let Some(moved) = list.get(place) {
            moved.place.set(place);
        }
        drop((list, removed));
    }

    /// Ends the node, and returns the nodes that were inside.
    pub(super) fn clear(&self) -> Vec<Rc<Self>> {
        self.gone.set(true);
        self.detach();
        drop(self.parent.take());
        let orphans = self.inside.take();
        for orphan in &orphans {
            drop(orphan.parent.take());
        }
        orphans
    }
}

impl<T: fmt::Debug> fmt::Debug for Node<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T> Deref for Node<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Name = Node<&'static str>;

    fn outwards(node: &Name) -> Vec<&'static str> {
        let mut names = Vec::new();
        node.outwards(|node| {
            names.push(***node);
            ControlFlow::<()>::Continue(())
        });
        names
    }

    fn names(nodes: impl IntoIterator<Item = Rc<Name>>) -> Vec<&'static str> {
        nodes.into_iter().map(|node| **node).collect()
    }

    fn put(name: &'static str, parent: &Rc<Name>) -> Rc<Name> {
        let node = Node::new(name);
        node.put(Some(Rc::clone(parent)));
        node
    }

    #[test]
    fn nodes_lead_outwards_and_inwards() {
        let task = Node::new("task");
        let timeout = put("timeout", &task);
        let catch = put("catch", &timeout);
        assert_eq!(outwards(&catch), ["timeout", "task"]);
        assert_eq!(names(task.inside()), ["timeout"]);
        assert!(catch.is_in(Some(&timeout)) && !catch.is_in(None));
        assert!(task.is_in(None) && task.parent().is_none());
        let found = catch.find_outwards(|node| **node == "task");
        assert!(found.is_some_and(|found| Rc::ptr_eq(&found, &task)));
    }

    #[test]
    fn a_node_that_hangs_is_not_listed() {
        let (group, child) = (Node::new("group"), Node::new("child"));
        child.hang(Some(Rc::clone(&group)));
        assert_eq!(outwards(&child), ["group"]);
        assert!(group.inside().is_empty());
        child.detach();
        assert_eq!(outwards(&child), ["group"]);
    }

    #[test]
    fn any_node_is_taken_out_of_a_list() {
        let task = Node::new("task");
        let nodes: Vec<_> = ["a", "b", "c", "d"].map(|name| put(name, &task)).into();
        for (node, left) in nodes.iter().zip([&["b", "c", "d"][..], &["c", "d"], &["d"], &[]]) {
            node.detach();
            let mut inside = names(task.inside());
            inside.sort_unstable();
            assert_eq!(inside, left);
            node.detach();
            assert_eq!(task.inside().len(), left.len(), "a second time changes nothing");
            assert_eq!(outwards(node), ["task"], "the way outwards stays");
        }
    }

    #[test]
    fn a_node_is_put_elsewhere() {
        let (here, there) = (Node::new("here"), Node::new("there"));
        let node = put("node", &here);
        let inner = put("inner", &node);
        node.detach();
        node.put(Some(Rc::clone(&there)));
        assert!(here.is_empty());
        assert_eq!(outwards(&inner), ["node", "there"]);
    }

    #[test]
    fn what_is_inside_a_cleared_node_has_no_parent() {
        let task = Node::new("task");
        let outer = put("outer", &task);
        let (one, two) = (put("one", &outer), put("two", &outer));
        assert_eq!(names(outer.clear()), ["one", "two"]);
        assert!(outer.is_cleared() && outer.is_in(None) && task.inside().is_empty());
        assert!(one.is_in(None) && two.is_in(None) && !one.is_cleared());
        assert!(outer.clear().is_empty());
        assert_eq!(Rc::strong_count(&one), 1);
    }
}
