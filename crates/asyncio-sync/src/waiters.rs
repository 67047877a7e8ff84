//! The line everyone queues in: a first-in-first-out list of wakers.
//!
//! A line has two parts, in this order: waiters that were *notified* (called, but they have not come
//! yet) and waiters that are still *waiting*. Notifying moves the boundary by one, so order is never
//! decided anywhere else. Joining, leaving from any position and notifying take constant time, and the
//! slots of those who left are used again: a line that has seen its peak never allocates.
//!
//! The list wakes nobody. It hands wakers out, so that its owner can call or drop them when nothing is
//! borrowed or locked any more: both may run foreign code. What a notification means, and what happens
//! when the notified waiter doesn't come, is decided in [`line`](crate::line).

use std::task::{Context, Waker};

use asyncio_loop::LocalWaker;
use slab::Slab;

/// What a line keeps of a waiting task.
pub(crate) trait Wake {
    /// Takes the waker of the task being polled.
    fn of(cx: &Context<'_>) -> Self;
    /// Whether this waker wakes the task being polled.
    fn is_current(&self, cx: &Context<'_>) -> bool;
}

impl Wake for LocalWaker {
    fn of(cx: &Context<'_>) -> Self {
        Self::from_context(cx)
    }

    fn is_current(&self, cx: &Context<'_>) -> bool {
        self.will_wake(cx)
    }
}

impl Wake for Waker {
    fn of(cx: &Context<'_>) -> Self {
        cx.waker().clone()
    }

    fn is_current(&self, cx: &Context<'_>) -> bool {
        self.will_wake(cx.waker())
    }
}

/// A place in the line. It belongs to one future, which gives it back with [`WaiterList::leave`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u32);

/// Stands for "no neighbour".
const NONE: u32 = u32::MAX;

/// Numbers the notifications of one line. It may wrap: it only tells neighbours in time apart.
pub(crate) type Call = u32;

/// How it stands with one waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// In line. `doubts` is the unanswered call this waiter has already seen once, if any.
    Waiting { doubts: Option<Call> },
    /// Called, and the call is still this waiter's.
    Notified { call: Call },
    /// Called, but it did not come, and its call went to another. No longer in line.
    PassedOver,
}

#[derive(Debug)]
struct Entry<W> {
    /// Taken when the waiter is woken; its next poll puts one back.
    waker: Option<W>,
    state: State,
    before: u32,
    behind: u32,
}

/// The line.
#[derive(Debug)]
pub(crate) struct WaiterList<W> {
    entries: Slab<Entry<W>>,
    first: u32,
    last: u32,
    /// The first one that is still waiting: where the notified part ends.
    boundary: u32,
    notified: usize,
    waiting: usize,
    calls: Call,
}

impl<W> Default for WaiterList<W> {
    fn default() -> Self {
        Self {
            entries: Slab::new(),
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
    pub(crate) fn notified(&self) -> usize {
        self.notified
    }

    /// How many are still waiting to be called.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Takes a place at the end.
    pub(crate) fn join(&mut self, cx: &Context<'_>) -> Key {
        let entry = Entry {
            waker: Some(W::of(cx)),
            state: State::Waiting { doubts: None },
            before: NONE,
            behind: NONE,
        };
        let key = to_index(self.entries.insert(entry));
        self.push_back(key);
        Key(key)
    }

    /// Gives a place up. The waker comes back to be dropped when nothing is borrowed.
    pub(crate) fn leave(&mut self, key: Key) -> (State, Option<W>) {
        if self.state(key) != State::PassedOver {
            self.unlink(key.0);
        }
        let entry = self.entries.remove(key.0 as usize);
        (entry.state, entry.waker)
    }

    /// How it stands with this waiter.
    pub(crate) fn state(&self, key: Key) -> State {
        self.at(key.0).state
    }

    /// Makes sure that this waiter's waker is that of the task being polled; gives back a stale one.
    pub(crate) fn refresh(&mut self, key: Key, cx: &Context<'_>) -> Option<W> {
        let waker = &mut self.at_mut(key.0).waker;
        match waker {
            Some(current) if current.is_current(cx) => None,
            _ => waker.replace(W::of(cx)),
        }
    }

    /// Calls the first one that is waiting. There is no waker if it has been woken already and not been
    /// polled since.
    pub(crate) fn notify(&mut self) -> Option<W> {
        let key = self.boundary;
        if key == NONE {
            return None;
        }
        self.calls = self.calls.wrapping_add(1);
        let call = self.calls;
        let entry = self.at_mut(key);
        entry.state = State::Notified { call };
        let (waker, behind) = (entry.waker.take(), entry.behind);
        self.boundary = behind;
        self.waiting -= 1;
        self.notified += 1;
        waker
    }

    /// Takes the newest unanswered call back: its waiter is the first in line again.
    pub(crate) fn withdraw(&mut self) {
        let key = if self.boundary == NONE { self.last } else { self.at(self.boundary).before };
        if key == NONE {
            return;
        }
        self.at_mut(key).state = State::Waiting { doubts: None };
        self.boundary = key;
        self.waiting += 1;
        self.notified -= 1;
    }

    /// Takes the oldest unanswered call from its waiter, which leaves the line.
    pub(crate) fn pass_over(&mut self) {
        if self.notified > 0 {
            let key = self.first;
            self.unlink(key);
            self.at_mut(key).state = State::PassedOver;
        }
    }

    /// The oldest call nobody has answered.
    pub(crate) fn oldest_call(&self) -> Option<Call> {
        match self.notified {
            0 => None,
            _ => match self.at(self.first).state {
                State::Notified { call } => Some(call),
                State::Waiting { .. } | State::PassedOver => None,
            },
        }
    }

    /// Whether this waiter is the next to be called.
    pub(crate) fn is_next(&self, key: Key) -> bool {
        self.boundary == key.0
    }

    /// Lets a waiting one remember that it has seen this call unanswered.
    pub(crate) fn doubt(&mut self, key: Key, call: Call) {
        self.at_mut(key.0).state = State::Waiting { doubts: Some(call) };
    }

    /// The waker of the next to be called, without calling it.
    pub(crate) fn take_next_waker(&mut self) -> Option<W> {
        match self.boundary {
            NONE => None,
            key => self.at_mut(key).waker.take(),
        }
    }

    fn push_back(&mut self, key: u32) {
        let before = self.last;
        let entry = self.at_mut(key);
        entry.state = State::Waiting { doubts: None };
        entry.before = before;
        entry.behind = NONE;
        match before {
            NONE => self.first = key,
            _ => self.at_mut(before).behind = key,
        }
        self.last = key;
        if self.boundary == NONE {
            self.boundary = key;
        }
        self.waiting += 1;
    }

    fn unlink(&mut self, key: u32) {
        let &Entry { before, behind, state, .. } = self.at(key);
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
        match state {
            State::Waiting { .. } => self.waiting -= 1,
            State::Notified { .. } => self.notified -= 1,
            State::PassedOver => {}
        }
    }

    fn at(&self, key: u32) -> &Entry<W> {
        &self.entries[key as usize]
    }

    fn at_mut(&mut self, key: u32) -> &mut Entry<W> {
        &mut self.entries[key as usize]
    }
}

/// Four billion waiting futures fill the memory first.
fn to_index(key: usize) -> u32 {
    u32::try_from(key).ok().filter(|&key| key != NONE).expect("fewer than 2^32 - 1 waiters")
}
