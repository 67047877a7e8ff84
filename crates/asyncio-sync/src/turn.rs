//! The meaning of a notification when several futures wait for one unit.
//!
//! A *unit* is a lock, a permit, an item or a slot. Four rules make the primitives fair, and
//! prevent that units are lost:
//!
//! 1. *A notification reserves a unit and does not hand it over.* The unit stays with the primitive
//!    until the notified future is polled and takes it.
//! 2. *No future overtakes.* A newcomer takes a unit only if more are free than were promised to
//!    notified futures (with a semaphore, notified futures go first even then). Otherwise it
//!    queues, although the primitive may look free.
//! 3. *A promise is never lost.* A notified future that is dropped passes its turn on to the next.
//! 4. *A promise ends.* A notified future that is not polled is passed over.
//!
//! The fourth rule is the hard one. A program may keep a future without polling it, for instance
//! one that lost a `select!` to which it was passed by reference. A notification wakes its task,
//! but nothing polls the future. With a lock that hands over ownership, or that keeps its promise
//! forever, every future behind is stuck: a *futurelock*. No executor tells a primitive that a
//! future is not going to be polled again, so the primitive has to find out.
//!
//! On this project's loop a callback of the loop checks: see [`stalled`](crate::stalled).
//!
//! On any other executor the futures in line check. A notification also wakes the future behind the
//! notified one, its **deputy**. A deputy that finds the notification answered goes on waiting. A
//! deputy that finds it unanswered wakes itself once more. If it finds the same notification
//! unanswered again, it passes the notified future over and takes the turn. A newcomer that finds
//! an unanswered notification does the same on behalf of the first waiting future. Executors run
//! tasks in the order in which they were woken, so by then the notified future was polled if it was
//! ever going to be. If an executor has another order, fairness is lost for one turn and nothing
//! else. There is one limit: if neither a notified future nor its deputy is polled again, the
//! others go on only when a newcomer joins, or when one of the two is dropped.
//!
//! A future that was passed over and is polled later joins the line again, at its end.

use std::task::{Context, Poll};

use crate::waiters::{Call, Key, State, WaiterList, Wake};

/// The result of polling a waiter, with the wakers to wake and drop once nothing is borrowed or
/// locked.
#[must_use]
pub(crate) struct Polled<W> {
    found: Found,
    /// The waker to wake.
    wake: Option<W>,
    /// The waker to drop.
    stale: Option<W>,
}

enum Found {
    /// It is the caller's turn.
    Ours,
    /// The waiter will be notified.
    Wait,
    /// A future ahead was notified and has not answered: check again when it had its chance.
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

    /// Wakes and drops the wakers.
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

    /// Polls a waiter that has to join the line, or is in it and was not notified.
    ///
    /// `watched` says whether a loop checks the notified futures.
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
                    // Its own waker may have caused that while it was cloned.
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

    /// Polls a waiter that waits for the next signal to all; also returns a stale waker.
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

    /// Passes a notified future over, if it was notified before the last check.
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
