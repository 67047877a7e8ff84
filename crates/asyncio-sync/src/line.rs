//! Whose turn it is: how futures wait in a [`WaiterList`] and what a notification means.
//!
//! There are two ways to wait. A [`Signal`] is for everybody who was there when it was given: an event
//! that is set, a queue that is empty of work. A [`Turn`] is for one at a time: a lock, a permit, an
//! item, a slot. This file gives turns, and its rules are those of fairness and of losing nothing:
//!
//! 1. *A notification reserves, it doesn't hand over.* What is given away stays with the primitive until
//!    the notified future is polled and takes it.
//! 2. *Nobody overtakes.* A newcomer takes what is free only if more is free than was promised to
//!    notified waiters. Otherwise it queues, although the thing may look free.
//! 3. *A promise is never lost.* A future dropped after it was notified passes its turn on to the next.
//! 4. *A promise isn't kept for ever.* A notified future that doesn't come is passed over.
//!
//! The fourth is the hard one. A future that somebody keeps aside, for instance one that lost a `select!`
//! to which it was given by reference, wakes its task when it is notified, but nothing polls it. With a
//! lock that hands over, or that keeps its promise, everybody behind it is stuck: a *futurelock*. No
//! executor tells us that a future is not going to be polled again, so somebody has to look.
//!
//! On our own loop a callback of the loop looks: see [`watch`](crate::watch).
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

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::LocalWaker;

use crate::waiters::{Call, Key, State, WaiterList};
use crate::watch::watch;

type List = WaiterList<LocalWaker>;

/// The waiting futures of one primitive. It allocates when somebody has to wait for the first time.
#[derive(Default)]
pub(crate) struct Line {
    shared: OnceCell<Rc<Shared>>,
}

/// The list itself, which the watch shares.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    list: RefCell<List>,
    watched: Cell<bool>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("notified", &self.notified())
            .field("waiting", &self.waiting())
            .finish()
    }
}

impl Line {
    /// How many futures were notified and have not been polled since.
    #[inline]
    pub(crate) fn notified(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.list.borrow().notified())
    }

    /// How many futures wait to be notified.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.list.borrow().waiting())
    }

    /// Everybody in line, notified or not.
    pub(crate) fn len(&self) -> usize {
        self.notified() + self.waiting()
    }

    /// Notifies the first one that is waiting, if any.
    #[inline]
    pub(crate) fn notify_one(&self) {
        if self.waiting() > 0 {
            self.shared().notify();
        }
    }

    /// Notifies everybody who is waiting now.
    pub(crate) fn notify_all(&self) {
        // Counted beforehand: a foreign waker could let new ones join while we call the others.
        for _ in 0..self.waiting() {
            self.shared().call_next();
        }
    }

    /// Takes the newest unanswered notification back, because what it promised was taken by force.
    pub(crate) fn withdraw(&self) {
        self.shared().list.borrow_mut().withdraw();
    }

    fn shared(&self) -> &Rc<Shared> {
        self.shared.get_or_init(Rc::default)
    }
}

impl Shared {
    /// Notifies the first one that is waiting, and sees to it that its answer is not awaited for ever.
    fn notify(self: &Rc<Self>) {
        self.call_next();
        self.guard();
    }

    fn call_next(&self) {
        let waker = self.list.borrow_mut().notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has somebody look after those who were notified, if others wait behind them.
    fn guard(self: &Rc<Self>) {
        if !self.is_held_up() || self.is_watched() {
            return;
        }
        let deputy = self.list.borrow_mut().take_next_waker();
        if let Some(deputy) = deputy {
            deputy.wake();
        }
    }

    /// Whether there are any who wait behind others that were called.
    pub(crate) fn is_held_up(&self) -> bool {
        let list = self.list.borrow();
        list.notified() > 0 && list.waiting() > 0
    }

    /// Whether our loop looks after this line; it does from now on if it can.
    fn is_watched(self: &Rc<Self>) -> bool {
        self.watched.get() || watch(self)
    }

    pub(crate) fn set_watched(&self, yes: bool) {
        self.watched.set(yes);
    }

    pub(crate) fn oldest_call(&self) -> Option<Call> {
        self.list.borrow().oldest_call()
    }

    /// Gives the oldest unanswered call to the next in line.
    pub(crate) fn pass_over(&self) {
        self.list.borrow_mut().pass_over();
        self.call_next();
    }
}

/// A future's place in line, once it has joined.
#[derive(Debug)]
struct Place<'a> {
    line: &'a Line,
    key: Option<Key>,
}

