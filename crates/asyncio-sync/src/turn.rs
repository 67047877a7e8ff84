//! What a notification means when there is one thing and several futures want it.
//!
//! The thing is a lock, a permit, an item or a slot; here it is a *unit*. Four rules make the
//! primitives fair, and keep units from being lost:
//!
//! 1. *A notification reserves, it doesn't hand over.* The unit stays with the primitive until
//!    the notified future is polled and takes it.
//! 2. *No future overtakes.* A newcomer takes a unit only if more are free than were promised to
//!    notified futures (a semaphore even then lets those go first). Otherwise it queues, although
//!    the primitive may look free.
//! 3. *A promise is never lost.* A notified future that is dropped passes its turn on to the next.
//! 4. *A promise isn't kept for ever.* A notified future that is not polled is passed over.
//!
//! The fourth is the hard one. A program may keep a future aside, for instance one that lost a
//! `select!` to which it was given by reference. A notification wakes its task, but nothing polls
//! the future. With a lock that hands itself over, or that keeps its promise, every future behind
//! is stuck: a *futurelock*. No executor tells a primitive that a future is not going to be polled
//! again, so the primitive has to look.
//!
//! On our own loop a callback of the loop looks: see [`stalled`](crate::stalled).
//!
//! On any other executor the futures in line look. A notification also wakes the future behind the
//! notified one, its **deputy**. A deputy that finds the call answered goes on waiting. One that
//! finds the call unanswered wakes itself once more, and when it comes back to the same unanswered
//! call, it passes the notified future over and takes the turn. A newcomer that finds an unanswered
//! call does the same on behalf of the first waiting future. Executors run tasks in the order in
//! which they were woken, so by then the notified future was polled if it was ever going to be. If
//! an executor has another order, fairness is lost for one turn and nothing else. There is one
//! limit: when a notified future and its deputy are both kept aside, the others get past them only
//! when a newcomer joins, or one of the two is dropped.
//!
//! A future that was passed over and is polled later joins the line anew, at its end.

use std::task::{Context, Poll};

use crate::waiters::{Call, Key, State, WaiterList, Wake};

/// What a waiter found when it was polled, and what to do about it once nothing is borrowed or
/// locked.
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

    /// Passes a notified future over, if it was called before the last look.
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
