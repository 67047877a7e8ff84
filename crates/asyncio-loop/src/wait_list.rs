//! A list of waiters in order of arrival, from which each can leave in constant time.

/// Entries in the order in which they came. Each leaves by its key, in constant time.
///
/// The entries are linked by index inside one vector, and free places are reused. So a list does
/// not allocate again after its peak.
#[derive(Debug)]
pub struct WaitList<T> {
    places: Vec<Place<T>>,
    first: u32,
    last: u32,
    /// The first free place; free places are linked through `after`.
    free: u32,
    len: u32,
    /// The number of entries that have come so far.
    arrivals: u64,
}

/// The key of an entry of a [`WaitList`]. Keys are not reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitKey {
    place: u32,
    arrival: u64,
}

#[derive(Debug)]
struct Place<T> {
    value: Option<T>,
    arrival: u64,
    before: u32,
    after: u32,
}

/// Ends a chain of places.
const END: u32 = u32::MAX;

impl<T> WaitList<T> {
    /// Creates an empty list, without an allocation.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: Vec::new(), first: END, last: END, free: END, len: 0, arrivals: 0 }
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an entry at the end.
    ///
    /// # Panics
    ///
    /// If there are 2³² - 1 entries.
    pub fn push(&mut self, value: T) -> WaitKey {
        self.arrivals += 1;
        let (arrival, before) = (self.arrivals, self.last);
        let new = Place { value: Some(value), arrival, before, after: END };
        let place = if self.free == END {
            let place = u32::try_from(self.places.len()).ok().filter(|place| *place < END);
            self.places.push(new);
            place.expect("fewer than 2^32 - 1 waiters")
        } else {
            let place = self.free;
            let old = std::mem::replace(&mut self.places[place as usize], new);
            self.free = old.after;
            place
        };
        match self.last {
            END => self.first = place,
            last => self.places[last as usize].after = place,
        }
        self.last = place;
        self.len += 1;
        WaitKey { place, arrival }
    }

    /// The entry with this key, if it has not left.
    pub fn get_mut(&mut self, key: WaitKey) -> Option<&mut T> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.arrival == key.arrival { place.value.as_mut() } else { None }
    }

    /// Takes an entry out, if it has not left.
    pub fn remove(&mut self, key: WaitKey) -> Option<T> {
        let place = self.places.get_mut(key.place as usize)?;
        if place.arrival != key.arrival {
            return None;
        }
        let value = place.value.take()?;
        let (before, after) = (place.before, std::mem::replace(&mut place.after, self.free));
        self.free = key.place;
        match before {
            END => self.first = after,
            before => self.places[before as usize].after = after,
        }
        match after {
            END => self.last = before,
            after => self.places[after as usize].before = before,
        }
        self.len -= 1;
        Some(value)
    }

    /// The values, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let mut next = self.first;
        std::iter::from_fn(move || {
            let place = self.places.get(next as usize)?;
            next = place.after;
            place.value.as_ref()
        })
    }

    /// Takes the first entry out.
    pub fn pop(&mut self) -> Option<T> {
        let place = self.first;
        let arrival = self.places.get(place as usize)?.arrival;
        self.remove(WaitKey { place, arrival })
    }
}

impl<T> Default for WaitList<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// All entries, first come first.
impl<T> Iterator for WaitList<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.pop()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Push,
        Pop,
        Remove(usize),
        /// With the key of an entry that has left.
        RemoveAgain(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => Just(Step::Push),
            1 => Just(Step::Pop),
            3 => any::<usize>().prop_map(Step::Remove),
            1 => any::<usize>().prop_map(Step::RemoveAgain),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn it_is_a_queue_with_exits(steps in steps()) {
            let (mut list, mut model) = (WaitList::new(), VecDeque::new());
            let mut gone: Vec<WaitKey> = vec![];
            for (n, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push => model.push_back((list.push(n), n)),
                    Step::Pop => {
                        let popped = model.pop_front();
                        prop_assert_eq!(list.pop(), popped.map(|(_, n)| n));
                        gone.extend(popped.map(|(key, _)| key));
                    }
                    Step::Remove(at) if !model.is_empty() => {
                        let (key, n) = model.remove(at % model.len()).unwrap();
                        prop_assert_eq!(list.get_mut(key).copied(), Some(n));
                        prop_assert_eq!(list.remove(key), Some(n));
                        gone.push(key);
                    }
                    Step::RemoveAgain(at) if !gone.is_empty() => {
                        let key = gone[at % gone.len()];
                        prop_assert_eq!(list.get_mut(key), None);
                        prop_assert_eq!(list.remove(key), None);
                    }
                    Step::Remove(_) | Step::RemoveAgain(_) => {}
                }
                prop_assert_eq!(list.len(), model.len());
            }
            let left: Vec<_> = model.into_iter().map(|(_, n)| n).collect();
            prop_assert_eq!(list.collect::<Vec<_>>(), left);
        }
    }
}
