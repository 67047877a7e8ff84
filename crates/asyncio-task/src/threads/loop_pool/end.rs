//! The end of a pool, which comes when all of its threads have ended.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use asyncio_loop::{JobError, Panic, ThreadFuture, ThreadPromise};

#[derive(Debug)]
pub(super) struct End {
    begun: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The number of threads that have not ended.
    left: usize,
    /// The panic message of the first loop that ended by a panic.
    panic: Option<String>,
    waiting: Vec<ThreadPromise<()>>,
}

impl End {
    pub(super) fn of(threads: usize) -> Self {
        let state = State { left: threads, panic: None, waiting: Vec::new() };
        Self { begun: AtomicBool::new(false), state: Mutex::new(state) }
    }

    /// Refuses new futures from now on.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// The end of all threads.
    pub(super) fn wait(&self) -> ThreadFuture<()> {
        let (promise, future) = ThreadPromise::new();
        self.change(|state| state.waiting.push(promise));
        future
    }

    /// Runs the body of a thread.
    pub(super) fn run_thread(&self, body: impl FnOnce()) {
        let panic = catch_unwind(AssertUnwindSafe(body)).err().map(Panic::new);
        self.change(|state| {
            state.left -= 1;
            if let Some(panic) = panic {
                state.panic.get_or_insert_with(|| panic.message());
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        if state.left > 0 {
            return;
        }
        let (waiting, panic) = (std::mem::take(&mut state.waiting), state.panic.clone());
        // Waking the waiters may call code of a user, so it happens with nothing locked.
        drop(state);
        for promise in waiting {
            promise.set_outcome(match &panic {
                None => Ok(()),
                Some(panic) => Err(JobError::Panicked(Panic::new(Box::new(panic.clone())))),
            });
        }
    }
}
