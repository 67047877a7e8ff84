//! The ready queue: first in, first out.

/// The size it starts with, and goes back to after a rush.
const SMALL: usize = 64;
/// A queue larger than this is given back when it runs empty and the loop has time.
const LARGE: usize = 4096;

/// A ring whose length is a power of two, so that its end is found with a mask: a turn of a single
/// short poll spends its time on pushes and pops.
pub(super) struct ReadyQueue<T> {
    ring: Box<[Option<T>]>,
    /// Entries taken out since the beginning; the next one is at `taken & mask`.
    taken: usize,
    /// Entries put in since the beginning.
    put: usize,
    /// Entries put in at the front, which `taken` does not count.
    put_first: usize,
    /// Entries taken out of rings before this one.
    before: usize,
}

impl<T: Copy> ReadyQueue<T> {
    pub(super) fn new() -> Self {
        Self { ring: vec![None; SMALL].into(), taken: 0, put: 0, put_first: 0, before: 0 }
    }

    /// A queue that refuses entries: a ring without places, so that a push has one condition to
    /// test.
    pub(super) fn closed() -> Self {
        Self { ring: Box::default(), taken: 0, put: 0, put_first: 0, before: 0 }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.put.wrapping_sub(self.taken)
    }

    /// Entries taken out so far.
    #[inline]
    pub(super) fn taken(&self) -> usize {
        self.taken.wrapping_add(self.put_first).wrapping_add(self.before)
    }

    /// Puts an entry at the end; false if the queue is closed.
    #[inline]
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.len() == self.ring.len() && !self.grow() {
            return false;
        }
        let place = self.put & (self.ring.len() - 1);
        // SAFETY: the ring's length is a power of two; a ring without places is refused above. So
        // the mask keeps the place below the length.
        *unsafe { self.ring.get_unchecked_mut(place) } = Some(entry);
        self.put = self.put.wrapping_add(1);
        true
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<T> {
        if self.taken == self.put {
            return None;
        }
        let place = self.taken & (self.ring.len() - 1);
        self.taken = self.taken.wrapping_add(1);
        // SAFETY: as in `push`: a ring with an entry in it has places.
        let entry = *unsafe { self.ring.get_unchecked(place) };
        // SAFETY: the places from `taken` up to `put` were filled.
        Some(unsafe { entry.unwrap_unchecked() })
    }

    /// Puts an entry at the front; false if the queue is closed.
    pub(super) fn push_first(&mut self, entry: T) -> bool {
        if self.len() == self.ring.len() && !self.grow() {
            return false;
        }
        self.taken = self.taken.wrapping_sub(1);
        self.put_first = self.put_first.wrapping_add(1);
        let place = self.taken & (self.ring.len() - 1);
        self.ring[place] = Some(entry);
        true
    }

    /// Takes the entry that was put in last.
    pub(super) fn pop_last(&mut self) -> Option<T> {
        if self.len() == 0 {
            return None;
        }
        self.put = self.put.wrapping_sub(1);
        self.ring[self.put & (self.ring.len() - 1)]
    }

    pub(super) fn first(&self) -> Option<T> {
        if self.len() == 0 { None } else { self.ring[self.taken & (self.ring.len() - 1)] }
    }

    #[cold]
    fn grow(&mut self) -> bool {
        let (old, len) = (self.ring.len(), self.len());
        if old == 0 {
            return false;
        }
        let mut ring = Vec::with_capacity(old * 2);
        ring.extend((0..len).map(|i| self.ring[self.taken.wrapping_add(i) & (old - 1)]));
        ring.resize(old * 2, None);
        *self = Self { ring: ring.into(), taken: 0, put: len, put_first: 0, before: self.taken() };
        true
    }

    /// Refuses entries from now on; called when it is empty.
    pub(super) fn close(&mut self) {
        debug_assert_eq!(self.len(), 0, "closed with entries in it");
        *self = Self::closed();
    }

    /// Gives the memory of a rush back, if it is over.
    pub(super) fn relax(&mut self) {
        if self.len() == 0 && self.ring.len() > LARGE {
            *self = Self { before: self.taken(), ..Self::new() };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::num::NonZeroUsize;

    use proptest::prelude::*;

    use super::*;

    fn entry(number: usize) -> NonZeroUsize {
        NonZeroUsize::new(number + 1).expect("not zero")
    }

    proptest! {
        // miri takes a second for each.
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

        #[test]
        fn it_is_a_queue(steps in proptest::collection::vec(0..8, 0..2000)) {
            let (mut ready, mut model) = (ReadyQueue::new(), VecDeque::new());
            // From the end of the counters, so that they overflow.
            (ready.taken, ready.put) = (usize::MAX - 5, usize::MAX - 5);
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    0..=3 => {
                        ready.push(entry(number));
                        model.push_back(entry(number));
                    }
                    4 => {
                        ready.push_first(entry(number));
                        model.push_front(entry(number));
                    }
                    5 => prop_assert_eq!(ready.pop_last(), model.pop_back()),
                    _ => {
                        prop_assert_eq!(ready.first(), model.front().copied());
                        prop_assert_eq!(ready.pop(), model.pop_front());
                    }
                }
                prop_assert_eq!(ready.len(), model.len());
            }
        }
    }

    #[test]
    fn a_closed_queue_takes_nothing() {
        let mut ready = ReadyQueue::<NonZeroUsize>::new();
        ready.close();
        assert!(!ready.push(entry(1)));
        assert!(!ready.push_first(entry(1)));
        assert_eq!(ready.pop(), None);
        assert_eq!(ready.first(), None);
    }

    #[test]
    fn an_entry_at_the_front_has_a_number_of_its_own() {
        let mut ready = ReadyQueue::new();
        (0..3).for_each(|number| assert!(ready.push(entry(number))));
        let mut numbers = vec![ready.taken()];
        for _ in 0..3 {
            assert!(ready.push_first(entry(7)));
            ready.pop();
            numbers.push(ready.taken());
        }
        assert_eq!(numbers, [0, 1, 2, 3]);
    }

    #[test]
    fn memory_of_a_rush_is_given_back() {
        let mut ready = ReadyQueue::new();
        (0..100_000).for_each(|number| assert!(ready.push(entry(number))));
        ready.relax();
        assert!(ready.ring.len() >= 100_000);
        while ready.pop().is_some() {}
        ready.relax();
        assert_eq!(ready.ring.len(), SMALL);
    }
}
