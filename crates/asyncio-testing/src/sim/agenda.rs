//! The future events of the network, in order of time.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt;

use asyncio_loop::LoopTime;

/// Events ordered by time. Events with equal times keep the order in which they were added.
#[derive(Default)]
pub(super) struct Agenda {
    entries: RefCell<BinaryHeap<Entry>>,
    count: Cell<u64>,
}

struct Entry {
    when: LoopTime,
    number: u64,
    event: Box<dyn FnOnce()>,
}

impl Agenda {
    pub(super) fn at(&self, when: LoopTime, event: impl FnOnce() + 'static) {
        let number = self.count.get();
        self.count.set(number + 1);
        self.entries.borrow_mut().push(Entry { when, number, event: Box::new(event) });
    }

    /// The time of the next event.
    pub(super) fn next(&self) -> Option<LoopTime> {
        self.entries.borrow().peek().map(|entry| entry.when)
    }

    /// An event that is due.
    pub(super) fn take_due(&self, now: LoopTime) -> Option<Box<dyn FnOnce()>> {
        let mut entries = self.entries.borrow_mut();
        let is_due = entries.peek().is_some_and(|entry| entry.when <= now);
        if is_due { entries.pop().map(|entry| entry.event) } else { None }
    }

    pub(super) fn clear(&self) {
        let entries = self.entries.take();
        drop(entries);
    }
}

impl Ord for Entry {
    /// The earliest event is the greatest, since the heap returns the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.when, other.number).cmp(&(self.when, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl fmt::Debug for Agenda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agenda").field("next", &self.next()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn events_come_in_order_of_time_and_equal_ones_as_they_were_made() {
        let (agenda, seen) = (Agenda::default(), Rc::new(RefCell::new(Vec::new())));
        for (when, name) in [(2, "c"), (1, "a"), (2, "d"), (1, "b"), (3, "late")] {
            let seen = Rc::clone(&seen);
            agenda.at(LoopTime::from_nanos(when), move || seen.borrow_mut().push(name));
        }
        while let Some(event) = agenda.take_due(LoopTime::from_nanos(2)) {
            event();
        }
        assert_eq!(*seen.borrow(), ["a", "b", "c", "d"]);
        assert_eq!(agenda.next(), Some(LoopTime::from_nanos(3)));
    }
}
