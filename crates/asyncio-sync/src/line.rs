//! The line of one primitive: a [`WaiterList`] of local wakers, and the futures that wait in it.
//!
//! There are two ways to wait. A [`Signal`] is for everybody who was there when it was given: an event
//! that is set, a queue that has no work left. A [`Turn`] is for one at a time: see [`turn`](crate::turn).

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{LocalWaker, WaitsFor};

use crate::debug;
use crate::waiters::{Call, Key, State, WaiterList};
use crate::watch::{remember, watch};

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
        self.shared.get().map_or(0, |shared| shared.list.borrow().len())
    }

    /// Notifies the first one that is waiting, if any.
    #[inline]
    pub(crate) fn notify_one(&self) {
        if let Some(shared) = self.shared.get() {
            if shared.list.borrow().waiting() > 0 {
                shared.notify();
            }
        }
    }

    /// Notifies as many of those who are waiting as there are units that nobody was promised.
    #[inline]
    pub(crate) fn offer(&self, free: usize) {
        while self.waiting() > 0 && self.notified() < free {
            self.notify_one();
        }
    }

    /// Whether this waiter was notified, in which case it is out of the line now.
    #[inline]
    fn answer(&self, key: Key) -> bool {
        self.shared.get().is_some_and(|shared| shared.list.borrow_mut().answer(key))
    }

    /// Notifies everybody who is waiting now.
    pub(crate) fn notify_all(&self) {
        let Some(shared) = self.shared.get() else { return };
        // Counted beforehand: a foreign waker could let new ones join while we call the others.
        let waiting = shared.list.borrow().waiting();
        for _ in 0..waiting {
            shared.call_next();
        }
    }

    /// Takes the newest unanswered notification back, because what it promised was taken by force.
    pub(crate) fn withdraw(&self) {
        self.shared().list.borrow_mut().withdraw();
    }

    #[inline]
    fn shared(&self) -> &Rc<Shared> {
        match self.shared.get() {
            Some(shared) => shared,
            None => self.shared.get_or_init(Rc::default),
        }
    }
}

impl Shared {
    /// Notifies the first one that is waiting, and sees to it that its answer is not awaited for ever.
    fn notify(self: &Rc<Self>) {
        let mut list = self.list.borrow_mut();
        let waker = list.notify();
        let held_up = list.is_held_up();
        drop(list);
        let Some(waker) = waker else { return self.guard() };
        if !held_up {
            return waker.wake();
        }
        let task = if debug::is_on() { waker.task() } else { None };
        waker.wake();
        self.guard();
        if let Some(task) = task {
            remember(self, self.list.borrow().latest_call(), task);
        }
    }

    #[inline]
    fn call_next(&self) {
        let waker = self.list.borrow_mut().notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Has somebody look after those who were called, if others wait behind them.
    fn guard(self: &Rc<Self>) {
        let Some(call) = self.call_that_holds_up() else { return };
        if !self.is_watched(call) {
            let deputy = self.list.borrow_mut().deputy();
            if let Some(deputy) = deputy {
                deputy.wake();
            }
        }
    }

    /// Whether our loop looks after this line; it does from now on if it can.
    fn is_watched(self: &Rc<Self>, call: Call) -> bool {
        self.watched.get() || watch(self, call)
    }

    pub(crate) fn set_watched(&self, yes: bool) {
        self.watched.set(yes);
    }

    /// The oldest unanswered call, if others wait behind.
    pub(crate) fn call_that_holds_up(&self) -> Option<Call> {
        let list = self.list.borrow();
        if list.is_held_up() { list.oldest_call() } else { None }
    }

    /// Gives the oldest unanswered call to the next in line.
    pub(crate) fn pass_over(&self) {
        self.list.borrow_mut().pass_over();
        self.call_next();
    }
}

/// One future's wait for its turn. Dropped after it was notified, it passes the turn on.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    line: &'a Line,
    place: Option<Key>,
}

impl<'a> Turn<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, place: None }
    }

    /// Ready when the caller may take one of the `free` units, which it then has to do.
    #[inline]
    pub(crate) fn poll(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        match self.place {
            None if free > self.line.notified() => return Poll::Ready(()),
            Some(key) if self.line.answer(key) => {
                self.place = None;
                return Poll::Ready(());
            }
            _ => {}
        }
        self.poll_carefully(free, cx)
    }

    fn poll_carefully(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        let shared = self.line.shared();
        let mut list = shared.list.borrow_mut();
        if self.place.is_none() && list.notified() == 0 {
            self.place = Some(list.join(cx));
            WaitsFor::Resource.note(cx);
            return Poll::Pending;
        }
        let watched = |call| shared.is_watched(call);
        let polled = list.poll_carefully(&mut self.place, free, cx, watched);
        drop(list);
        let polled = polled.settle(cx);
        if polled.is_pending() {
            WaitsFor::Resource.note(cx);
        }
        polled
    }

    /// Whether this future was notified, didn't come, and was passed over. It is out of the line then.
    pub(crate) fn was_passed_over(&mut self) -> bool {
        let Some(key) = self.place else { return false };
        let mut list = self.line.shared().list.borrow_mut();
        let passed = list.state(key) == State::PassedOver;
        if passed {
            list.leave(key);
            self.place = None;
        }
        passed
    }

    /// Leaves the line without having had a turn.
    #[cold]
    fn give_up(&mut self, key: Key) {
        let shared = self.line.shared();
        let (state, waker) = shared.list.borrow_mut().leave(key);
        drop(waker);
        match state {
            State::Notified => self.line.notify_one(),
            State::Waiting => shared.guard(),
            State::PassedOver => {}
        }
    }
}

impl Drop for Turn<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.place {
            self.give_up(key);
        }
    }
}

/// One future's wait for a signal to everybody.
#[derive(Debug)]
pub(crate) struct Signal<'a> {
    line: &'a Line,
    place: Option<Key>,
}

impl<'a> Signal<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, place: None }
    }

    /// Ready when everybody was notified since the first poll.
    #[inline]
    pub(crate) fn poll_signal(&mut self, cx: &Context<'_>) -> Poll<()> {
        match self.place {
            Some(key) if self.line.answer(key) => {
                self.place = None;
                Poll::Ready(())
            }
            _ => self.wait(cx),
        }
    }

    fn wait(&mut self, cx: &Context<'_>) -> Poll<()> {
        let mut list = self.line.shared().list.borrow_mut();
        let stale = match self.place {
            None => {
                self.place = Some(list.join(cx));
                None
            }
            Some(key) => list.refresh(key, cx),
        };
        drop(list);
        drop(stale);
        WaitsFor::Resource.note(cx);
        Poll::Pending
    }

    /// Whether this future waits, or was notified and has not been polled since.
    #[inline]
    pub(crate) fn is_in_line(&self) -> bool {
        self.place.is_some()
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
        if let Some(key) = self.place {
            let left = self.line.shared().list.borrow_mut().leave(key);
            drop(left);
        }
    }
}
