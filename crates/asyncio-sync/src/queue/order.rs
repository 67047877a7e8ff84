//! The orders in which queues give their items out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fmt;

use items::Items;

/// The order of a queue: [`Fifo`], [`Lifo`] or [`Priority`]. The trait is sealed.
pub trait Order<T>: Items<T> {}

mod items {
    /// The methods that a queue needs of its order. Private, so that methods can be added.
    pub trait Items<T>: Default {
        /// Whether items that are put later never come out sooner, so that the next items can be
        /// set apart.
        const FIRST_COME: bool;
        /// Whether items are compared, which is code of the user and may panic.
        const COMPARES: bool;
        fn push(&mut self, item: T);
        fn pop(&mut self) -> Option<T>;
        fn count(&self) -> usize;
    }
}

/// First in, first out.
pub struct Fifo<T>(VecDeque<T>);

/// Last in, first out.
pub struct Lifo<T>(Vec<T>);

/// Smallest first. Which of two equal items comes first is not specified.
pub struct Priority<T>(BinaryHeap<Reverse<T>>);

impl<T> Order<T> for Fifo<T> {}
impl<T> Order<T> for Lifo<T> {}
impl<T: Ord> Order<T> for Priority<T> {}

impl<T> Items<T> for Fifo<T> {
    const FIRST_COME: bool = true;
    const COMPARES: bool = false;

    fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop_front()
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T> Items<T> for Lifo<T> {
    const FIRST_COME: bool = false;
    const COMPARES: bool = false;

    fn push(&mut self, item: T) {
        self.0.push(item);
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop()
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T: Ord> Items<T> for Priority<T> {
    const FIRST_COME: bool = false;
    const COMPARES: bool = true;

    fn push(&mut self, item: T) {
        self.0.push(Reverse(item));
    }

    fn pop(&mut self) -> Option<T> {
        self.0.pop().map(|Reverse(item)| item)
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Default for Lifo<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord> Default for Priority<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T> fmt::Debug for Fifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fifo")
    }
}

impl<T> fmt::Debug for Lifo<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lifo")
    }
}

impl<T> fmt::Debug for Priority<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Priority")
    }
}
