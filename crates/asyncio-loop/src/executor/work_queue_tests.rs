//! Property tests of the worker queue without threads: every interleaving of workers and
//! submitters.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Job;
use super::work_queue::{Help, WorkQueue};
use crate::primitives::thread;
use crate::{ThreadFuture, ThreadPromise};

/// A worker's state between two critical sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Worker {
    /// Searching for a job: the worker was started or woken for one, or has none left.
    Searching,
    /// Searching, and has found the queue empty once.
    Looked,
    Busy,
    Asleep,
    Gone,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Submit,
    /// The worker takes its next step.
    Step(usize),
    /// The worker's idle timeout expires, if it sleeps.
    Expire(usize),
    Close,
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        4 => Just(Action::Submit),
        8 => (0..4_usize).prop_map(Action::Step),
        1 => (0..4_usize).prop_map(Action::Expire),
    ]
}

struct Model {
    queue: WorkQueue,
    max_workers: usize,
    workers: Vec<Worker>,
    futures: Vec<ThreadFuture<()>>,
    ended: Option<ThreadFuture<()>>,
}

impl Model {
    fn new(max_workers: usize) -> Self {
        let workers = vec![Worker::Gone; max_workers];
        let queue = WorkQueue::new(max_workers);
        Model { queue, max_workers, workers, futures: Vec::new(), ended: None }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Submit => self.submit(),
            Action::Step(number) => self.step(number % self.max_workers),
            Action::Expire(number) => self.expire(number % self.max_workers),
            Action::Close => self.close(),
        }
        self.check();
    }

    fn submit(&mut self) {
        let (job, future) = Job::new(|| ());
        match self.queue.push(job) {
            Ok(help) => {
                self.futures.push(future);
                self.give(help);
            }
            Err(job) => drop(job),
        }
    }

    fn give(&mut self, help: Help) {
        match help {
            Help::NotNeeded => {}
            Help::Start(number) => {
                assert_eq!(self.workers[number], Worker::Gone);
                self.workers[number] = Worker::Searching;
            }
            // The model's threads are interchangeable: the woken worker is the one that is missing
            // from the sleepers.
            Help::Wake(_) => self.notice_woken(),
        }
    }

    fn notice_woken(&mut self) {
        for number in 0..self.workers.len() {
            if self.workers[number] == Worker::Asleep && !self.queue.is_asleep(number) {
                self.workers[number] = Worker::Searching;
            }
        }
    }

    /// What `Worker::next_job` does under one lock.
    fn step(&mut self, number: usize) {
        let state = self.workers[number];
        if matches!(state, Worker::Asleep | Worker::Gone) {
            return;
        }
        let searching = state != Worker::Busy;
        if let Some(job) = self.queue.pop(number) {
            self.workers[number] = Worker::Busy;
            if searching {
                let help = self.queue.stop_search();
                self.give(help);
            }
            job.run();
        } else if self.queue.is_closing() {
            self.workers[number] = Worker::Gone;
            self.leave(number);
        } else if !searching && self.queue.try_search() {
            self.workers[number] = Worker::Looked;
        } else {
            if searching {
                assert!(matches!(self.queue.stop_search(), Help::NotNeeded));
            }
            self.queue.fall_asleep(number, thread::current());
            self.workers[number] = Worker::Asleep;
        }
    }

    fn expire(&mut self, number: usize) {
        if self.workers[number] == Worker::Asleep && self.queue.rise(number) {
            self.workers[number] = Worker::Gone;
            self.leave(number);
        }
    }

    fn leave(&mut self, number: usize) {
        for promise in self.queue.leave(number) {
            promise.set_result(());
        }
    }

    fn close(&mut self) {
        let (promise, ended) = ThreadPromise::new();
        let (_, promises) = self.queue.close(promise);
        promises.into_iter().for_each(|promise| promise.set_result(()));
        self.notice_woken();
        self.ended = Some(ended);
    }

    /// If a job is queued, a worker searches, or all workers are busy and no more may be started.
    fn check(&self) {
        let alive = self.workers.iter().filter(|worker| **worker != Worker::Gone).count();
        assert_eq!(self.queue.workers(), alive);
        if self.queue.queued() == 0 {
            return;
        }
        let searching = [Worker::Searching, Worker::Looked];
        let searched = self.workers.iter().any(|worker| searching.contains(worker));
        let all_busy = self.workers.iter().all(|worker| *worker == Worker::Busy);
        assert!(searched || all_busy, "{} queued, workers {:?}", self.queue.queued(), self.workers);
    }

    /// Steps the workers until none can make progress.
    fn settle(&mut self) {
        for _ in 0..10 * (self.futures.len() + self.max_workers) {
            for number in 0..self.max_workers {
                self.step(number);
                self.check();
            }
        }
    }
}

proptest! {
    #[test]
    fn every_job_is_run_whatever_the_order(
        max_workers in 1..4_usize,
        actions in prop::collection::vec(action(), 0..200),
    ) {
        let mut model = Model::new(max_workers);
        for action in actions {
            model.act(action);
        }
        model.settle();
        prop_assert!(model.futures.iter().all(ThreadFuture::is_done));
        prop_assert!(!model.workers.contains(&Worker::Busy));

        model.act(Action::Submit);
        model.act(Action::Close);
        model.settle();
        prop_assert!(model.futures.iter().all(ThreadFuture::is_done));
        prop_assert!(model.ended.is_some_and(|ended| ended.is_done()));
        prop_assert!(model.workers.iter().all(|worker| *worker == Worker::Gone));
    }
}

#[test]
fn nobody_searches_while_that_is_not_worth_it() {
    let mut queue = WorkQueue::new(1);
    queue.no_search_until(Instant::now() + Duration::from_secs(3600));
    assert!(!queue.try_search());
    queue.no_search_until(Instant::now());
    assert!(queue.try_search());
    assert!(!queue.try_search(), "only one worker searches");
}
