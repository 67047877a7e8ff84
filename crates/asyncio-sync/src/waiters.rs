//! The waiter list of one primitive: the wakers of waiting futures, first in, first out.
//!
//! Each future that joins gets a number, and the numbers rise. So a future finds its place by its
//! number, and comparing two numbers says which future came first. The list has two parts, in this
//! order: *notified* futures, which were woken and have not been polled since, and *waiting*
//! futures. Notifying moves the boundary by one, so order is decided in this one place. Notifying
//! *all* empties the list instead: a future whose number is below the boundary and that has no
//! place was notified.
//!
//! Most lists hold one future. Its waker is in the list itself, its number is the newest, and it
//! joins, is notified, answers and leaves without a search. When a second future comes, both move
//! to the ring, which keeps places in order until it is empty. A future that leaves from between
//! two others leaves a gap. Gaps are removed when they are at an end of the ring, or when half of
//! the ring is gaps. So joining and notifying take constant time, leaving takes a binary search at
//! most, and a list never allocates again after its peak.
//!
//! The list itself wakes nothing. It hands wakers out, and its owner wakes or drops them with
//! nothing borrowed or locked, because both may run code of a user. [`turn`](crate::turn) defines
//! the meaning of a notification, and handles notified futures that are not polled.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::num::NonZeroU64;
use std::task::{Context, Waker};

use asyncio_loop::LoopWaker;

/// The waker type that a line stores for a waiting task.
pub(crate) trait Wake {
    /// Makes a waker of the task being polled, which is going to wait.
    fn of(cx: &Context<'_>) -> Self;
    /// Whether this waker wakes the task being polled.
    fn is_current(&self, cx: &Context<'_>) -> bool;
    /// Wakes the task.
    fn wake(self);
}

impl Wake for LoopWaker {
    #[inline]
    fn of(cx: &Context<'_>) -> Self {
        Self::from_context(cx)
    }

    #[inline]
    fn is_current(&self, cx: &Context<'_>) -> bool {
        self.will_wake(cx)
    }

    #[inline]
    fn wake(self) {
        self.wake();
    }
}

impl Wake for Waker {
    fn of(cx: &Context<'_>) -> Self {
        cx.waker().clone()
    }

    fn is_current(&self, cx: &Context<'_>) -> bool {
        self.will_wake(cx.waker())
    }

    fn wake(self) {
        self.wake();
    }
}

/// The number of a future that joined. The future gives its place back with
/// [`WaiterList::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(NonZeroU64);

/// The state of one future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In line, waiting.
    Waiting,
    /// Notified, and the notification still belongs to this waiter.
    Notified,
    /// No longer in line. Either all were notified, or it was notified, did not answer, and its
    /// notification went to another one.
    Out,
}

/// The number of a notification in its line, from 1. It may wrap, since it only distinguishes
/// notifications that are close in time.
pub(crate) type Call = u32;

/// The line.
pub(crate) struct WaiterList<W> {
    /// The number of the newest future that joined.
    newest: Cell<u64>,
    /// The number of the newest notified future. All futures up to it were notified.
    called: Cell<u64>,
    notified: Cell<u32>,
    waiting: Cell<u32>,
    calls: Cell<Call>,
    /// Whether the futures are in the ring. If not, there is at most one, the newest.
    in_ring: Cell<bool>,
    /// The waker of the only future.
    only: Cell<Option<W>>,
    ring: RefCell<Ring<W>>,
}

/// The places of the futures in line, in order.
#[derive(Debug)]
struct Ring<W> {
    places: VecDeque<Place<W>>,
    /// The number of notified places, including gaps.
    ahead: usize,
    gaps: usize,
}

#[derive(Debug)]
struct Place<W> {
    /// Taken when the waiter is woken; the waiter's next poll stores a new one.
    waker: Option<W>,
    key: Key,
    /// If notified: the number of its notification. If waiting: the unanswered notification that it
    /// has noted, or 0.
    call: Call,
    /// A gap: the future has left. The first and the last place of a ring are never gaps.
    gap: bool,
}

impl<W> Default for WaiterList<W> {
    fn default() -> Self {
        let ring = Ring { places: VecDeque::new(), ahead: 0, gaps: 0 };
        Self {
            newest: Cell::new(0),
            called: Cell::new(0),
            notified: Cell::new(0),
            waiting: Cell::new(0),
            calls: Cell::new(0),
            in_ring: Cell::new(false),
            only: Cell::new(None),
            ring: RefCell::new(ring),
        }
    }
}

impl<W> fmt::Debug for WaiterList<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaiterList")
            .field("notified", &self.notified())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl<W> WaiterList<W> {
    /// The number of notified futures that have not answered.
    #[inline]
    pub(crate) fn notified(&self) -> usize {
        self.notified.get() as usize
    }

    /// The number of futures that wait for a notification.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.get() as usize
    }

