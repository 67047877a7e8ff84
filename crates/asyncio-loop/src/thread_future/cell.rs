//! The cell that the two sides of a thread future share: the outcome, and the wakers and callbacks
//! for it.
//!
//! One lock guards everything, and no foreign code (wakers, callbacks, destructors of values) runs
//! while it is held. A cell moves from waiting to running to done, or from waiting directly to done
//! when it is cancelled. Done is final.

use std::mem;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::ThreadFuture;
use crate::JobError;
use crate::primitives::{Condvar, Mutex, MutexGuard};
use crate::report;

pub(crate) type Outcome<T> = Result<T, JobError>;
pub(super) type Callback<T> = Box<dyn FnOnce(&ThreadFuture<T>) + Send>;

/// The target of a [`ThreadFuture`]: a bare cell, or a job with its cell in the same allocation.
pub(crate) trait HasCell<T>: Send + Sync {
    fn cell(&self) -> &Cell<T>;

    /// Drops the code that would have computed the value; called when the cell was cancelled.
    fn discard(&self) {}

    /// Whether a loop has to produce the value.
    fn is_of_loop(&self) -> bool {
        false
    }

    /// Whether this very thread has to produce the value, so that blocking it would never end.
    fn is_for_this_thread(&self) -> bool {
        false
    }
}

pub(crate) struct Cell<T> {
    state: Mutex<State<T>>,
    completed: Condvar,
}

struct State<T> {
    phase: Phase<T>,
    listeners: Listeners<T>,
}

enum Phase<T> {
    Waiting,
    Running,
    Done(Outcome<T>),
    Taken { cancelled: bool },
}

/// The wakers and callbacks for the end.
struct Listeners<T> {
    waker: Option<Waker>,
    blocked_threads: usize,
    callbacks: Vec<Callback<T>>,
}

impl<T> Listeners<T> {
    const fn none() -> Self {
        Self { waker: None, blocked_threads: 0, callbacks: Vec::new() }
    }
}

impl<T> Cell<T> {
    pub(crate) fn new() -> Self {
        let state = State { phase: Phase::Waiting, listeners: Listeners::none() };
        Self { state: Mutex::new(state), completed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves from waiting to running. False if the cell was cancelled meanwhile.
    pub(crate) fn start(&self) -> bool {
        let mut state = self.lock();
        let waiting = matches!(state.phase, Phase::Waiting);
        if waiting {
            state.phase = Phase::Running;
        }
        waiting
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(self.lock().phase, Phase::Running)
    }

    pub(super) fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    pub(super) fn is_cancelled(&self) -> bool {
        match self.lock().phase {
            Phase::Done(Err(JobError::Cancelled)) => true,
            Phase::Taken { cancelled } => cancelled,
            _ => false,
        }
    }

    /// Stores the outcome and wakes the waiters. Returns `Err` with the outcome if the cell was
    /// done before.
    pub(super) fn complete(&self, outcome: Outcome<T>) -> Result<Vec<Callback<T>>, Outcome<T>> {
        self.complete_if(outcome, |state| !state.is_done())
    }

    /// Does the same as `complete` with "cancelled", but only if the work has not started.
    pub(super) fn cancel(&self) -> Result<Vec<Callback<T>>, Outcome<T>> {
        self.complete_if(Err(JobError::Cancelled), |state| matches!(state.phase, Phase::Waiting))
    }

    fn complete_if(
        &self,
        outcome: Outcome<T>,
        condition: impl FnOnce(&State<T>) -> bool,
    ) -> Result<Vec<Callback<T>>, Outcome<T>> {
        let mut state = self.lock();
        if !condition(&state) {
            return Err(outcome);
        }
        state.phase = Phase::Done(outcome);
        let listeners = mem::replace(&mut state.listeners, Listeners::none());
        drop(state);

        if listeners.blocked_threads > 0 {
            self.completed.notify_all();
        }
        if let Some(waker) = listeners.waker {
            // The waker may belong to another executor and panic; the callbacks are called all the
            // same.
            report::caught("the waker of a thread future", || waker.wake());
        }
        Ok(listeners.callbacks)
    }

    /// Stores a callback for the end. Returns `Err` with the callback if the cell is done already.
    pub(super) fn add_callback(&self, callback: Callback<T>) -> Result<(), Callback<T>> {
        let mut state = self.lock();
        if state.is_done() {
            return Err(callback);
        }
        state.listeners.callbacks.push(callback);
        Ok(())
    }

    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<Outcome<T>> {
        let mut state = self.lock();
        if let Some(outcome) = state.take() {
            return Poll::Ready(outcome);
        }
        if state.listeners.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        drop(state);
        self.store_waker(cx.waker().clone())
    }

    fn store_waker(&self, waker: Waker) -> Poll<Outcome<T>> {
        let mut state = self.lock();
        if let Some(outcome) = state.take() {
            return Poll::Ready(outcome);
        }
        let previous = state.listeners.waker.replace(waker);
        drop(state);
        drop(previous);
        Poll::Pending
    }

    /// Blocks this thread until the cell is done, or for `timeout`.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> Outcome<T> {
        // A timeout that the clock cannot express counts as none.
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.lock();
        loop {
            if let Some(outcome) = state.take() {
                return outcome;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Err(JobError::TimedOut);
            }
            state.listeners.blocked_threads += 1;
            state = self.block(state, left);
            state.listeners.blocked_threads = state.listeners.blocked_threads.saturating_sub(1);
        }
    }

    fn block<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        left: Option<Duration>,
    ) -> MutexGuard<'a, State<T>> {
        match left {
            None => self.completed.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(left) => {
                let woken = self.completed.wait_timeout(state, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }
}

impl<T> State<T> {
    fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done(_) | Phase::Taken { .. })
    }

    fn take(&mut self) -> Option<Outcome<T>> {
        match &self.phase {
            Phase::Waiting | Phase::Running => return None,
            Phase::Taken { .. } => panic!("the result of this thread future was taken before"),
            Phase::Done(_) => {}
        }
        let cancelled = matches!(self.phase, Phase::Done(Err(JobError::Cancelled)));
        match mem::replace(&mut self.phase, Phase::Taken { cancelled }) {
            Phase::Done(outcome) => Some(outcome),
            _ => None,
        }
    }
}
