//! The workers of a pool and the queue between them: which of them sleep, search, and are woken.
//!
//! Waking a sleeping thread costs more than most short jobs, so it is done sparingly:
//!
//! * At most one worker at a time *searches*: it was woken or started for a job that it has not
//!   found yet, or it spins for some microseconds before it sleeps. While there is a searching
//!   worker, submitting a job wakes no other.
//! * A searching worker that finds a job while more are queued wakes the next worker before it
//!   starts the job. So a burst wakes as many workers as it keeps busy, one after the other, and no
//!   job waits behind a slow one while another worker is available.
//! * The worker that fell asleep last is woken first: its caches are warm, and those below it in
//!   the stack sleep until their idle time is over and they end.
//!
//! Invariant: with the lock released, a queued job means that a worker searches, or that every
//! worker is busy and no more are allowed.

use std::collections::VecDeque;
use std::panic::Location;
use std::time::Instant;

use super::Job;
use crate::ThreadPromise;
use crate::primitives::thread::Thread;

/// The state under a pool's lock.
pub(super) struct WorkQueue {
    queue: VecDeque<Job>,
    /// By worker's number; an empty seat is taken by the next worker that starts.
    seats: Vec<Option<Seat>>,
    workers: usize,
    max_workers: usize,
    /// The workers that sleep; the one that fell asleep last is at the end.
    asleep: Vec<(usize, Thread)>,
    searching: usize,
    /// Until then only workers that were woken or started search.
    no_search_until: Option<Instant>,
    closing: bool,
    /// Completed when the last worker has ended.
    awaiting_end: Vec<ThreadPromise<()>>,
}

#[derive(Clone, Default)]
struct Seat {
    /// The place where this worker's running job was submitted.
    running: Option<&'static Location<'static>>,
}

/// The action, to be done once the lock is released, by which a queued job gets a worker.
#[must_use]
pub(super) enum Help {
    NotNeeded,
    Wake(Thread),
    Start(usize),
}

impl WorkQueue {
    pub(super) fn new(max_workers: usize) -> Self {
        WorkQueue {
            queue: VecDeque::new(),
            seats: Vec::new(),
            workers: 0,
            max_workers,
            asleep: Vec::new(),
            searching: 0,
            no_search_until: None,
            closing: false,
            awaiting_end: Vec::new(),
        }
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn workers(&self) -> usize {
        self.workers
    }

    /// The jobs that run: the worker's number, and where the job was submitted.
    pub(super) fn running(&self) -> impl Iterator<Item = (usize, &'static Location<'static>)> {
        let seats = self.seats.iter().enumerate();
        seats.filter_map(|(number, seat)| Some((number, seat.as_ref()?.running?)))
    }

    /// Queues a job. Returns `Err` with the job if the pool is closing.
    pub(super) fn push(&mut self, job: Job) -> Result<Help, Job> {
        if self.closing {
            return Err(job);
        }
        self.queue.push_back(job);
        Ok(self.call_help())
    }

    /// Gives the oldest job to a worker.
    pub(super) fn pop(&mut self, worker: usize) -> Option<Job> {
        let job = self.queue.pop_front();
        if let Some(Some(seat)) = self.seats.get_mut(worker) {
            seat.running = job.as_ref().map(Job::site);
        }
        job
    }

    /// Takes all queued jobs.
    pub(super) fn take_queue(&mut self) -> VecDeque<Job> {
        std::mem::take(&mut self.queue)
    }

    /// Lets a worker that found no job spin a little longer, if no other does and if it pays.
    pub(super) fn try_search(&mut self) -> bool {
        let may = self.searching == 0
            && !self.closing
            && self.no_search_until.is_none_or(|until| Instant::now() >= until);
        self.searching += usize::from(may);
        may
    }

    /// For some time, makes workers that find no job sleep at once.
    pub(super) fn no_search_until(&mut self, until: Instant) {
        self.no_search_until = Some(until);
    }

    /// A searcher has found a job, or goes to sleep.
    pub(super) fn stop_search(&mut self) -> Help {
        self.searching -= 1;
        self.call_help()
    }

    pub(super) fn fall_asleep(&mut self, worker: usize, thread: Thread) {
        self.asleep.push((worker, thread));
    }

    /// Removes a worker whose idle time is over from the sleepers. False if it was woken before.
    pub(super) fn rise(&mut self, worker: usize) -> bool {
        let place = self.asleep.iter().position(|(number, _)| *number == worker);
        place.map(|place| self.asleep.remove(place)).is_some()
    }

    pub(super) fn is_asleep(&self, worker: usize) -> bool {
        self.asleep.iter().any(|(number, _)| *number == worker)
    }

    /// Removes a worker that ends. If it was the last, returns the promises that wait for the end
    /// of the pool.
    pub(super) fn leave(&mut self, worker: usize) -> Vec<ThreadPromise<()>> {
        self.seats[worker] = None;
        self.workers -= 1;
        self.ended()
    }

    /// Called when a worker could not be started. The queued jobs wait for the other workers; if
    /// there are none, the jobs are returned. If the pool has ended with this, the promises of the
    /// calls that wait for the end are returned as well.
    pub(super) fn start_failed(
        &mut self,
        worker: usize,
    ) -> (VecDeque<Job>, Vec<ThreadPromise<()>>) {
        self.searching -= 1;
        let ended = self.leave(worker);
        let refused = if self.workers == 0 { self.take_queue() } else { VecDeque::new() };
        (refused, ended)
    }

    /// Lets the workers end when the queue is empty; `promise` is completed when they have. Returns
    /// the sleepers to wake, and the promises to complete now.
    pub(super) fn close(
        &mut self,
        promise: ThreadPromise<()>,
    ) -> (Vec<Thread>, Vec<ThreadPromise<()>>) {
        self.closing = true;
        self.awaiting_end.push(promise);
        self.searching += self.asleep.len();
        let woken = self.asleep.drain(..).map(|(_, thread)| thread).collect();
        (woken, self.ended())
    }

    fn ended(&mut self) -> Vec<ThreadPromise<()>> {
        if self.closing && self.workers == 0 {
            std::mem::take(&mut self.awaiting_end)
        } else {
            Vec::new()
        }
    }

    /// Makes a worker search, if a job needs one and a worker can be woken or started.
    fn call_help(&mut self) -> Help {
        if self.queue.is_empty() || self.searching > 0 {
            return Help::NotNeeded;
        }
        if let Some((_, thread)) = self.asleep.pop() {
            self.searching += 1;
            return Help::Wake(thread);
        }
        if self.workers == self.max_workers {
            return Help::NotNeeded;
        }
        self.searching += 1;
        self.workers += 1;
        Help::Start(self.take_seat())
    }

    fn take_seat(&mut self) -> usize {
        let free = self.seats.iter().position(Option::is_none);
        let number = free.unwrap_or_else(|| {
            self.seats.push(None);
            self.seats.len() - 1
        });
        self.seats[number] = Some(Seat::default());
        number
    }
}