    /// The number of futures in line, notified or not.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.notified() + self.waiting()
    }

    /// Whether futures wait behind notified ones.
    #[inline]
    pub(crate) fn is_held_up(&self) -> bool {
        self.notified() > 0 && self.waiting() > 0
    }

    /// Whether this waiter was notified since it joined, alone or with all others.
    #[inline]
    pub(crate) fn was_called(&self, key: Key) -> bool {
        key.0.get() <= self.called.get()
    }

    /// Whether this waiter is the only one in line.
    #[inline]
    fn is_only(&self, key: Key) -> bool {
        !self.in_ring.get() && key.0.get() == self.newest.get() && self.len() > 0
    }
}

impl<W: Wake> WaiterList<W> {
    /// Takes a place at the end.
    #[inline]
    pub(crate) fn join(&self, cx: &Context<'_>) -> Key {
        self.join_as(W::of(cx))
    }

    /// Does the same as [`join`](Self::join), with the waker of the task being polled.
    #[inline]
    pub(crate) fn join_as(&self, waker: W) -> Key {
        let key = Key(NonZeroU64::MIN.saturating_add(self.newest.get()));
        if self.len() > 0 {
            self.join_ring(key, waker);
        } else {
            // The place is empty, and forgetting it saves the check for a destructor.
            mem::forget(self.only.replace(Some(waker)));
            self.waiting.set(1);
        }
        self.newest.set(key.0.get());
        key
    }

    fn join_ring(&self, key: Key, waker: W) {
        if !self.in_ring.get() {
            self.move_to_ring();
        }
        let place = Place { waker: Some(waker), key, call: 0, gap: false };
        self.ring.borrow_mut().places.push_back(place);
        self.waiting.set(self.waiting.get() + 1);
    }

    /// Moves the only future in line to the ring, because another one joins.
    #[cold]
    fn move_to_ring(&self) {
        if self.in_ring.replace(true) {
            return;
        }
        let key = NonZeroU64::new(self.newest.get());
        let only = key.map(|key| Place {
            waker: self.only.take(),
            key: Key(key),
            call: if self.notified() > 0 { self.calls.get() } else { 0 },
            gap: false,
        });
        let mut ring = self.ring.borrow_mut();
        ring.places.extend(only);
        ring.ahead = self.notified();
    }

    /// Answers a notification: gives the place up if this waiter was notified.
    #[inline]
    pub(crate) fn answer(&self, key: Key) -> bool {
        if !self.was_called(key) {
            return false;
        }
        if self.in_ring.get() { self.answer_from_ring(key) } else { self.answer_alone(key) }
    }

    /// Does the same as [`answer`](Self::answer); false if other futures are in line too.
    #[inline]
    pub(crate) fn answer_alone(&self, key: Key) -> bool {
        // Its waker was taken when it was notified.
        let called = self.was_called(key) && !self.in_ring.get() && self.is_only(key);
        if called {
            self.notified.set(0);
        }
        called
    }

    fn answer_from_ring(&self, key: Key) -> bool {
        let mut ring = self.ring.borrow_mut();
        if ring.gaps > 0 || ring.places[0].key != key {
            drop(ring);
            return self.leave(key).0 == State::Notified;
        }
        ring.places.pop_front();
        ring.ahead -= 1;
        self.in_ring.set(!ring.places.is_empty());
        self.notified.set(self.notified.get() - 1);
        true
    }

    /// Gives a place up. Returns the waker, to be dropped with nothing borrowed.
    pub(crate) fn leave(&self, key: Key) -> (State, Option<W>) {
        let waker = if self.in_ring.get() {
            let mut ring = self.ring.borrow_mut();
            let Some(at) = ring.position(key) else { return (State::Out, None) };
            let waker = ring.remove(at);
            self.in_ring.set(!ring.places.is_empty());
            waker
        } else if self.is_only(key) {
            self.only.take()
        } else {
            return (State::Out, None);
        };
        let (state, count) = if self.was_called(key) {
            (State::Notified, &self.notified)
        } else {
            (State::Waiting, &self.waiting)
        };
        count.set(count.get() - 1);
        (state, waker)
    }

