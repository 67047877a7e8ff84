//! One thread of a pool: it takes and runs jobs; without a job it spins a little, sleeps, and ends
//! after the idle time.

use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Job;
use super::pool::Shared;
use crate::primitives::{Ordering, hint, thread};
use crate::report;

/// How long a worker spins before it sleeps: about the time that it takes to wake a loop that waits
/// for the result, on a processor that sleeps as well, and to get the next job from there.
const SPIN: Duration = Duration::from_micros(30);
/// The number of checks in a row that keep the processor; then the worker yields it.
const CHECKS_PER_YIELD: u32 = if cfg!(loom) { 1 } else { 16 };
/// If a yield takes longer than this, other threads want the processor, for milliseconds each. A
/// job that comes meanwhile would wait for all of that, while waking a sleeping worker takes
/// microseconds ...
const SLOW_YIELD: Duration = Duration::from_micros(200);
/// ... so workers without a job sleep at once for this many times the lost time.
const PAUSE_FACTOR: u32 = 100;

thread_local! {
    /// The pool that this thread belongs to; only its address is used.
    static POOL: Cell<*const Shared> = const { Cell::new(ptr::null()) };
}

/// Whether this thread is one of the pool's.
pub(super) fn works_for(pool: &Arc<Shared>) -> bool {
    // A model has all its threads on one of the system's.
    !cfg!(loom) && POOL.get() == Arc::as_ptr(pool)
}

pub(super) struct Worker {
    pool: Arc<Shared>,
    number: usize,
    /// Whether it searches: it was woken or started for a job that it has not found yet, or spins.
    searching: bool,
}

impl Worker {
    /// Makes a worker that is started for a job, and therefore searches.
    pub(super) fn new(pool: Arc<Shared>, number: usize) -> Self {
        Worker { pool, number, searching: true }
    }

    /// The body of the thread.
    pub(super) fn work(mut self) {
        POOL.set(Arc::as_ptr(&self.pool));
        if let Some(initializer) = &self.pool.initializer {
            initializer.call();
        }
        while let Some(job) = self.next_job() {
            // A panic of the job is its result. This catches panics in destructors of values that
            // are not taken.
            report::caught("the end of a job", || job.run());
        }
        self.pool.leave(self.number);
    }

    /// Returns the next job; `None` if the worker has to end.
    fn next_job(&mut self) -> Option<Job> {
        loop {
            let mut queue = self.pool.lock();
            if let Some(job) = queue.pop(self.number) {
                self.pool.publish(&queue);
                if self.searching {
                    self.searching = false;
                    let help = queue.stop_search();
                    drop(queue);
                    self.pool.give(help);
                }
                return Some(job);
            }
            if queue.is_closing() {
                return None;
            }
            if !self.searching && queue.try_search() {
                drop(queue);
                self.searching = true;
                if let Some(until) = self.spin() {
                    self.pool.lock().no_search_until(until);
                }
                continue;
            }
            if self.searching {
                self.searching = false;
                // The queue is empty and locked, so no help is needed.
                let _ = queue.stop_search();
            }
            queue.fall_asleep(self.number, thread::current());
            drop(queue);
            if !self.sleep() {
                return None;
            }
        }
    }

    /// Spins on the queue without its lock. Returns the time until which spinning does not pay.
    fn spin(&self) -> Option<Instant> {
        let start = Instant::now();
        let mut now = start;
        while now - start < SPIN {
            for _ in 0..CHECKS_PER_YIELD {
                if self.pool.queued.load(Ordering::Relaxed) > 0 {
                    return None;
                }
                hint::spin_loop();
            }
            thread::yield_now();
            if cfg!(loom) {
                return None;
            }
            let lost = now.elapsed();
            now += lost;
            if lost > SLOW_YIELD {
                return Some(now + PAUSE_FACTOR * lost);
            }
        }
        None
    }

    /// Sleeps until it is woken for a job; false if that takes longer than the idle time.
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
            let mut queue = self.pool.lock();
            if !queue.is_asleep(self.number) {
                self.searching = true;
                return true;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return !queue.rise(self.number);
            }
        }
    }
}
