//! The line of one primitive: a [`WaiterList`] of local wakers, and the futures that wait in it.
//!
//! There are two ways to wait. A [`Signal`] wakes every waiting future at once: an event is set, a
//! queue has no work left. A [`Turn`] wakes one future at a time: see [`turn`](crate::turn).

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::inspect::{Describe, Holder, ResourceInfo};
use asyncio_loop::machinery::Wait;
use asyncio_loop::{LoopWaker, WaitsFor};

use crate::debug::{self, Site};
use crate::loop_binding::LoopBinding;
use crate::stalled::{remember, watch};
use crate::waiters::{AllWaiters, Call, Key, State, WaiterList};

type List = WaiterList<LoopWaker>;

/// The waiting futures of one primitive. It allocates when the first future has to wait.
pub(crate) struct Line {
    shared: OnceCell<Rc<Shared>>,
    /// The kind of wait, for the inspection of tasks.
    what: WaitsFor,
    /// The place where the primitive was made.
    made: Site,
}

/// The list of waiters, which is shared with the watch for stalled futures.
#[derive(Debug)]
pub(crate) struct Shared {
    list: List,
    made: Site,
    holder: Cell<Option<Holder>>,
    binding: LoopBinding,
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
    /// Makes the line of a primitive that the caller makes.
    #[track_caller]
    pub(crate) fn new(what: WaitsFor) -> Self {
        Self { shared: OnceCell::new(), what, made: Location::caller() }
    }

    /// Notes that the task being polled waits in the line, at the place of the caller. Used when a
    /// task in line is polled again; joining notes it for the first poll.
    #[track_caller]
    fn note(&self, cx: &Context<'_>) {
        Wait::shared(self.what, &**self.shared()).note(cx);
    }

    /// Notes which task holds the primitive, if a task has ever waited for it.
    #[inline]
    pub(crate) fn held_by(&self, holder: impl FnOnce() -> Option<Holder>) {
        if let Some(shared) = self.shared.get() {
            shared.holder.set(holder());
        }
    }

    /// Notes that no task holds the primitive, and notifies the first waiting future, if any.
    #[inline]
    pub(crate) fn released(&self) {
        if let Some(shared) = self.shared.get() {
            shared.holder.set(None);
            if shared.list.waiting() > 0 {
                shared.notify();
            }
        }
    }

    /// The number of futures that were notified and have not been polled since.
    #[inline]
    pub(crate) fn notified(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.list.notified())
    }

    /// The number of futures that wait for a notification.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.list.waiting())
    }

    /// The number of futures in line, notified or not.
    pub(crate) fn len(&self) -> usize {
        self.shared.get().map_or(0, |shared| shared.list.len())
    }

    /// Notifies the first waiting future, if any.
    #[inline]
    pub(crate) fn notify_one(&self) {
        if let Some(shared) = self.shared.get() {
            if shared.list.waiting() > 0 {
                shared.notify();
            }
        }
    }

    /// Notifies as many waiting futures as there are units that were not promised to a future.
    #[inline]
    pub(crate) fn offer(&self, free: usize) {
        while self.waiting() > 0 && self.notified() < free {
            self.notify_one();
        }
    }

    /// Notifies every future that waits now.
    pub(crate) fn notify_all(&self) {
        let Some(shared) = self.shared.get() else { return };
        // Counted beforehand, because a foreign waker could make new futures join meanwhile.
        let waiting = shared.list.waiting();
        for _ in 0..waiting {
            shared.call_next();
        }
    }

    /// Notifies every future that waits now, for a [`Signal`].
    #[inline]
    pub(crate) fn signal(&self) {
        let Some(shared) = self.shared.get() else { return };
        let (only, all) = shared.list.notify_all();
        if let Some(only) = only {
            only.wake();
        }
        if let Some(all) = all {
            shared.wake_all(all);
        }
    }

    /// Takes the newest unanswered notification back, because the promised unit was taken by a call
    /// that does not wait.
    pub(crate) fn withdraw(&self) {
        self.shared().list.withdraw();
    }

    #[inline]
    fn shared(&self) -> &Rc<Shared> {
        match self.shared.get() {
            Some(shared) => shared,
            None => self.make_shared(),
        }
    }

    #[cold]
    fn make_shared(&self) -> &Rc<Shared> {
        self.shared.get_or_init(|| Shared::new(self.made))
    }
}

impl Describe for Shared {
    fn describe(&self) -> ResourceInfo {
        ResourceInfo::new(self.made, self.holder.get())
    }
}

impl Shared {
    fn new(made: Site) -> Rc<Self> {
        Rc::new(Self {
            list: List::default(),
            made,
            holder: Cell::new(None),
            binding: LoopBinding::default(),
            watched: Cell::new(false),
        })
    }

    /// Adds a future of the running loop at the end. Its task is shown as waiting for `what`, at
    /// the place of the caller.
    #[inline(always)]
    #[track_caller]
    fn join(self: &Rc<Self>, what: WaitsFor, cx: &Context<'_>) -> Key {
        self.binding.check(self);
        self.list.join_as(LoopWaker::waiting(cx, Wait::shared(what, &**self)))
    }

    /// Notifies the first waiting future, and makes sure that the others do not wait forever if it
    /// does not answer.
    fn notify(self: &Rc<Self>) {
        match self.list.notify() {
            None => self.guard(),
            Some(waker) if self.list.is_held_up() => self.wake_and_guard(waker),
            Some(waker) => waker.wake(),
        }
    }

