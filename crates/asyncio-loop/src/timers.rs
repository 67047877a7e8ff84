//! Deadlines in order: insert, cancel, expire.
//!
//! Nearly every timer is a timeout that is cancelled. So removing a timer is as cheap as adding it,
//! takes effect at once, and frees the memory (no tombstones have to be purged).
//!
//! ```text
//!   heap   [ deadline | order | slot ]  16 bytes each; 4-ary; a parent is never after its children
//!                                 │ ▲
//!                                 ▼ │ place
//!   slots  [ generation | place | value ]      vacant slots are chained through `place`
//! ```
//!
//! Comparisons read heap entries only. A slot knows its entry's place, so a key finds the entry
//! through the slot.

/// The number of children of a heap entry: four entries share a cache line.
const ARITY: usize = 4;

/// The end of the chain of vacant slots.
const NO_SLOT: u32 = u32::MAX;

/// Storage below this many timers is never given back.
const KEPT: usize = 256;

/// Values that fall due at a deadline, in nanoseconds on any clock.
#[derive(Debug)]
pub(crate) struct Timers<T> {
    heap: Vec<Entry>,
    slots: Vec<Slot<T>>,
    /// The first vacant slot.
    vacant: u32,
    /// The next entry's `order`.
    order: u32,
    /// The next timer's generation.
    generation: u32,
    /// Removals until the next check whether storage should shrink.
    until_shrink: usize,
}

/// Names one timer; matches nothing once that timer was removed or fell due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimerKey {
    slot: u32,
    generation: u32,
}

