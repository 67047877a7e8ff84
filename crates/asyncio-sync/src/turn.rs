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
//! On our own loop a callback of the loop looks: see `watch`.
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
    ///
    /// `watched` says whether somebody else looks after those who were called.
    pub(crate) fn poll_turn(
        &mut self,
        place: &mut Option<Key>,
        free: usize,
        cx: &Context<'_>,
        watched: impl FnOnce(Call) -> bool,
    ) -> Polled<W> {
        let mut polled = Polled::new(Found::Wait);
        let key = match *place {
            None if free > self.notified() => return Polled::new(Found::Ours),
            None => self.join(cx),
            Some(key) => match self.state(key) {
                State::Waiting => {
                    polled.stale = self.refresh(key, cx);
                    key
                }
                State::Notified => {
                    self.leave_at(place);
                    return Polled::new(Found::Ours);
                }
                State::PassedOver => {
                    self.leave_at(place);
                    return self.poll_turn(place, free, cx, watched);
                }
            },
        };
        *place = Some(key);
        if let Some(call) = self.oldest_call() {
            if !watched(call) {
                self.look_ahead(place, key, &mut polled);
            }
        }
        polled
    }

    /// Polls a waiter that waits for the next signal to everybody.
    pub(crate) fn poll_signal(&mut self, place: &mut Option<Key>, cx: &Context<'_>) -> Polled<W> {
        let mut polled = Polled::new(Found::Wait);
        match *place {
            None => *place = Some(self.join(cx)),
            Some(key) if self.state(key) == State::Waiting => polled.stale = self.refresh(key, cx),
            Some(_) => {
                self.leave_at(place);
                polled.found = Found::Ours;
            }
        }
        polled
    }

    /// Looks whether those ahead come when they are called.
    #[cold]
    fn look_ahead(&mut self, place: &mut Option<Key>, key: Key, polled: &mut Polled<W>) {
        if self.has_seen_unanswered(key) {
            self.pass_over();
            let called = self.notify();
            if self.state(key) == State::Notified {
                self.leave_at(place);
                polled.found = Found::Ours;
                (polled.wake, polled.stale) = (self.deputy(), called);
                return;
            }
            polled.wake = called;
            self.forget_call(key); // and note the next one
        }
        if self.note_unanswered(key) {
            polled.found = Found::LookAgain;
        }
    }

    /// Gives up the place of one that was called, whose waker is spent.
    fn leave_at(&mut self, place: &mut Option<Key>) {
        if let Some(key) = place.take() {
            let (_, waker) = self.leave(key);
            debug_assert!(waker.is_none(), "taken when it was called");
        }
    }

    /// Whether there are any who wait behind others that were called.
    pub(crate) fn is_held_up(&self) -> bool {
        self.notified() > 0 && self.waiting() > 0
    }

    /// The deputy's waker, if it is needed and not awake already.
    pub(crate) fn deputy(&mut self) -> Option<W> {
        if self.is_held_up() { self.take_next_waker() } else { None }
    }
}
