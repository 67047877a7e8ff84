//! Whose turn it is: what a notification means when there is one thing and many want it.
//!
//! The thing is a lock, a permit, an item or a slot; here it is a *unit*. The rules are those of fairness
//! and of losing nothing:
//!
//! 1. *A notification reserves, it doesn't hand over.* What is given away stays with the primitive until
//!    the notified future is polled and takes it.
//! 2. *Nobody overtakes.* A newcomer takes what is free only if more is free than was promised to
//!    notified waiters (a semaphore even then lets those go first). Otherwise it queues, although the
//!    thing may look free.
//! 3. *A promise is never lost.* A future dropped after it was notified passes its turn on to the next.
//! 4. *A promise isn't kept for ever.* A notified future that doesn't come is passed over.
//!
//! The fourth is the hard one. A future that somebody keeps aside, for instance one that lost a `select!`
//! to which it was given by reference, wakes its task when it is notified, but nothing polls it. With a
//! lock that hands over, or that keeps its promise, everybody behind it is stuck: a *futurelock*. No
//! executor tells us that a future is not going to be polled again, so somebody has to look.
//!
//! On our own loop a callback of the loop looks: see `stalled`.
//!
//! On any other executor those in line look. When a waiter is notified, the one behind it, its **deputy**,
//! is woken too. A deputy that finds the call answered goes on waiting. One that finds it unanswered
//! wakes itself once more, and when it comes back to the same unanswered call, it passes that waiter
//! over and takes the turn. A newcomer that finds an unanswered call does the same on behalf of
//! the first who waits. On an executor that runs tasks in the order in which they were woken, and in
//! practice they do, the notified one was polled in between if it was ever going to be. If an executor
//! has another order, what is lost is fairness for one turn, never anything else. There is one limit:
//! when a waiter and its deputy are both kept aside, the others get past them only when the next
//! newcomer joins, or one of the two is dropped.
//!
//! A waiter that was passed over and is polled later after all joins the line anew, at its end.

use std::task::{Context, Poll};

use crate::waiters::{Call, Key, State, WaiterList, Wake};

/// What a waiter found when it was polled, and what to do about it once nothing is borrowed or locked.
#[must_use]
pub(crate) struct Polled<W> {
    found: Found,
    /// To be woken.
    wake: Option<W>,
    /// To be dropped.
    stale: Option<W>,
}

enum Found {
    /// It is the caller's turn.
    Ours,
    /// Somebody will notify it.
    Wait,
    /// Somebody ahead was called and has not come: look again when it had its chance.
    LookAgain,
}

impl<W: Wake> Polled<W> {
    #[inline]
    fn new(found: Found) -> Self {
        Self { found, wake: None, stale: None }
    }

    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.found, Found::Ours)
    }

    /// Does what is to be done.
    #[inline]
    pub(crate) fn settle(self, cx: &Context<'_>) -> Poll<()> {
        if let Some(waker) = self.wake {
            waker.wake();
        }
        match self.found {
            Found::Ours => return Poll::Ready(()),
            Found::Wait => {}
            Found::LookAgain => cx.waker().wake_by_ref(),
        }
        Poll::Pending
    }
}

impl<W: Wake> WaiterList<W> {
    /// Polls a waiter that wants one of `free` units. It joins the line if it has to.
    pub(crate) fn poll_turn(
        &self,
        place: &mut Option<Key>,
        free: usize,
        cx: &Context<'_>,
        watched: impl FnOnce(Call) -> bool,
    ) -> Polled<W> {
        match *place {
            Some(key) if self.answer(key) => {
                *place = None;
                Polled::new(Found::Ours)
            }
            None if free > self.notified() => Polled::new(Found::Ours),
            _ => self.poll_carefully(place, free, cx, watched),
        }
    }

    /// Polls a waiter that has to join the line, or is in it and was not called.
    ///
    /// `watched` says whether somebody else looks after those.
    pub(crate) fn poll_carefully(
        &self,
        place: &mut Option<Key>,
        free: usize,
        cx: &Context<'_>,
        watched: impl FnOnce(Call) -> bool,
    ) -> Polled<W> {
        let mut polled = Polled::new(Found::Wait);
        let key = match *place {
            Some(key) if self.state(key) != State::Out => {
                polled.stale = self.refresh(key, cx);
                if self.was_called(key) {
                    // By its own waker, when that was cloned.
                    polled.found = Found::LookAgain;
                    return polled;
                }
                key
            }
            passed_over => {
                if let Some(key) = passed_over {
                    self.leave(key);
                    *place = None;
                }
                if free > self.notified() {
                    polled.found = Found::Ours;
                    return polled;
                }
                self.join(cx)
            }
        };
        *place = Some(key);
        match self.oldest_call() {
            Some(call) if !watched(call) => self.look_after_calls(place, key, polled),
            _ => polled,
        }
    }

    /// Polls a waiter that waits for the next signal to everybody; also hands back a stale waker.
    #[inline]
    pub(crate) fn poll_signal(
        &self,
        place: &mut Option<Key>,
        cx: &Context<'_>,
    ) -> (Poll<()>, Option<W>) {
        let Some(key) = *place else {
            *place = Some(self.join(cx));
            return (Poll::Pending, None);
        };
        if self.answer_at(place, key) {
            return (Poll::Ready(()), None);
        }
        (Poll::Pending, self.refresh(key, cx))
    }

    #[inline]
    fn answer_at(&self, place: &mut Option<Key>, key: Key) -> bool {
        let called = self.answer(key);
        if called {
            *place = None;
        }
        called
    }

    /// Looks whether those who were called come.
    #[cold]
    fn look_after_calls(
        &self,
        place: &mut Option<Key>,
        key: Key,
        mut polled: Polled<W>,
    ) -> Polled<W> {
        if self.has_seen_unanswered(key) {
            self.pass_over();
            let called = self.notify();
            if self.answer_at(place, key) {
                polled.found = Found::Ours;
                (polled.wake, polled.stale) = (self.deputy(), called);
                return polled;
            }
            polled.wake = called;
            self.forget_call(key); // and note the next one
        }
        if self.note_unanswered(key) {
            polled.found = Found::LookAgain;
        }
        polled
    }
}
