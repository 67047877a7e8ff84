//! Blocking work on other threads, and child processes.

use std::hint::black_box;
use std::process::Stdio;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed_with_others};
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
                .with("asyncio", job_by_job::<Asyncio>)
                .with("tokio", job_by_job::<Tokio>)
                .with("smol", job_by_job::<Smol>),
            Contest::new("executor_1000_jobs", JOBS as u64)
                .with("asyncio", jobs_at_once::<Asyncio>)
                .with("tokio", jobs_at_once::<Tokio>)
                .with("smol", jobs_at_once::<Smol>),
            Contest::new("short_process", PROCESSES as u64)
                .with("asyncio", processes::<Asyncio>)
                .with("tokio", processes::<Tokio>)
                .with("smol", processes::<Smol>),
        ],
    );
}

/// Blocking work runs on another thread.
trait Threads: Runtime {
    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static;
}

trait Processes: Runtime {
    /// Runs `true` and waits for its end.
    fn process() -> impl Future<Output = ()>;
}

impl Threads for Asyncio {
    async fn to_thread<T: Send + 'static>(job: fn() -> T) -> T {
        asyncio::to_thread(job).await.expect("a job that ends well")
    }
}

impl Threads for Tokio {
    async fn to_thread<T: Send + 'static>(job: fn() -> T) -> T {
        tokio::task::spawn_blocking(job).await.expect("a job that ends well")
    }
}

impl Processes for Asyncio {
    async fn process() {
        let process = asyncio::Command::new("true").stdin(asyncio::Stdio::null()).await;
        assert!(process.expect("a process").wait().await.success());
    }
}

impl Processes for Tokio {
    async fn process() {
        let status = tokio::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
    }
}

impl Threads for Smol {
    fn to_thread<T: Send + 'static>(job: fn() -> T) -> impl Future<Output = T> + 'static {
        smol::unblock(job)
    }
}

impl Processes for Smol {
    async fn process() {
        let status = smol::process::Command::new("true").stdin(Stdio::null()).status().await;
        assert!(status.expect("a status").success());
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

/// A thousand jobs at once.
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

/// Short processes, several at a time.
fn processes<R: Processes>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        for _ in 0..times {
            iter(0..PROCESSES).for_each_concurrent(CONCURRENCY, |_| R::process()).await;
        }
    })
}
