//! Jobs of executors, in a simulation: one after the other, each at a moment of virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::{Job, LoopRef};

/// How long a job may take, at the most, until the loop goes on without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same, for a job that has scheduled something on the loop, and probably waits for it.
const PATIENCE_WITH_CALLS: Duration = Duration::from_millis(20);

/// Counts the jobs that have not run.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    waiting: Rc<Cell<usize>>,
    /// Jobs that the loop did not wait for.
    left_alone: Rc<Cell<usize>>,
}

/// A job that waits; also one whose loop is closed first.
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
    /// Whether a job has yet to run.
    pub(crate) fn are_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// How many jobs the loop did not wait for: what they do comes at moments that no seed decides.
    pub(crate) fn left_alone(&self) -> usize {
        self.left_alone.get()
    }

    /// Has the job run once `delay` has gone by, on a thread of its own. The loop stands still
    /// meanwhile, so that the job takes no virtual time.
    pub(crate) fn run_later(&self, event_loop: &LoopRef, job: Job, delay: Duration) {
        let (waiting, left_alone) = (Rc::clone(&self.waiting), Rc::clone(&self.left_alone));
        let waits = Waits::new(waiting);
        let this = event_loop.clone();
        event_loop.call_later(delay, move || {
            drop(waits);
            if !runs_to_its_end(&this, job) {
                left_alone.set(left_alone.get() + 1);
            }
        });
    }
}

/// Runs the job on another thread; false if the loop has to go on before it has ended, because it
/// waits for the loop or takes long.
fn runs_to_its_end(event_loop: &LoopRef, job: Job) -> bool {
    let (start, before) = (Instant::now(), event_loop.remote_mark());
    let (done, ended) = sync_channel::<()>(1);
    thread::spawn(move || {
        job.run();
        drop(done);
    });
    let mut called_at = None;
    loop {
        match ended.recv_timeout(Duration::from_millis(1)) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return true,
        }
        if called_at.is_none() && event_loop.remote_mark() != before {
            called_at = Some(Instant::now());
        }
        let calls = called_at.is_some_and(|at: Instant| at.elapsed() >= PATIENCE_WITH_CALLS);
        if calls || start.elapsed() >= PATIENCE {
            return false;
        }
    }
}
