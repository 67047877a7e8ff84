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
//! executor tells us that a future is not going to be polled again. So the one behind looks: when a
//! waiter is notified, the next in line, its **deputy**, is woken too. A deputy that finds the call
//! answered goes on waiting. One that finds it unanswered wakes itself once more, and when it comes
//! back to the same unanswered call, it passes that waiter over and takes the turn. On an executor
//! that runs tasks in the order in which they were woken, all there are in practice, the notified
//! one was polled in between if it was ever going to be. If an executor has another order, what is lost
//! is fairness for one turn, never anything else.
//!
//! A waiter that was passed over and is polled later after all joins the line anew, at its end.

use std::cell::{OnceCell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::LocalWaker;

use crate::waiters::{Key, State, WaiterList};

type List = WaiterList<LocalWaker>;

/// The waiting futures of one primitive. It allocates when somebody has to wait for the first time.
#[derive(Default)]
pub(crate) struct Line {
    list: OnceCell<Box<RefCell<List>>>,
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
    pub(crate) fn notified(&self) -> usize {
        self.list.get().map_or(0, |list| list.borrow().notified())
    }

    /// How many futures wait to be notified.
    pub(crate) fn waiting(&self) -> usize {
        self.list.get().map_or(0, |list| list.borrow().waiting())
    }

    /// Everybody in line, notified or not.
    pub(crate) fn len(&self) -> usize {
        self.list.get().map_or(0, |list| {
            let list = list.borrow();
            list.notified() + list.waiting()
        })
    }

    /// Notifies the first one that is waiting, if any.
    pub(crate) fn notify_one(&self) {
        let Some(list) = self.list.get() else { return };
        if list.borrow().waiting() == 0 {
            return;
        }
        let waker = list.borrow_mut().notify();
        if let Some(waker) = waker {
            waker.wake();
        }
        self.wake_deputy();
    }

    /// Notifies everybody who is waiting now.
    pub(crate) fn notify_all(&self) {
        let Some(list) = self.list.get() else { return };
        // Counted beforehand: a foreign waker could let new ones join while we call the others.
        for _ in 0..self.waiting() {
            let waker = list.borrow_mut().notify();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Takes the newest unanswered notification back, because what it promised was taken by force.
    pub(crate) fn withdraw(&self) {
        if let Some(list) = self.list.get() {
            list.borrow_mut().withdraw();
        }
    }

    /// Lets the next in line look after those who were notified.
    fn wake_deputy(&self) {
        let Some(list) = self.list.get() else { return };
        if list.borrow().notified() == 0 {
            return;
        }
        let waker = list.borrow_mut().take_next_waker();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn list(&self) -> &RefCell<List> {
        self.list.get_or_init(Box::default)
    }
}

/// One future's wait for its turn. Dropped after it was notified, it passes the turn on.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    line: &'a Line,
    key: Option<Key>,
}

/// What a look at the line shows.
enum Verdict {
    /// We were notified: it is our turn.
    Ours,
    /// It is our turn, because one who was notified before us has not come.
    Instead,
    /// Somebody will notify us.
    Wait,
    /// The ones ahead were notified, have not come, and get one more chance.
    Again,
}

/// Looks whether it is this waiter's turn, and whether those ahead come when they are called.
fn look(list: &mut List, key: Key) -> Verdict {
    let doubts = match list.state(key) {
        State::Notified { .. } => return Verdict::Ours,
        State::Waiting { doubts } => doubts,
        State::PassedOver => return Verdict::Wait,
    };
    match list.oldest_call() {
        Some(call) if list.is_next(key) => {
            if doubts == Some(call) {
                list.pass_over();
                return Verdict::Instead;
            }
            list.doubt(key, call);
            Verdict::Again
        }
        _ => Verdict::Wait,
    }
}

impl<'a> Turn<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, key: None }
    }

    /// Ready when the caller may take one of the `free` units, which it then has to do.
    pub(crate) fn poll(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        if self.key.is_some() && !self.was_passed_over() {
            return self.poll_in_line(cx);
        }
        if free > self.line.notified() {
            return Poll::Ready(());
        }
        self.key = Some(self.line.list().borrow_mut().join(cx));
        self.poll_in_line(cx)
    }

    /// Whether this future was notified, didn't come, and was passed over. It is out of the line then.
    pub(crate) fn was_passed_over(&mut self) -> bool {
        let Some(key) = self.key else { return false };
        let passed = self.line.list().borrow().state(key) == State::PassedOver;
        if passed {
            self.leave();
        }
        passed
    }

    fn poll_in_line(&mut self, cx: &Context<'_>) -> Poll<()> {
        let Some(key) = self.key else { return Poll::Pending };
        let verdict = look(&mut self.line.list().borrow_mut(), key);
        match verdict {
            Verdict::Ours => {
                self.leave();
                return Poll::Ready(());
            }
            Verdict::Instead => {
                self.leave();
                self.line.wake_deputy();
                return Poll::Ready(());
            }
            Verdict::Wait => {}
            Verdict::Again => cx.waker().wake_by_ref(),
        }
        let stale = self.line.list().borrow_mut().refresh(key, cx);
        drop(stale);
        Poll::Pending
    }

    /// Gives the place up, and says how it stood.
    fn leave(&mut self) -> Option<State> {
        let key = self.key.take()?;
        let (state, waker) = self.line.list().borrow_mut().leave(key);
        drop(waker);
        Some(state)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        match self.leave() {
            Some(State::Notified { .. }) => self.line.notify_one(),
            Some(State::Waiting { .. }) => self.line.wake_deputy(),
            Some(State::PassedOver) | None => {}
        }
    }
}

/// One future's wait for a signal to everybody.
#[derive(Debug)]
pub(crate) struct Signal<'a> {
    line: &'a Line,
    key: Option<Key>,
}

impl<'a> Signal<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, key: None }
    }

    /// Ready when everybody was notified since the first poll.
    pub(crate) fn poll_signal(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut list = self.line.list().borrow_mut();
        let Some(key) = self.key else {
            self.key = Some(list.join(cx));
            return Poll::Pending;
        };
        if let State::Waiting { .. } = list.state(key) {
            let stale = list.refresh(key, cx);
            drop(list);
            drop(stale);
            return Poll::Pending;
        }
        drop(list);
        self.leave();
        Poll::Ready(())
    }

    /// Gives the place up.
    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let left = self.line.list().borrow_mut().leave(key);
            drop(left);
        }
    }
}

impl Future for Signal<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_signal(cx)
    }
}

impl Drop for Signal<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
