//! The executors' jobs in a simulation: they run one after another, each at a moment of virtual
//! time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::observe_waits;
use asyncio_loop::{Job, LoopRef};

/// How long the loop waits for a job at most before it continues without it. [`observe_waits`]
/// reports a job that waits for the loop; this limit is for jobs that wait for it by other means.
const JOB_TIMEOUT: Duration = Duration::from_secs(5);

/// Counts the jobs that have not run.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    waiting: Rc<Cell<usize>>,
    /// Jobs that the loop has not waited for.
    not_waited_for: Rc<Cell<usize>>,
}

/// Counts a waiting job, until it runs or its loop is closed.
struct Waits(Rc<Cell<usize>>);

impl Waits {
    fn new(waiting: Rc<Cell<usize>>) -> Self {
        waiting.set(waiting.get() + 1);
        Self(waiting)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Jobs {
    /// Whether a job has not run yet.
    pub(crate) fn are_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// How many jobs the loop did not wait for. The seed does not decide when their effects happen.
    pub(crate) fn not_waited_for(&self) -> usize {
        self.not_waited_for.get()
    }

    /// Runs the job after `delay`, on a thread of its own. The loop blocks meanwhile, so the job
    /// takes no virtual time.
    pub(crate) fn run_later(&self, event_loop: &LoopRef, job: Job, delay: Duration) {
        let (waiting, not_waited_for) = (Rc::clone(&self.waiting), Rc::clone(&self.not_waited_for));
        let waits = Waits::new(waiting);
        event_loop.call_later(delay, move || {
            drop(waits);
            if !runs_to_its_end(job) {
                not_waited_for.set(not_waited_for.get() + 1);
            }
        });
    }
}

/// Runs the job on another thread. Returns false if the loop has to continue before the job has
/// ended, because the job waits for the loop or takes too long.
fn runs_to_its_end(job: Job) -> bool {
    let (waits, news) = channel::<()>();
    // The receiver is gone if the loop has continued.
    let tell = move || waits.send(()).unwrap_or_default();
    // The sender is gone when the job has ended.
    thread::spawn(move || observe_waits(tell, || job.run()));
    news.recv_timeout(JOB_TIMEOUT) == Err(RecvTimeoutError::Disconnected)
}
