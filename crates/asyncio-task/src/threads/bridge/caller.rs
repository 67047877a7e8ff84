//! The thread that waits in `async_to_sync`, or for a loop in the middle of a thread-sensitive
//! function: meanwhile it runs the thread-sensitive functions that the asynchronous code below it
//! calls.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use asyncio_loop::{Job, JobError, ThreadFuture, context_var};

context_var! {
    /// The innermost thread that waits above this code.
    pub(super) static CALLER: Option<Caller> = None;
}

/// The channel by which jobs reach the thread.
#[derive(Clone)]
pub(super) struct Caller(Arc<Shared>);

struct Shared {
    thread: ThreadId,
    /// The next waiting thread further out.
    outer: Option<Caller>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    phase: Phase,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Waiting,
    /// The wait ends as soon as there are no jobs.
    Done,
    /// The wait has ended: no more jobs are run.
    Gone,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Caller {
    /// Registers the calling thread, and returns it with the [`Waiting`] that it has to
    /// [`serve`](Waiting::serve).
    pub(super) fn new() -> (Self, Waiting) {
        let shared = Shared {
            thread: thread::current().id(),
            outer: CALLER.get(),
            state: Mutex::default(),
            changed: Condvar::new(),
        };
        let shared = Arc::new(shared);
        (Caller(Arc::clone(&shared)), Waiting(shared))
    }

    /// The innermost thread that waits above this code. A wait may be over while tasks that were
    /// started below it go on.
    pub(super) fn innermost() -> Option<Self> {
        let mut caller = CALLER.get()?;
        while caller.0.lock().phase == Phase::Gone {
            caller = caller.0.outer.clone()?;
        }
        Some(caller)
    }

    /// Whether the caller is this very thread, which cannot run jobs then.
    pub(super) fn is_blocked(&self) -> bool {
        self.thread() == thread::current().id()
    }

    /// The thread that waits.
    pub(super) fn thread(&self) -> ThreadId {
        self.0.thread
    }

    /// Makes the thread run a job. Returns `Err` with the job if the thread does not wait any more.
    pub(super) fn send(&self, job: Job) -> Result<(), Job> {
        let mut state = self.0.lock();
        if state.phase == Phase::Gone {
            return Err(job);
        }
        state.jobs.push_back(job);
        drop(state);
        self.0.changed.notify_one();
        Ok(())
    }

    /// Ends the wait.
    pub(super) fn done(&self) {
        let mut state = self.0.lock();
        if state.phase == Phase::Waiting {
            state.phase = Phase::Done;
        }
        drop(state);
        self.0.changed.notify_one();
    }
}

/// The side of the waiting thread.
pub(super) struct Waiting(Arc<Shared>);

impl Waiting {
    /// Runs jobs until the wait is over, including all jobs that came before its end.
    pub(super) fn serve(self) {
        while let Some(job) = self.next_job() {
            job.run();
        }
    }

    /// Waits for a job. Returns `None` when the wait is over; later jobs are refused.
    fn next_job(&self) -> Option<Job> {
        let mut state = self.0.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                return Some(job);
            }
            if state.phase != Phase::Waiting {
                state.phase = Phase::Gone;
                return None;
            }
            state = self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Waits for `future`, which asynchronous code below this thread completes, and meanwhile runs the
/// jobs of that code.
pub(super) fn serve_until_done<T: Send + 'static>(
    future: &ThreadFuture<T>,
    caller: Caller,
    waiting: Waiting,
) -> Result<T, JobError> {
    future.add_done_callback(move |_| caller.done());
    waiting.serve();
    future.result(None)
}

impl Drop for Waiting {
    /// Jobs remain only if a panic ends the wait; they are cancelled.
    fn drop(&mut self) {
        let jobs = {
            let mut state = self.0.lock();
            state.phase = Phase::Gone;
            std::mem::take(&mut state.jobs)
        };
        drop(jobs);
    }
}