    /// The state of this waiter.
    pub(crate) fn state(&self, key: Key) -> State {
        let in_line =
            self.is_only(key) || self.in_ring.get() && self.ring.borrow().position(key).is_some();
        match in_line {
            false => State::Out,
            true if self.was_called(key) => State::Notified,
            true => State::Waiting,
        }
    }

    /// Makes sure that a waiting future's waker is that of the task being polled; returns a stale
    /// one.
    pub(crate) fn refresh(&self, key: Key, cx: &Context<'_>) -> Option<W> {
        if self.has_waker(key, cx) {
            return None;
        }
        // The waker is cloned with nothing borrowed: the clone function of a foreign waker may use
        // the line.
        let waker = W::of(cx);
        if self.was_called(key) {
            return Some(waker);
        }
        if self.is_only(key) {
            return self.only.replace(Some(waker));
        }
        let mut ring = self.ring.borrow_mut();
        match ring.position(key) {
            Some(at) => ring.places[at].waker.replace(waker),
            None => Some(waker),
        }
    }

    /// Whether this waiter is in line with the waker of the task being polled.
    fn has_waker(&self, key: Key, cx: &Context<'_>) -> bool {
        if self.is_only(key) {
            let waker = self.only.take();
            let is_current = waker.as_ref().is_some_and(|waker| waker.is_current(cx));
            self.only.set(waker);
            return is_current;
        }
        let ring = self.ring.borrow();
        let place = ring.position(key).map(|at| &ring.places[at]);
        place.and_then(|place| place.waker.as_ref()).is_some_and(|waker| waker.is_current(cx))
    }

    /// Notifies the first waiting future. Returns no waker if that future was woken already and not
    /// polled since.
    #[inline]
    pub(crate) fn notify(&self) -> Option<W> {
        let waiting = self.waiting.get().checked_sub(1)?;
        let call = self.calls.get().wrapping_add(1).max(1);
        self.calls.set(call);
        self.waiting.set(waiting);
        self.notified.set(self.notified.get() + 1);
        if self.in_ring.get() {
            return self.notify_in_ring(call);
        }
        self.called.set(self.newest.get());
        self.only.take()
    }

    fn notify_in_ring(&self, call: Call) -> Option<W> {
        let mut ring = self.ring.borrow_mut();
        let place = ring.next()?;
        place.call = call;
        self.called.set(place.key.0.get());
        let waker = place.waker.take();
        ring.ahead += 1;
        waker
    }

    /// Notifies every future and empties the list. Returns the waker of the only one, or all
    /// wakers.
    #[inline]
    pub(crate) fn notify_all(&self) -> (Option<W>, Option<AllWaiters<W>>) {
        self.called.set(self.newest.get());
        self.waiting.set(0);
        if self.in_ring.get() { (None, Some(self.empty_ring())) } else { (self.only.take(), None) }
    }

    fn empty_ring(&self) -> AllWaiters<W> {
        self.in_ring.set(false);
        let mut ring = self.ring.borrow_mut();
        (ring.ahead, ring.gaps) = (0, 0);
        AllWaiters(mem::take(&mut ring.places))
    }

    /// Reuses the memory of a line whose futures were all notified.
    pub(crate) fn recycle(&self, called: AllWaiters<W>) {
        let mut ring = self.ring.borrow_mut();
        if ring.places.is_empty() {
            ring.places = called.0;
        }
    }

    /// Takes the newest unanswered notification back: its waiter is the first in line again.
    pub(crate) fn withdraw(&self) {
        if self.notified() == 0 {
            return;
        }
        self.move_to_ring();
        let mut ring = self.ring.borrow_mut();
        let mut called = ring.places.range(..ring.ahead);
        let Some(at) = called.rposition(|place| !place.gap) else { return };
        let place = &mut ring.places[at];
        place.call = 0;
        self.called.set(place.key.0.get() - 1);
        ring.ahead = at;
        self.waiting.set(self.waiting.get() + 1);
        self.notified.set(self.notified.get() - 1);
    }

    /// Takes the oldest unanswered notification from its waiter, which leaves the line.
    pub(crate) fn pass_over(&self) {
        if self.notified() == 0 {
            return;
        }
        self.move_to_ring();
        let first = self.ring.borrow().places[0].key;
        self.leave(first);
    }

