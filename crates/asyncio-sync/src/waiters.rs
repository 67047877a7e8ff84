//! The line everyone queues in: a first-in-first-out list of wakers.
//!
//! A line has two parts, in this order: waiters that were *notified* (called, but they have not come
//! yet) and waiters that are still *waiting*. Notifying moves the boundary by one, so order is never
//! decided anywhere else. Joining, leaving from any position and notifying take constant time, and the
//! slots of those who left are used again: a line that has seen its peak never allocates.
//!
//! The list wakes nobody. It hands wakers out, so that its owner can call or drop them when nothing is
//! borrowed or locked any more: both may run foreign code. What a notification means, and what happens
//! when the notified waiter doesn't come, is decided in [`turn`](crate::turn).

use std::task::{Context, Waker};

use asyncio_loop::LocalWaker;

/// What a line keeps of a waiting task.
pub(crate) trait Wake {
    /// Takes the waker of the task being polled.
    fn of(cx: &Context<'_>) -> Self;
    /// Whether this waker wakes the task being polled.
    fn is_current(&self, cx: &Context<'_>) -> bool;
    /// Has the task polled again.
    fn wake(self);
}

impl Wake for LocalWaker {
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

/// A place in the line. It belongs to one future, which gives it back with [`WaiterList::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

/// How it stands with one waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In line.
    Waiting,
    /// Called, and the call is still this waiter's.
    Notified,
    /// Called, but it did not come, and its call went to another. No longer in line.
    PassedOver,
}

/// Numbers the notifications of one line, from 1. It may wrap: it only tells neighbours in time apart.
pub(crate) type Call = u32;

/// Stands for "no neighbour", and for "no free slot".
const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Slot<W> {
    /// Taken when the waiter is woken; its next poll puts one back.
    waker: Option<W>,
    state: State,
    /// Of one that was notified: its call. Of one that waits: the unanswered call it has noted, or 0.
    call: Call,
    before: u32,
    /// Of a free slot: the next free one.
    behind: u32,
}

/// The line.
#[derive(Debug)]
pub(crate) struct WaiterList<W> {
    slots: Vec<Slot<W>>,
    free: u32,
    first: u32,
    last: u32,
    /// The first one that is still waiting: where the notified part ends.
    boundary: u32,
    notified: u32,
    waiting: u32,
    calls: Call,
}

impl<W> Default for WaiterList<W> {
    fn default() -> Self {
        Self {
            slots: Vec::new(),
            free: NONE,
            first: NONE,
            last: NONE,
            boundary: NONE,
            notified: 0,
            waiting: 0,
            calls: 0,
        }
    }
}

impl<W: Wake> WaiterList<W> {
    /// How many were called and have not come yet.
    #[inline]
    pub(crate) fn notified(&self) -> usize {
        self.notified as usize
    }

    /// Everybody in line, notified or not.
    pub(crate) fn len(&self) -> usize {
        (self.notified + self.waiting) as usize
    }

    /// How many are still waiting to be called.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.waiting as usize
    }

    /// Takes a place at the end.
    #[inline(always)]
    pub(crate) fn join(&mut self, cx: &Context<'_>) -> Key {
        let key = self.take_slot();
        let before = self.last;
        // Written in place, field by field: a slot that is built elsewhere and moved here costs more
        // than all the rest.
        let slot = self.at_mut(key);
        slot.waker = Some(W::of(cx));
        slot.state = State::Waiting;
        slot.call = 0;
        slot.before = before;
        slot.behind = NONE;
        match before {
            NONE => self.first = key,
            _ => self.at_mut(before).behind = key,
        }
        self.last = key;
        if self.boundary == NONE {
            self.boundary = key;
        }
        self.waiting += 1;
        Key(key)
    }

    /// Comes when called: gives the place up if this waiter was notified.
    #[inline]
    pub(crate) fn answer(&mut self, key: Key) -> bool {
        let called = self.at(key.0).state == State::Notified;
        if called {
            // Its waker was taken when it was called, and the boundary is behind it.
            self.unlink(key.0);
            self.notified -= 1;
            self.give_back(key.0);
        }
        called
    }

    /// Gives a place up. The waker comes back to be dropped when nothing is borrowed.
    pub(crate) fn leave(&mut self, key: Key) -> (State, Option<W>) {
        let slot = self.at_mut(key.0);
        let (state, waker) = (slot.state, slot.waker.take());
        match state {
            State::Waiting => self.waiting -= 1,
            State::Notified => self.notified -= 1,
            State::PassedOver => {}
        }
        if state != State::PassedOver {
            self.unlink(key.0);
        }
        self.give_back(key.0);
        (state, waker)
    }

    /// How it stands with this waiter.
    #[inline]
    pub(crate) fn state(&self, key: Key) -> State {
        self.at(key.0).state
    }

    /// Makes sure that this waiter's waker is that of the task being polled; gives back a stale one.
    #[inline]
    pub(crate) fn refresh(&mut self, key: Key, cx: &Context<'_>) -> Option<W> {
        let waker = &mut self.at_mut(key.0).waker;
        match waker {
            Some(current) if current.is_current(cx) => None,
            _ => waker.replace(W::of(cx)),
        }
    }

    /// Calls the first one that is waiting. There is no waker if it has been woken already and not been
    /// polled since.
    #[inline]
    pub(crate) fn notify(&mut self) -> Option<W> {
        let key = self.boundary;
        if key == NONE {
            return None;
        }
        let call = self.calls.wrapping_add(1).max(1);
        self.calls = call;
        self.notified += 1;
        self.waiting -= 1;
        let slot = self.at_mut(key);
        slot.state = State::Notified;
        slot.call = call;
        let (behind, waker) = (slot.behind, slot.waker.take());
        self.boundary = behind;
        waker
    }

    /// Takes the newest unanswered call back: its waiter is the first in line again.
    pub(crate) fn withdraw(&mut self) {
        if self.notified == 0 {
            return;
        }
        let key = if self.boundary == NONE { self.last } else { self.at(self.boundary).before };
        let slot = self.at_mut(key);
        slot.state = State::Waiting;
        slot.call = 0;
        self.boundary = key;
        self.waiting += 1;
        self.notified -= 1;
    }

    /// Takes the oldest unanswered call from its waiter, which leaves the line.
    pub(crate) fn pass_over(&mut self) {
        if self.notified > 0 {
            let key = self.first;
            self.unlink(key);
            self.notified -= 1;
            self.at_mut(key).state = State::PassedOver;
        }
    }

    /// The oldest call nobody has answered.
    #[inline]
    pub(crate) fn oldest_call(&self) -> Option<Call> {
        (self.notified > 0).then(|| self.at(self.first).call)
    }

    /// The newest call, answered or not.
    pub(crate) fn latest_call(&self) -> Call {
        self.calls
    }

    /// Whether the oldest unanswered call is one that this waiter has already noted.
    pub(crate) fn has_seen_unanswered(&self, key: Key) -> bool {
        self.oldest_call() == Some(self.at(key.0).call)
    }

    /// Has a waiter note the oldest unanswered call, if it is its task to look after calls: if it is the
    /// next in line, or has not noted a call yet. True if it did.
    pub(crate) fn note_unanswered(&mut self, key: Key) -> bool {
        let Some(call) = self.oldest_call() else { return false };
        let is_next = self.boundary == key.0;
        let slot = self.at_mut(key.0);
        let looks = is_next || slot.call == 0;
        if looks {
            slot.call = call;
        }
        looks
    }

    /// Has a waiter forget the call it noted.
    pub(crate) fn forget_call(&mut self, key: Key) {
        self.at_mut(key.0).call = 0;
    }

    /// The waker of the next to be called, without calling it.
    pub(crate) fn take_next_waker(&mut self) -> Option<W> {
        match self.boundary {
            NONE => None,
            key => self.at_mut(key).waker.take(),
        }
    }

    /// Takes a waiter out of the line. It keeps its slot.
    #[inline]
    fn unlink(&mut self, key: u32) {
        let &Slot { before, behind, .. } = self.at(key);
        match before {
            NONE => self.first = behind,
            _ => self.at_mut(before).behind = behind,
        }
        match behind {
            NONE => self.last = before,
            _ => self.at_mut(behind).before = before,
        }
        if self.boundary == key {
            self.boundary = behind;
        }
    }

    #[inline]
    fn take_slot(&mut self) -> u32 {
        let key = self.free;
        if key == NONE {
            return self.new_slot();
        }
        self.free = self.at(key).behind;
        key
    }

    #[inline]
    fn give_back(&mut self, key: u32) {
        let next = self.free;
        self.at_mut(key).behind = next;
        self.free = key;
    }

    #[cold]
    fn new_slot(&mut self) -> u32 {
        // Four billion waiting futures fill the memory first.
        let key = u32::try_from(self.slots.len()).ok().filter(|&key| key != NONE);
        let state = State::PassedOver;
        self.slots.push(Slot { waker: None, state, call: 0, before: NONE, behind: NONE });
        key.expect("fewer than 2^32 - 1 waiters")
    }

    #[inline]
    fn at(&self, key: u32) -> &Slot<W> {
        &self.slots[key as usize]
    }

    #[inline]
    fn at_mut(&mut self, key: u32) -> &mut Slot<W> {
        &mut self.slots[key as usize]
    }
}
