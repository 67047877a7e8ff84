//! Blocking work on other threads, and child processes.

use std::hint::black_box;
use std::process::Stdio;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Runtime, Smol, Tokio, timed};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::iter;

/// Jobs handed over at once.
const JOBS: usize = 1000;
/// Processes handed over at once, and how many of them run at a time.
const PROCESSES: usize = 16;
const CONCURRENCY: usize = 8;

fn main() {
    run(
        "threads",
        vec![
            Contest::new("executor_round_trip", 1)
                .with("floor", thread_round_trip)
                .with("tokio", job_by_job::<Tokio>)
                .with("smol", job_by_job::<Smol>),
            Contest::new("executor_1000_jobs", JOBS as u64)
                .with("tokio", jobs_at_once::<Tokio>)
                .with("smol", jobs_at_once::<Smol>),
            Contest::new("short_process", PROCESSES as u64)
                .with("tokio", processes::<Tokio>)
                .with("smol", processes::<Smol>),
        ],
    );
}

/// What blocks runs elsewhere.
trait Elsewhere: Runtime {
    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static;
    /// Runs `true` and waits for its end.
    fn process() -> impl Future<Output = ()>;
}

impl Elsewhere for Tokio {
    async fn to_thread<T: Send + 'static>(job: fn() -> T) -> T {
        tokio::task::spawn_blocking(job).await.expect("a job that ends well")
    }

    async fn process() {
        let status = tokio::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
    }
}

impl Elsewhere for Smol {
    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static {
        smol::unblock(job)
    }

    async fn process() {
        let status = smol::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
    }
}

fn job() -> u64 {
    black_box(7)
}

/// One job at a time.
fn job_by_job<R: Elsewhere>(times: u64) -> Duration {
    timed::<R>(async move {
        for _ in 0..times {
            assert_eq!(R::to_thread(job).await, 7);
        }
    })
}

/// A thousand jobs at once.
fn jobs_at_once<R: Elsewhere>(times: u64) -> Duration {
    timed::<R>(async move {
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

/// Short processes, several at a time.
fn processes<R: Elsewhere>(times: u64) -> Duration {
    timed::<R>(async move {
        for _ in 0..times {
            iter(0..PROCESSES).for_each_concurrent(CONCURRENCY, |_| R::process()).await;
        }
    })
}