    /// The oldest unanswered notification.
    #[inline]
    pub(crate) fn oldest_call(&self) -> Option<Call> {
        match (self.notified() > 0, self.in_ring.get()) {
            (false, _) => None,
            (true, true) => Some(self.ring.borrow().places[0].call),
            (true, false) => Some(self.calls.get()),
        }
    }

    /// The newest notification, answered or not.
    pub(crate) fn latest_call(&self) -> Call {
        self.calls.get()
    }

    /// Whether this waiter has noted the oldest unanswered notification already.
    pub(crate) fn has_seen_unanswered(&self, key: Key) -> bool {
        let ring = self.ring.borrow();
        let noted = ring.position(key).map(|at| ring.places[at].call);
        noted.is_some() && noted == self.oldest_call()
    }

    /// Makes a waiter note the oldest unanswered notification, if it is responsible for the check:
    /// if it is the next in line, or has not noted a notification yet. True if it did.
    pub(crate) fn note_unanswered(&self, key: Key) -> bool {
        let Some(call) = self.oldest_call() else { return false };
        let mut ring = self.ring.borrow_mut();
        let is_next = ring.next().is_some_and(|next| next.key == key);
        let Some(at) = ring.position(key) else { return false };
        let noted = &mut ring.places[at].call;
        let looks = is_next || *noted == 0;
        if looks {
            *noted = call;
        }
        looks
    }

    /// Makes a waiter forget the notification that it has noted.
    pub(crate) fn forget_call(&self, key: Key) {
        let mut ring = self.ring.borrow_mut();
        if let Some(at) = ring.position(key) {
            ring.places[at].call = 0;
        }
    }

    /// The deputy's waker, if the deputy is needed and was not woken already.
    pub(crate) fn deputy(&self) -> Option<W> {
        if self.is_held_up() { self.ring.borrow_mut().next()?.waker.take() } else { None }
    }
}

impl<W> Ring<W> {
    /// The first place of the waiting part.
    #[inline]
    fn next(&mut self) -> Option<&mut Place<W>> {
        if self.gaps > 0 {
            self.skip_gaps();
        }
        self.places.get_mut(self.ahead)
    }

    #[cold]
    fn skip_gaps(&mut self) {
        while self.places.get(self.ahead).is_some_and(|place| place.gap) {
            self.ahead += 1;
        }
    }

    /// The index of a waiter. Numbers are consecutive except for gaps that were removed.
    fn position(&self, key: Key) -> Option<usize> {
        let first = self.places.front()?.key;
        let guess = usize::try_from(key.0.get().checked_sub(first.0.get())?).ok()?;
        let at = match self.places.get(guess) {
            Some(place) if place.key == key => guess,
            _ => self.places.binary_search_by_key(&key, |place| place.key).ok()?,
        };
        (!self.places[at].gap).then_some(at)
    }

    fn remove(&mut self, at: usize) -> Option<W> {
        let place = &mut self.places[at];
        place.gap = true;
        let waker = place.waker.take();
        self.gaps += 1;
        self.tidy();
        waker
    }

    /// Removes the gaps at both ends, and all gaps if there are too many.
    fn tidy(&mut self) {
        while self.places.front().is_some_and(|place| place.gap) {
            self.places.pop_front();
            self.ahead = self.ahead.saturating_sub(1);
            self.gaps -= 1;
        }
        while self.places.back().is_some_and(|place| place.gap) {
            self.places.pop_back();
            self.gaps -= 1;
        }
        self.ahead = self.ahead.min(self.places.len());
        if self.gaps > self.places.len() / 2 {
            let ahead = self.places.range(..self.ahead);
            self.ahead = ahead.filter(|place| !place.gap).count();
            self.places.retain(|place| !place.gap);
            self.gaps = 0;
        }
    }
}

/// The places of the futures that were notified together.
#[derive(Debug)]
pub(crate) struct AllWaiters<W>(VecDeque<Place<W>>);

impl<W> AllWaiters<W> {
    /// Takes the wakers out, in order.
    pub(crate) fn wakers(&mut self) -> impl Iterator<Item = W> {
        self.0.drain(..).filter_map(|place| place.waker)
    }
}

#[cfg(test)]
#[path = "waiters_tests.rs"]
mod tests;
