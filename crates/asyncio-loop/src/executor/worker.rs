//! One thread of a pool: take a job, run it, and when there is none look a little, sleep, end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use super::Job;
use super::pool::Shared;
use crate::primitives::{Ordering, hint, thread};

/// How often a worker looks again before it sleeps: some ten microseconds, which is what it takes to
/// wake a loop that waits for its result, and to come back from there with the next job.
const LOOKS: u32 = if cfg!(loom) { 1 } else { 40 };
/// The first looks stay on the processor, the others let other threads have it.
const BUSY_LOOKS: u32 = if cfg!(loom) { 0 } else { 4 };

pub(super) struct Worker {
    pool: Arc<Shared>,
    number: usize,
    /// It was woken or started for a job that it has not found yet, or looks for one on its own.
    searching: bool,
}

impl Worker {
    /// A worker that is called for help, and therefore searches.
    pub(super) fn new(pool: Arc<Shared>, number: usize) -> Self {
        Worker { pool, number, searching: true }
    }

    /// The body of the thread.
    pub(super) fn work(mut self) {
        while let Some(job) = self.next_job() {
            // Panics of the job are caught inside; this is for destructors of values and wakers.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| job.run())) {
                log::error!("end of a job {}", crate::JobPanic::new(payload));
            }
        }
        self.pool.leave(self.number);
    }

    /// Returns the next job; `None` when the worker is to end.
    fn next_job(&mut self) -> Option<Job> {
        loop {
            let mut crew = self.pool.lock();
            if let Some(job) = crew.pop(self.number) {
                self.pool.publish(&crew);
                if self.searching {
                    self.searching = false;
                    let help = crew.stop_search();
                    drop(crew);
                    self.pool.give(help);
                }
                return Some(job);
            }
            if crew.is_closing() {
                return None;
            }
            if !self.searching && crew.try_search() {
                drop(crew);
                self.searching = true;
                self.look();
                continue;
            }
            if self.searching {
                self.searching = false;
                // The queue is empty and locked: there is nothing to help with.
                let _ = crew.stop_search();
            }
            crew.fall_asleep(self.number, thread::current());
            drop(crew);
            if !self.sleep() {
                return None;
            }
        }
    }

    /// Watches the queue without its lock.
    fn look(&self) {
        for look in 0..LOOKS {
            if self.pool.queued.load(Ordering::Relaxed) > 0 {
                return;
            }
            if look < BUSY_LOOKS {
                for _ in 0..1 << look {
                    hint::spin_loop();
                }
            } else {
                thread::yield_now();
            }
        }
    }

    /// Sleeps until it is woken for a job; false if nobody did for the idle time.
    fn sleep(&mut self) -> bool {
        // An idle time beyond what the clock can express never ends.
        let deadline = Instant::now().checked_add(self.pool.idle_timeout);
        loop {
            match deadline {
                None => thread::park(),
                Some(deadline) => {
                    thread::park_timeout(deadline.saturating_duration_since(Instant::now()));
                }
            }
            let mut crew = self.pool.lock();
            if !crew.is_asleep(self.number) {
                self.searching = true;
                return true;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return !crew.rise(self.number);
            }
        }
    }
}
