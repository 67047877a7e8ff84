//! Jobs of executors, in a simulation: one after the other, each at a moment of virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::observe_waits;
use asyncio_loop::{Job, LoopRef};

/// How long a job may take, at the most, until the loop goes on without it. A job that waits for
/// the loop says so, by [`observe_waits`]; this is for one that does it by means of its own.
const PATIENCE: Duration = Duration::from_secs(5);

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
        event_loop.call_later(delay, move || {
            drop(waits);
            if !runs_to_its_end(job) {
                left_alone.set(left_alone.get() + 1);
            }
        });
    }
}

/// Runs the job on another thread; false if the loop has to go on before it has ended, because it
/// waits for the loop or takes long.
fn runs_to_its_end(job: Job) -> bool {
    let (waits, news) = channel::<()>();
    // Nothing listens any more if the loop has gone on.
    let tell = move || waits.send(()).unwrap_or_default();
    // The sender is gone when the job has ended.
    thread::spawn(move || observe_waits(tell, || job.run()));
    news.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Disconnected)
}
