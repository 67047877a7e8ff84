//! Timeouts and cancellation.

use std::future::pending;
use std::hint::black_box;
use std::time::Duration;

use asyncio::EventLoop;
use asyncio::TaskOptions;
use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, thread_time, timed, timed_by_hand};
use tokio::task::spawn_local;

/// A time that is never reached.
const LIMIT: Duration = Duration::from_secs(60);
const PARKED: usize = 10_000;

fn main() {
    run(
        "cancel",
        vec![
            Contest::new("timeout_ready", 1)
                .with("asyncio", timeout::<0>)
                .with("tokio", tokio_timeout::<0>)
                .with("smol", or::<0>),
            Contest::new("timeout_pending_once", 1)
                .with("asyncio", timeout::<1>)
                .with("tokio", tokio_timeout::<1>)
                .with("smol", or::<1>),
            Contest::new("cancel_10000_parked", PARKED as u64)
                .with("floor", drop_tasks)
                .with("asyncio", cancel_tasks)
                .with("tokio", abort_tasks)
                .with("smol", cancel_smol_tasks),
            Contest::new("cancel_10000_with_cleanup", PARKED as u64)
                .with("asyncio", cancel_tasks_with_cleanup),
        ],
    );
}

/// A timeout around a future that is pending a number of times.
fn timeout<const YIELDS: usize>(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        for number in 0..times {
            let work = pending_for::<Asyncio, YIELDS>(number);
            black_box(asyncio::timeout(LIMIT, work).await.expect("in time"));
        }
    })
}

fn tokio_timeout<const YIELDS: usize>(times: u64) -> Duration {
    timed::<Tokio>(async move {
        for number in 0..times {
            let work = pending_for::<Tokio, YIELDS>(number);
            black_box(tokio::time::timeout(LIMIT, work).await.expect("in time"));
        }
    })
}

async fn pending_for<R: Runtime, const YIELDS: usize>(number: u64) -> u64 {
    for _ in 0..YIELDS {
        R::yield_now().await;
    }
    number
}

/// futures-lite's `or` with a timer.
fn or<const YIELDS: usize>(times: u64) -> Duration {
    timed::<Smol>(async move {
        for number in 0..times {
            let work = async move { Some(pending_for::<Smol, YIELDS>(number).await) };
            let limit = async {
                smol::Timer::after(LIMIT).await;
                None
            };
            black_box(smol::future::or(work, limit).await.expect("in time"));
        }
    })
}

/// Drops the waiting tasks with their loop, without cancelling them.
fn drop_tasks(times: u64) -> Duration {
    let mut total = Duration::ZERO;
    for _ in 0..times {
        let event_loop = EventLoop::new().expect("a poller");
        let start = async {
            for _ in 0..PARKED {
                // Other runtimes would report that these tasks were not awaited.
                let hidden = TaskOptions::new().hidden();
                drop(asyncio::create_task_with(pending::<()>(), hidden));
            }
            asyncio::yield_now().await;
        };
        event_loop.run_until_complete(start).expect("a run that ends");
        total += timed_by_hand(|| drop(event_loop));
    }
    total
}

/// Cancels tasks that wait forever, and waits until they have ended.
fn cancel_tasks(times: u64) -> Duration {
    cancel_all(times, pending)
}

/// The same with a `finally` in each task, whose cleanup waits once.
fn cancel_tasks_with_cleanup(times: u64) -> Duration {
    cancel_all(times, || asyncio::finally(pending(), async |_| asyncio::yield_now().await))
}

fn cancel_all<F: Future<Output = ()> + 'static>(times: u64, work: fn() -> F) -> Duration {
    Asyncio::block_on(async move {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let tasks: Vec<_> = (0..PARKED).map(|_| asyncio::create_task(work())).collect();
            asyncio::yield_now().await;
            let start = thread_time();
            tasks.iter().for_each(|task| assert!(task.cancel()));
            for task in tasks {
                assert!(task.await.is_err());
            }
            total += thread_time() - start;
        }
        total
    })
}

fn abort_tasks(times: u64) -> Duration {
    Tokio::block_on(async move {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let tasks: Vec<_> = (0..PARKED).map(|_| spawn_local(pending::<()>())).collect();
            Tokio::yield_now().await;
            let start = thread_time();
            tasks.iter().for_each(|task| task.abort());
            for task in tasks {
                assert!(task.await.is_err());
            }
            total += thread_time() - start;
        }
        total
    })
}

fn cancel_smol_tasks(times: u64) -> Duration {
    Smol::block_on(async move {
        let mut total = Duration::ZERO;
        for _ in 0..times {
            let tasks: Vec<_> = (0..PARKED).map(|_| Smol::spawn_task(pending::<()>())).collect();
            Smol::yield_now().await;
            let start = thread_time();
            for task in tasks {
                assert!(task.cancel().await.is_none());
            }
            total += thread_time() - start;
        }
        total
    })
}
