//! The newest values of a broadcast channel, each with the number of receivers that have yet to
//! read it.

use std::cell::Cell;
use std::collections::VecDeque;

/// Values are numbered from 0 in the order in which they were sent.
pub(super) struct Ring<T> {
    slots: VecDeque<Slot<T>>,
    /// The number of the first slot.
    oldest: u64,
    capacity: usize,
}

struct Slot<T> {
    /// `None` once every receiver has read it.
    value: Option<T>,
    unread: Cell<usize>,
}

/// The result of reading the value with a given number.
pub(super) enum Read<T> {
    Value(T),
    /// The ring does not have the value any more; this is the oldest number it has.
    Lagged {
        oldest: u64,
    },
    Nothing,
}

impl<T> Ring<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { slots: VecDeque::new(), oldest: 0, capacity }
    }

    /// The number that the next value will have.
    pub(super) fn end(&self) -> u64 {
        self.oldest + self.slots.len() as u64
    }

    /// Adds a value for `receivers` receivers. Returns the value that was removed to make room.
    pub(super) fn push(&mut self, value: T, receivers: usize) -> Option<T> {
        let evicted = if self.slots.len() == self.capacity { self.pop() } else { None };
        self.slots.push_back(Slot { value: Some(value), unread: Cell::new(receivers) });
        evicted
    }

    /// Notes that one more receiver has yet to read everything from `next` on.
    pub(super) fn add_reader(&mut self, next: u64) {
        for slot in self.slots.range(self.index_from(next)..) {
            slot.unread.set(slot.unread.get() + 1);
        }
    }

    /// Notes that a receiver will not read the values from `next` on. Returns the values that no
    /// receiver is going to read.
    pub(super) fn remove_reader(&mut self, next: u64) -> Vec<T> {
        let mut unread = Vec::new();
        let from = self.index_from(next);
        for slot in self.slots.range_mut(from..) {
            slot.unread.set(slot.unread.get() - 1);
            if slot.unread.get() == 0 {
                unread.extend(slot.value.take());
            }
        }
        self.drop_read();
        unread
    }

    /// Takes the value numbered `next` for the last receiver that has yet to read it.
    pub(super) fn take_last(&mut self, next: u64) -> Read<T> {
        let Some(ahead) = next.checked_sub(self.oldest) else {
            return Read::Lagged { oldest: self.oldest };
        };
        let Some(slot) = self.slots.get_mut(ahead as usize) else { return Read::Nothing };
        slot.unread.set(0);
        let Some(value) = slot.value.take() else { return Read::Nothing };
        self.drop_read();
        Read::Value(value)
    }

    fn pop(&mut self) -> Option<T> {
        let slot = self.slots.pop_front()?;
        self.oldest += 1;
        slot.value
    }

    /// Removes the slots at the front that every receiver has read.
    #[inline]
    fn drop_read(&mut self) {
        while self.slots.front().is_some_and(|slot| slot.unread.get() == 0) {
            self.pop();
        }
    }

    /// The index at which the values from `next` on begin.
    #[inline]
    fn index_from(&self, next: u64) -> usize {
        usize::try_from(next.saturating_sub(self.oldest))
            .unwrap_or(usize::MAX)
            .min(self.slots.len())
    }
}

impl<T: Clone> Ring<T> {
    /// Reads the value numbered `next` for one receiver of several that have yet to read it. `None`
    /// if there are no others, or no such value.
    #[inline(always)]
    pub(super) fn read_shared(&self, next: u64) -> Option<T> {
        // A receiver is never ahead by more than the slots.
        let slot = self.slots.get(next.checked_sub(self.oldest)? as usize)?;
        let value = slot.value.as_ref().filter(|_| slot.unread.get() > 1)?.clone();
        slot.unread.set(slot.unread.get() - 1);
        Some(value)
    }
}