    fn wake_and_guard(self: &Rc<Self>, waker: LoopWaker) {
        let task = if debug::is_on() { waker.task() } else { None };
        waker.wake();
        if !self.watched.get() {
            self.guard();
        }
        if let Some(task) = task {
            remember(self, self.list.latest_call(), task);
        }
    }

    #[cold]
    fn wake_all(&self, mut all: AllWaiters<LoopWaker>) {
        all.wakers().for_each(LoopWaker::wake);
        self.list.recycle(all);
    }

    #[inline]
    fn call_next(&self) {
        let waker = self.list.notify();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Starts the check of notified futures, if others wait behind them.
    fn guard(self: &Rc<Self>) {
        let Some(call) = self.call_that_holds_up() else { return };
        if !self.is_watched(call) {
            let deputy = self.list.deputy();
            if let Some(deputy) = deputy {
                deputy.wake();
            }
        }
    }

    /// Whether the loop checks this line. Starts the check if possible.
    fn is_watched(self: &Rc<Self>, call: Call) -> bool {
        self.watched.get() || watch(self, call)
    }

    pub(crate) fn set_watched(&self, yes: bool) {
        self.watched.set(yes);
    }

    /// The oldest unanswered notification, if others wait behind it.
    pub(crate) fn call_that_holds_up(&self) -> Option<Call> {
        if self.list.is_held_up() { self.list.oldest_call() } else { None }
    }

    /// Passes the oldest unanswered notification on to the next in line.
    pub(crate) fn pass_over(&self) {
        self.list.pass_over();
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

    /// Ready when the caller may take one of the `free` units. The caller then has to take it.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn poll(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        match self.place {
            None if free > self.line.notified() => Poll::Ready(()),
            None => self.join(free, cx),
            Some(key) => self.poll_in_line(key, free, cx),
        }
    }

    #[track_caller]
    fn join(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        let shared = self.line.shared();
        self.place = Some(shared.join(self.line.what, cx));
        if shared.list.notified() == 0 || shared.watched.get() {
            return Poll::Pending;
        }
        self.poll_carefully(free, cx)
    }

    #[inline(never)]
    #[track_caller]
    fn poll_in_line(&mut self, key: Key, free: usize, cx: &Context<'_>) -> Poll<()> {
        match self.line.shared.get() {
            // The only future in line was notified. This usual path calls no function.
            Some(shared) if shared.list.answer_alone(key) => {
                self.place = None;
                Poll::Ready(())
            }
            _ => self.poll_among_others(key, free, cx),
        }
    }

    #[inline(never)]
    #[track_caller]
    fn poll_among_others(&mut self, key: Key, free: usize, cx: &Context<'_>) -> Poll<()> {
        if self.line.shared().list.answer(key) {
            self.place = None;
            return Poll::Ready(());
        }
        let polled = self.poll_carefully(free, cx);
        if polled.is_pending() {
            self.line.note(cx);
        }
        polled
    }

    #[cold]
    fn poll_carefully(&mut self, free: usize, cx: &Context<'_>) -> Poll<()> {
        let shared = self.line.shared();
        let watched = |call| shared.is_watched(call);
        let polled = shared.list.poll_carefully(&mut self.place, free, cx, watched);
        polled.settle(cx)
    }

    /// Whether this future was notified, did not answer, and was passed over. It is out of the line
    /// then.
    pub(crate) fn was_passed_over(&mut self) -> bool {
        let Some(key) = self.place else { return false };
        let list = &self.line.shared().list;
        let passed = list.state(key) == State::Out;
        if passed {
            list.leave(key);
            self.place = None;
        }
        passed
    }

    /// Leaves the line without taking a turn.
    #[cold]
    fn give_up(&mut self, key: Key) {
        let shared = self.line.shared();
        let (state, waker) = shared.list.leave(key);
        drop(waker);
        match state {
            State::Notified => self.line.notify_one(),
            State::Waiting => shared.guard(),
            State::Out => {}
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

/// One future's wait for a signal to all.
#[derive(Debug)]
pub(crate) struct Signal<'a> {
    line: &'a Line,
    place: Option<Key>,
}

impl<'a> Signal<'a> {
    pub(crate) fn new(line: &'a Line) -> Self {
        Self { line, place: None }
    }

    /// Ready when a signal was sent since the first poll.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_signal(&mut self, cx: &Context<'_>) -> Poll<()> {
        let list = &self.line.shared().list;
        match self.place {
            None => self.place = Some(self.line.shared().join(self.line.what, cx)),
            Some(key) if list.was_called(key) => {
                self.place = None;
                return Poll::Ready(());
            }
            Some(key) => {
                self.refresh(key, cx);
                self.line.note(cx);
            }
        }
        Poll::Pending
    }

    #[cold]
    fn refresh(&self, key: Key, cx: &Context<'_>) {
        let list = &self.line.shared().list;
        let stale = list.refresh(key, cx);
        drop(stale);
        if list.was_called(key) {
            // Its own waker may have caused that while it was cloned.
            cx.waker().wake_by_ref();
        }
    }

    /// Whether this future waits, or was notified and has not been polled since.
    #[inline]
    pub(crate) fn is_in_line(&self) -> bool {
        self.place.is_some()
    }
}

impl Future for Signal<'_> {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_signal(cx)
    }
}

impl Drop for Signal<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(key) = self.place {
            let left = self.line.shared().list.leave(key);
            drop(left);
        }
    }
}
