//! Models of the pool: jobs are handed over, workers sleep, wake and end, in every order.
//!
//! A job that nobody sees to, or a worker that nobody wakes, shows as a deadlock.

use std::time::Duration;

use loom::model;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use loom::thread;

use super::*;

fn pool(max_workers: usize) -> ThreadPoolExecutor {
    let pool = ThreadPoolExecutor::builder().max_workers(max_workers);
    pool.idle_timeout(Duration::MAX).build()
}

#[test]
fn a_worker_that_falls_asleep_misses_no_job() {
    model(|| {
        let pool = pool(1);
        // The first job starts the worker. The second arrives while the worker searches, falls
        // asleep, or sleeps.
        assert_eq!(pool.submit(|| 1).result(None).unwrap(), 1);
        assert_eq!(pool.submit(|| 2).result(None).unwrap(), 2);
        pool.join(None).unwrap();
        assert_eq!(pool.workers(), 0);
    });
}

#[test]
fn a_job_behind_one_that_waits_for_it_gets_a_worker_of_its_own() {
    model(|| {
        let pool = pool(2);
        let (promise, future) = crate::ThreadPromise::new();
        let first = pool.submit(move || future.result(None).unwrap());
        let second = pool.submit(move || promise.set_result(7));
        assert_eq!(first.result(None).unwrap(), 7);
        second.result(None).unwrap();
        pool.join(None).unwrap();
    });
}

#[test]
fn jobs_of_two_threads_are_all_run() {
    model(|| {
        let pool = std::sync::Arc::new(pool(1));
        let ran = Arc::new(AtomicUsize::new(0));
        let job = |ran: &Arc<AtomicUsize>| {
            let ran = Arc::clone(ran);
            move || ran.fetch_add(1, Relaxed)
        };
        let other = {
            let (pool, job) = (std::sync::Arc::clone(&pool), job(&ran));
            thread::spawn(move || drop(pool.submit(job)))
        };
        drop(pool.submit(job(&ran)));
        other.join().unwrap();
        pool.join(None).unwrap();
        assert_eq!(ran.load(Relaxed), 2);
    });
}

/// An accepted job runs, a job submitted after the shutdown fails, and every worker ends.
#[test]
fn a_job_races_with_shutdown() {
    model(|| {
        let pool = std::sync::Arc::new(pool(1));
        pool.submit(|| ()).result(None).unwrap();
        let other = {
            let pool = std::sync::Arc::clone(&pool);
            thread::spawn(move || pool.submit(|| 1).result(None))
        };
        pool.join(None).unwrap();
        match other.join().unwrap() {
            Ok(value) => assert_eq!(value, 1),
            Err(error) => assert!(matches!(error, JobError::ExecutorShutdown), "{error}"),
        }
        assert_eq!((pool.workers(), pool.queued()), (0, 0));
    });
}

#[test]
fn a_job_that_is_queued_is_run_or_cancelled() {
    model(|| {
        let pool = pool(1);
        let job = pool.submit(|| 1);
        let cancelled = pool.cancel_queued();
        assert_eq!(job.result(None).is_err(), cancelled == 1);
        pool.join(None).unwrap();
    });
}