impl Place<'_> {
    fn join(&mut self, cx: &Context<'_>) {
        self.key = Some(self.line.shared().list.borrow_mut().join(cx));
    }

    fn state(&self) -> Option<State> {
        self.key.map(|key| self.line.shared().list.borrow().state(key))
    }

    /// Sees to it that a notification wakes the task being polled.
    fn refresh(&self, cx: &Context<'_>) {
        if let Some(key) = self.key {
            let stale = self.line.shared().list.borrow_mut().refresh(key, cx);
            drop(stale);
        }
    }

    /// Gives the place up, and says how it stood.
    fn leave(&mut self) -> Option<State> {
        let key = self.key.take()?;
        let (state, waker) = self.line.shared().list.borrow_mut().leave(key);
        drop(waker);
        Some(state)
    }
}

/// One future's wait for its turn. Dropped after it was notified, it passes the turn on.
#[derive(Debug)]
pub(crate) struct Turn<'a>(Place<'a>);

impl<'a> Turn<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self(Place { line, key: None })
    }

    /// Ready when the caller may take one of the `free` units, which it then has to do.
    #[inline]
    pub(crate) fn poll(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        if self.0.key.is_none() && free > self.0.line.notified() {
            return Poll::Ready(());
        }
        self.poll_in_line(free, cx)
    }

    fn poll_in_line(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        match self.0.state() {
            None => self.0.join(cx),
            Some(State::Waiting) => self.0.refresh(cx),
            Some(State::Notified) => {
                self.0.leave();
                return Poll::Ready(());
            }
            Some(State::PassedOver) => {
                self.0.leave();
                return self.poll(free, cx);
            }
        }
        self.look_ahead(cx)
    }

    /// Looks whether those ahead of us come when they are called, if nobody else does.
    fn look_ahead(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Place { line, key: Some(key) } = self.0 else { return Poll::Pending };
        let shared = line.shared();
        if shared.oldest_call().is_none() || shared.is_watched() {
            return Poll::Pending;
        }
        if shared.list.borrow().has_seen_unanswered(key) {
            shared.pass_over();
            if self.0.state() == Some(State::Notified) {
                self.0.leave();
                shared.guard();
                return Poll::Ready(());
            }
            shared.list.borrow_mut().forget_call(key); // and look after the next one
        }
        if shared.list.borrow_mut().note_unanswered(key) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether this future was notified, didn't come, and was passed over. It is out of the line then.
    pub(crate) fn was_passed_over(&mut self) -> bool {
        let passed = self.0.state() == Some(State::PassedOver);
        if passed {
            self.0.leave();
        }
        passed
    }

    /// Leaves the line without having had a turn.
    #[cold]
    fn give_up(&mut self) {
        match self.0.leave() {
            Some(State::Notified) => self.0.line.notify_one(),
            Some(State::Waiting) => self.0.line.shared().guard(),
            Some(State::PassedOver) | None => {}
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.key.is_some() {
            self.give_up();
        }
    }
}

/// One future's wait for a signal to everybody.
#[derive(Debug)]
pub(crate) struct Signal<'a>(Place<'a>);

impl<'a> Signal<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self(Place { line, key: None })
    }

    /// Ready when everybody was notified since the first poll.
    pub(crate) fn poll_signal(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.0.state() {
            None => self.0.join(cx),
            Some(State::Waiting) => self.0.refresh(cx),
            Some(State::Notified | State::PassedOver) => {
                self.0.leave();
                return Poll::Ready(());
            }
        }
        Poll::Pending
    }
}

impl Future for Signal<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_signal(cx)
    }
}

impl Drop for Signal<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.0.key.is_some() {
            self.0.leave();
        }
    }
}
