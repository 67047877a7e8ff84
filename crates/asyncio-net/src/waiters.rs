//! Sets of tasks that wait for the same event.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::mem;
use std::task::Context;

use asyncio_loop::{LoopRef, LoopWaker, WaitsFor};
use slab::Slab;

use crate::fence;

/// The wakers of all tasks that wait for one event.
///
/// Each wait has a [`Place`] in the set, which it frees in constant time. So a set never holds more
/// wakers than there are waits. All waits are woken together, in the order in which they began.
#[derive(Default)]
pub(crate) struct WaiterSet {
    waiters: RefCell<Slab<Waiter>>,
    /// The number of the next wait.
    next: Cell<u64>,
}

struct Waiter {
    number: u64,
    waker: LoopWaker,
}

/// The place of one wait in a set; empty before the wait begins.
#[derive(Debug, Default)]
pub(crate) struct Place(Cell<Option<Key>>);

#[derive(Clone, Copy, Debug)]
struct Key {
    index: usize,
    /// An index is reused, a number is not.
    number: u64,
}

impl WaiterSet {
    /// Registers the task of `cx` for the next [`wake_all`](Self::wake_all). It replaces the task
    /// that waited at `place` before.
    pub(crate) fn wait(&self, cx: &Context<'_>, place: &Place) {
        WaitsFor::Connection.note(cx);
        if self.has(place, |waker| waker.will_wake(cx)) {
            return;
        }
        // Wakers are cloned and dropped with nothing borrowed, because a foreign waker may run any
        // code.
        let waker = LoopWaker::from_context(cx);
        let _before = self.put(waker, place);
    }

    fn has(&self, place: &Place, is_right: impl FnOnce(&LoopWaker) -> bool) -> bool {
        let waiters = self.waiters.borrow();
        let waiter = place.0.get().and_then(|key| key.find(&waiters));
        waiter.is_some_and(|waiter| is_right(&waiter.waker))
    }

    fn put(&self, waker: LoopWaker, place: &Place) -> Option<LoopWaker> {
        let mut waiters = self.waiters.borrow_mut();
        if let Some(key) = place.0.get().filter(|key| key.find(&waiters).is_some()) {
            return Some(mem::replace(&mut waiters[key.index].waker, waker));
        }
        let number = self.next.get();
        self.next.set(number + 1);
        let index = waiters.insert(Waiter { number, waker });
        place.0.set(Some(Key { index, number }));
        None
    }

    /// Forgets the wait at `place`.
    pub(crate) fn leave(&self, place: &Place) {
        let waiter = {
            let mut waiters = self.waiters.borrow_mut();
            let key = place.0.take().filter(|key| key.find(&waiters).is_some());
            key.map(|key| waiters.remove(key.index))
        };
        drop(waiter);
    }

    /// Wakes all tasks and forgets them. A waker that panics is reported, and the others are woken.
    pub(crate) fn wake_all(&self, event_loop: &LoopRef) {
        self.take_all(|waker| fence::wake(event_loop, waker));
    }

    fn take_all(&self, mut wake: impl FnMut(LoopWaker)) {
        let waiters = self.waiters.take();
        if waiters.len() < 2 {
            return waiters.into_iter().for_each(|(_, waiter)| wake(waiter.waker));
        }
        let mut waiters: Vec<_> = waiters.into_iter().map(|(_, waiter)| waiter).collect();
        waiters.sort_unstable_by_key(|waiter| waiter.number);
        waiters.into_iter().for_each(|waiter| wake(waiter.waker));
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.waiters.borrow().len()
    }
}

impl Key {
    fn find(self, waiters: &Slab<Waiter>) -> Option<&Waiter> {
        waiters.get(self.index).filter(|waiter| waiter.number == self.number)
    }
}

impl fmt::Debug for WaiterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaiterSet").field("waiting", &self.waiters.borrow().len()).finish()
    }
}

/// A type with an event that tasks wait for.
pub(crate) trait Awaited {
    fn waiters(&self) -> &WaiterSet;
}

/// A future's wait for an event. Dropping it removes the future's task from the set.
#[derive(Debug)]
pub(crate) struct Waiting<'a, T: Awaited> {
    of: &'a T,
    place: Place,
}

impl<'a, T: Awaited> Waiting<'a, T> {
    pub(crate) fn new(of: &'a T) -> Self {
        Self { of, place: Place::default() }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }
}

impl<T: Awaited> Drop for Waiting<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.place.0.get().is_some() {
            self.of.waiters().leave(&self.place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{Wake, Waker};

    use super::*;

    struct Counted {
        number: usize,
        woken: Arc<Mutex<Vec<usize>>>,
        alive: Arc<AtomicUsize>,
    }

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.woken.lock().unwrap().push(self.number);
        }
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[derive(Default)]
    struct Thing {
        set: WaiterSet,
        woken: Arc<Mutex<Vec<usize>>>,
        alive: Arc<AtomicUsize>,
    }

    impl Thing {
        fn wait(&self, number: usize) -> Waiting<'_, Self> {
            let waiting = Waiting::new(self);
            self.wait_again(number, &waiting);
            waiting
        }

        fn wait_again(&self, number: usize, waiting: &Waiting<'_, Self>) {
            let (woken, alive) = (self.woken.clone(), self.alive.clone());
            alive.fetch_add(1, Ordering::Relaxed);
            let waker = Waker::from(Arc::new(Counted { number, woken, alive }));
            self.set.wait(&Context::from_waker(&waker), waiting.place());
        }

        fn woken(&self) -> Vec<usize> {
            std::mem::take(&mut *self.woken.lock().unwrap())
        }
    }

    impl Awaited for Thing {
        fn waiters(&self) -> &WaiterSet {
            &self.set
        }
    }

    #[test]
    fn a_wait_that_is_given_up_leaves_nothing_behind() {
        let thing = Thing::default();
        for number in 0..100 {
            drop(thing.wait(number));
        }
        assert_eq!((thing.set.len(), thing.alive.load(Ordering::Relaxed)), (0, 0));
        thing.set.take_all(LoopWaker::wake);
        assert!(thing.woken().is_empty());
    }

    #[test]
    fn waits_are_woken_in_the_order_in_which_they_began() {
        let thing = Thing::default();
        let first = thing.wait(0);
        let _second = thing.wait(1);
        drop(first);
        let _third = thing.wait(2);
        thing.set.take_all(LoopWaker::wake);
        assert_eq!(thing.woken(), [1, 2]);
    }

    #[test]
    fn a_wait_that_is_polled_again_has_one_waker_the_last() {
        let thing = Thing::default();
        let waiting = thing.wait(0);
        thing.wait_again(1, &waiting);
        assert_eq!((thing.set.len(), thing.alive.load(Ordering::Relaxed)), (1, 1));
        thing.set.take_all(LoopWaker::wake);
        assert_eq!(thing.woken(), [1]);
    }

    #[test]
    fn a_wait_that_was_woken_does_not_take_the_place_of_a_later_one() {
        let thing = Thing::default();
        let before = thing.wait(0);
        thing.set.take_all(LoopWaker::wake);
        let _later = thing.wait(1);
        drop(before);
        thing.set.take_all(LoopWaker::wake);
        assert_eq!(thing.woken(), [0, 1]);
    }
}
