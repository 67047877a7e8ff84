//! Blocking work on other threads.

use std::hint::black_box;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed_with_others};
use futures_util::future::join_all;

/// The number of jobs submitted at once.
const JOBS: usize = 1000;

fn main() {
    run(
        "threads",
        vec![
            Contest::new("executor_round_trip", 1)
                .with("floor", thread_round_trip)
                .with("asyncio", job_by_job::<Asyncio>)
                .with("tokio", job_by_job::<Tokio>)
                .with("smol", job_by_job::<Smol>),
            Contest::new("executor_1000_jobs", JOBS as u64)
                .with("asyncio", jobs_in_turn::<Asyncio>)
                .with("tokio", jobs_in_turn::<Tokio>)
                .with("smol", jobs_in_turn::<Smol>),
            Contest::new("executor_join_1000_jobs", JOBS as u64)
                .with("asyncio", jobs_at_once::<Asyncio>)
                .with("tokio", jobs_at_once::<Tokio>)
                .with("smol", jobs_at_once::<Smol>),
        ],
    );
}

/// Blocking work runs on another thread.
trait Threads: Runtime {
    /// Submits a job; the returned future may be awaited or dropped.
    type Job<T: Send + 'static>: Future + 'static;

    fn submit<T: Send + 'static>(job: fn() -> T) -> Self::Job<T>;

    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static;
}

impl Threads for Asyncio {
    type Job<T: Send + 'static> = asyncio::event_loop::WrapFuture<T>;

    fn submit<T: Send + 'static>(job: fn() -> T) -> Self::Job<T> {
        asyncio::running_loop().run_in_executor(None, job)
    }

    async fn to_thread<T: Send + 'static>(job: fn() -> T) -> T {
        asyncio::to_thread(job).await.expect("a job that ends well")
    }
}

impl Threads for Tokio {
    type Job<T: Send + 'static> = tokio::task::JoinHandle<T>;

    fn submit<T: Send + 'static>(job: fn() -> T) -> Self::Job<T> {
        tokio::task::spawn_blocking(job)
    }

    async fn to_thread<T: Send + 'static>(job: fn() -> T) -> T {
        tokio::task::spawn_blocking(job).await.expect("a job that ends well")
    }
}

impl Threads for Smol {
    type Job<T: Send + 'static> = smol::Task<T>;

    fn submit<T: Send + 'static>(job: fn() -> T) -> Self::Job<T> {
        smol::unblock(job)
    }

    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static {
        smol::unblock(job)
    }
}

fn job() -> u64 {
    black_box(7)
}

/// One job at a time.
fn job_by_job<R: Threads>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        for _ in 0..times {
            assert_eq!(R::to_thread(job).await, 7);
        }
    })
}

/// A thousand jobs are submitted at once, and awaited one after the other.
fn jobs_in_turn<R: Threads>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        for _ in 0..times {
            let jobs: Vec<_> = (0..JOBS).map(|_| R::submit(job)).collect();
            for job in jobs {
                black_box(job.await);
            }
        }
    })
}

/// A thousand jobs are submitted at once and awaited together: the work of `join_all` at each job's
/// end costs more than the job.
fn jobs_at_once<R: Threads>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        for _ in 0..times {
            let results = join_all((0..JOBS).map(|_| R::to_thread(job))).await;
            assert_eq!(results.len(), JOBS);
        }
    })
}

/// Two threads and two channels, without a loop.
fn thread_round_trip(times: u64) -> Duration {
    let (jobs, todo) = std::sync::mpsc::channel::<fn() -> u64>();
    let (done, results) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        for job in todo {
            done.send(job()).expect("somebody who waits");
        }
    });
    let start = Instant::now();
    for _ in 0..times {
        jobs.send(job).expect("a thread that works");
        assert_eq!(results.recv(), Ok(7));
    }
    let took = start.elapsed();
    drop(jobs);
    thread.join().expect("the thread");
    took
}