/// Compares by deadline, then by order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    deadline: u64,
    order: u32,
    slot: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    /// Occupied: the entry's index in the heap. Vacant: the next vacant slot.
    place: u32,
    value: Option<T>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Timers<T> {
    pub(crate) const fn new() -> Self {
        Self {
            heap: Vec::new(),
            slots: Vec::new(),
            vacant: NO_SLOT,
            order: 0,
            generation: 0,
            until_shrink: KEPT,
        }
    }

    /// Adds a timer, behind those with the same deadline.
    ///
    /// # Panics
    ///
    /// When there are `u32::MAX` timers already.
    #[inline]
    pub(crate) fn insert(&mut self, deadline: u64, value: T) -> TimerKey {
        let order = self.next_order();
        let key = self.occupy(value);
        let entry = Entry { deadline, order, slot: key.slot };
        self.heap.push(entry);
        self.sift_up(self.heap.len() - 1, entry);
        key
    }

    /// Removes a timer that has not fallen due yet.
    #[inline]
    pub(crate) fn remove(&mut self, key: TimerKey) -> Option<T> {
        let place = self.place(key)?;
        let value = self.remove_at(place);
        self.shrink_sometimes();
        Some(value)
    }

    /// Takes the first timer if its deadline is not after `now`.
    #[inline]
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<(u64, T)> {
        let deadline = self.next_deadline().filter(|&deadline| deadline <= now)?;
        let value = self.remove_at(0);
        self.shrink_sometimes();
        Some((deadline, value))
    }

    /// Takes every timer, in deadline order. Their keys stay stale for good, which a new `Timers`
    /// would not promise.
    pub(crate) fn drain(&mut self) -> Vec<T> {
        let mut heap = std::mem::take(&mut self.heap);
        heap.sort_unstable();
        let mut slots = std::mem::take(&mut self.slots);
        self.vacant = NO_SLOT;
        heap.iter().filter_map(|entry| slots[entry.slot as usize].value.take()).collect()
    }

    pub(crate) fn get_mut(&mut self, key: TimerKey) -> Option<&mut T> {
        self.place(key)?;
        self.slots[key.slot as usize].value.as_mut()
    }

    pub(crate) fn deadline(&self, key: TimerKey) -> Option<u64> {
        Some(self.heap[self.place(key)?].deadline)
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.heap.first().map(|entry| entry.deadline)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// The place in the heap of a timer that is still there.
    #[inline]
    fn place(&self, key: TimerKey) -> Option<usize> {
        let slot = self.slots.get(key.slot as usize)?;
        (slot.generation == key.generation && slot.value.is_some()).then_some(slot.place as usize)
    }

    #[inline]
    fn next_order(&mut self) -> u32 {
        if self.heap.is_empty() {
            self.order = 0;
        } else if self.order == u32::MAX {
            self.renumber();
        }
        self.order += 1;
        self.order
    }

    /// Numbers the entries from 1 again, keeping their order. Runs once in four thousand million
    /// inserts.
    #[cold]
    fn renumber(&mut self) {
        // A sorted array is a heap.
        self.heap.sort_unstable();
        self.order = 0;
        for (place, entry) in self.heap.iter_mut().enumerate() {
            self.order += 1;
            entry.order = self.order;
            self.slots[entry.slot as usize].place = place as u32;
        }
    }

    #[inline]
    fn occupy(&mut self, value: T) -> TimerKey {
        let generation = self.generation;
        self.generation = generation.wrapping_add(1);
        let slot = self.vacant;
        if let Some(vacant) = self.slots.get_mut(slot as usize) {
            self.vacant = vacant.place;
            vacant.generation = generation;
            vacant.value = Some(value);
            return TimerKey { slot, generation };
        }
        let slot = self.slots.len() as u32;
        assert!(slot < NO_SLOT, "too many timers");
        self.slots.push(Slot { generation, place: 0, value: Some(value) });
        TimerKey { slot, generation }
    }

    #[inline]
    fn remove_at(&mut self, place: usize) -> T {
        let removed = self.heap[place];
        let last = self.heap.pop().expect("the heap has an entry at `place`");
        if place < self.heap.len() {
            if last < removed {
                self.sift_up(place, last);
            } else {
                self.sift_down(place, last);
            }
        }
        let slot = &mut self.slots[removed.slot as usize];
        slot.place = self.vacant;
        self.vacant = removed.slot;
        slot.value.take().expect("an entry's slot is occupied")
    }

    #[inline]
    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.slots[entry.slot as usize].place = place as u32;
    }

    /// Puts `entry` at `place` or, as long as its parent is after it, above.
    #[inline]
    fn sift_up(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let above = (place - 1) / ARITY;
            let parent = self.heap[above];
            if parent < entry {
                break;
            }
            self.put(place, parent);
            place = above;
        }
        self.put(place, entry);
    }

    /// Puts `entry` at `place` or, as long as one of its children is before it, below.
    #[inline]
    fn sift_down(&mut self, mut place: usize, entry: Entry) {
        while let Some((below, child)) = self.first_child(place) {
            if entry < child {
                break;
            }
            self.put(place, child);
            place = below;
        }
        self.put(place, entry);
    }

    #[inline]
    fn first_child(&self, place: usize) -> Option<(usize, Entry)> {
        let first = place * ARITY + 1;
        let children = self.heap.get(first..)?;
        let mut least = (first, *children.first()?);
        for (index, &child) in children.iter().enumerate().take(ARITY).skip(1) {
            if child < least.1 {
                least = (first + index, child);
            }
        }
        Some(least)
    }

    /// Checks the storage now and then, so that memory of a burst of timers is not kept forever.
    #[inline]
    fn shrink_sometimes(&mut self) {
        self.until_shrink -= 1;
        if self.until_shrink == 0 {
            self.shrink();
        }
    }

    /// Frees memory when less than a quarter is used. This costs a pass over the slots, so the next
    /// check comes when a quarter may be reached, and not before an eighth as many removals.
    #[cold]
    fn shrink(&mut self) {
        if self.slots.len() > KEPT && self.heap.len() < self.slots.len() / 4 {
            let used = self.slots.iter().rposition(|slot| slot.value.is_some());
            self.slots.truncate(used.map_or(0, |last| last + 1));
            self.chain_vacant_slots();
        }
        let kept = KEPT.max(self.heap.len() * 2);
        self.heap.shrink_to(kept);
        self.slots.shrink_to(kept);
        let above_a_quarter = self.heap.len().saturating_sub(self.slots.len() / 4);
        self.until_shrink = KEPT.max(above_a_quarter).max(self.slots.len() / 8);
    }

    /// Chains vacant slots from the lowest up: new timers fill the front and the back can be given
    /// up.
    fn chain_vacant_slots(&mut self) {
        self.vacant = NO_SLOT;
        for (index, slot) in self.slots.iter_mut().enumerate().rev() {
            if slot.value.is_none() {
                slot.place = self.vacant;
                self.vacant = index as u32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn due<T>(timers: &mut Timers<T>, now: u64) -> Vec<T> {
        std::iter::from_fn(|| timers.pop_due(now)).map(|(_, value)| value).collect()
    }

    #[test]
    fn entries_stay_small() {
        assert_eq!(size_of::<Entry>(), 16);
        assert_eq!(size_of::<TimerKey>(), 8);
    }

    // L-009
    #[test]
    fn they_fall_due_by_deadline_then_by_creation() {
        let mut timers = Timers::new();
        for (deadline, name) in [(20, "c"), (10, "a"), (20, "d"), (10, "b"), (30, "e")] {
            timers.insert(deadline, name);
        }
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.pop_due(10), Some((10, "a")));
        assert_eq!(due(&mut timers, 20), ["b", "c", "d"]);
        assert_eq!(timers.next_deadline(), Some(30));
        assert_eq!(due(&mut timers, u64::MAX), ["e"]);
        assert_eq!(timers.next_deadline(), None);
    }

    #[test]
    fn a_key_matches_its_own_timer_only() {
        let mut timers = Timers::new();
        let first = timers.insert(u64::MAX, 1);
        assert_eq!(timers.deadline(first), Some(u64::MAX));
        assert_eq!(timers.remove(first), Some(1));
        let second = timers.insert(7, 2);
        assert_eq!(second.slot, first.slot);
        assert_eq!(timers.remove(first), None);
        assert_eq!(timers.get_mut(first), None);
        assert_eq!(timers.deadline(first), None);
        *timers.get_mut(second).unwrap() = 3;
        assert_eq!(timers.pop_due(7), Some((7, 3)));
        assert_eq!(timers.remove(second), None);
    }

    #[test]
    fn draining_leaves_keys_stale() {
        let mut timers = Timers::new();
        let key = timers.insert(2, "b");
        timers.insert(1, "a");
        assert_eq!(timers.drain(), ["a", "b"]);
        assert_eq!(timers.len(), 0);
        timers.insert(3, "c");
        assert_eq!(timers.remove(key), None);
        assert_eq!(due(&mut timers, 3), ["c"]);
    }

    #[test]
    fn order_survives_renumbering() {
        let mut timers = Timers::new();
        timers.insert(5, 0);
        timers.order = u32::MAX - 3;
        for value in 1..9 {
            timers.insert(5, value);
        }
        assert!(timers.order < 20);
        assert_eq!(due(&mut timers, 5), (0..9).collect::<Vec<_>>());
    }

    // L-012
    #[test]
    fn cancelled_timers_hold_no_memory() {
        let mut timers = Timers::new();
        let live = timers.insert(1, 0);
        let keys: Vec<_> =
            (0..100_000).map(|value| timers.insert(3_600_000_000_000, value)).collect();
        for key in keys {
            assert!(timers.remove(key).is_some());
        }
        assert_eq!(timers.len(), 1);
        for _ in 0..2 * KEPT {
            let key = timers.insert(2, 1);
            timers.remove(key);
        }
        assert!(timers.heap.capacity() <= 2 * KEPT, "{}", timers.heap.capacity());
        assert!(timers.slots.capacity() <= 2 * KEPT, "{}", timers.slots.capacity());
        assert_eq!(timers.remove(live), Some(0));
    }

    // L-012
    #[test]
    fn a_rush_that_is_cancelled_gives_its_storage_back_soon() {
        for reverse in [false, true] {
            let mut timers = Timers::new();
            timers.insert(1, 0);
            let mut keys: Vec<_> = (0..100_000).map(|value| timers.insert(2, value)).collect();
            if reverse {
                keys.reverse();
            }
            for key in keys {
                assert!(timers.remove(key).is_some());
            }
            // One in eight is enough, although those that are left last may stand in the way.
            for _ in 0..100_000 / 8 {
                let key = timers.insert(2, 1);
                timers.remove(key);
            }
            assert!(timers.heap.capacity() <= 2 * KEPT, "{}", timers.heap.capacity());
            assert!(timers.slots.capacity() <= 2 * KEPT, "{}", timers.slots.capacity());
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u64),
        Remove(prop::sample::Index),
        PopDue(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0..50_u64).prop_map(Step::Insert),
            3 => any::<prop::sample::Index>().prop_map(Step::Remove),
            1 => (0..50_u64).prop_map(Step::PopDue),
        ];
        prop::collection::vec(step, 0..600)
    }

    /// The model: a list of (deadline, creation, key), sorted when asked.
    #[derive(Default)]
    struct Model {
        live: Vec<(u64, usize, TimerKey)>,
        gone: Vec<TimerKey>,
    }

    impl Model {
        fn pop_due(&mut self, now: u64) -> Option<(u64, usize)> {
            self.live.sort_by_key(|&(deadline, value, _)| (deadline, value));
            let (deadline, value, key) = *self.live.first().filter(|first| first.0 <= now)?;
            self.live.remove(0);
            self.gone.push(key);
            Some((deadline, value))
        }
    }

    proptest! {
           #[test]
           fn they_behave_as_a_sorted_list(steps in steps()) {
               let mut timers = Timers::new();
               let mut model = Model::default();
               for (value, step) in steps.into_iter().enumerate() {
                   match step {
                       Step::Insert(deadline) => {
                           let key = timers.insert(deadline, value);
                           model.live.push((deadline, value, key));
                       }
                       Step::Remove(index) if !model.live.is_empty() => {
                           let index = index.index(model.live.len());
    let (deadline, value, key) = model.live.swap_remove(index);
                           prop_assert_eq!(timers.deadline(key), Some(deadline));
                           prop_assert_eq!(timers.remove(key), Some(value));
                           model.gone.push(key);
                       }
                       Step::Remove(_) => {}
                       Step::PopDue(now) => {
                           prop_assert_eq!(timers.pop_due(now), model.pop_due(now));
                       }
                   }
                   prop_assert_eq!(timers.len(), model.live.len());
                   let first = model.live.iter().map(|timer| timer.0).min();
                   prop_assert_eq!(timers.next_deadline(), first);
               }
               prop_assert!(model.gone.iter().all(|&key| timers.remove(key).is_none()));
               while let Some(expected) = model.pop_due(u64::MAX) {
                   prop_assert_eq!(timers.pop_due(u64::MAX), Some(expected));
               }
               prop_assert_eq!(timers.len(), 0);
           }
       }
}
