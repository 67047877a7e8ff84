//! Tasks that belong together, limits on time, and cancellation.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::{JoinSet, spawn_local};

/// Far enough away never to come.
const LIMIT: Duration = Duration::from_secs(60);
const PARKED: usize = 10_000;

fn main() {
    run(
        "groups",
        vec![
            groups::<10>("group_of_10"),
            groups::<1000>("group_of_1000"),
            groups::<10_000>("group_of_10000"),
            Contest::new("timeout_ready", 1)
                .with("asyncio", timeout::<0>)
                .with("tokio", tokio_timeout::<0>)
                .with("smol", or_ready),
            Contest::new("timeout_pending_once", 1)
                .with("asyncio", timeout::<1>)
                .with("tokio", tokio_timeout::<1>),
            Contest::new("cancel_10000_parked", PARKED as u64)
                .with("asyncio", cancel_tasks)
                .with("tokio", abort_parked)
                .with("smol", cancel_parked),
        ],
    );
}

/// The columns are the peers' ways: tokio's `JoinSet`, and futures' `FuturesUnordered`, shown under
/// smol, on which it runs.
fn groups<const CHILDREN: usize>(name: &'static str) -> Contest {
    Contest::new(name, CHILDREN as u64)
        .with("asyncio", task_group::<CHILDREN>)
        .with("tokio", join_set::<CHILDREN>)
        .with("smol", unordered::<CHILDREN>)
}

/// A child: it lets others run once.
async fn child<R: Runtime>(number: usize) -> usize {
    R::yield_now().await;
    number
}

fn task_group<const CHILDREN: usize>(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        for _ in 0..times {
            let result = asyncio::task_group(async |group| {
                let children: Vec<_> = (0..CHILDREN)
                    .map(|number| {
                        group.create_task(async move { Ok(child::<Asyncio>(number).await) })
                    })
                    .collect();
                for child in children {
                    black_box(child.await);
                }
                Ok::<_, Infallible>(())
            });
            result.await.expect("a group without failures");
        }
    })
}

fn join_set<const CHILDREN: usize>(times: u64) -> Duration {
    timed::<Tokio>(async move {
        for _ in 0..times {
            let mut group = JoinSet::new();
            for number in 0..CHILDREN {
                group.spawn_local(child::<Tokio>(number));
            }
            while let Some(number) = group.join_next().await {
                black_box(number.expect("a child that ends well"));
            }
        }
    })
}

fn unordered<const CHILDREN: usize>(times: u64) -> Duration {
    timed::<Smol>(async move {
        for _ in 0..times {
            let mut group: FuturesUnordered<_> = (0..CHILDREN).map(child::<Smol>).collect();
            while let Some(number) = group.next().await {
                black_box(number);
            }
        }
    })
}

/// A limit around a future that is pending so many times.
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
fn or_ready(times: u64) -> Duration {
    timed::<Smol>(async move {
        for number in 0..times {
            let work = async move { Some(number) };
            let limit = async {
                smol::Timer::after(LIMIT).await;
                None
            };
            black_box(smol::future::or(work, limit).await.expect("in time"));
        }
    })
}

/// Cancel tasks that wait for ever, and wait until they are gone. Starting them is part of it.
fn cancel_tasks(times: u64) -> Duration {
    timed::<Asyncio>(async move {
        for _ in 0..times {
            let tasks: Vec<_> =
                (0..PARKED).map(|_| asyncio::create_task(std::future::pending::<()>())).collect();
            asyncio::yield_now().await;
            tasks.iter().for_each(|task| assert!(task.cancel()));
            for task in tasks {
                assert!(task.await.is_err());
            }
        }
    })
}

fn abort_parked(times: u64) -> Duration {
    timed::<Tokio>(async move {
        for _ in 0..times {
            let tasks: Vec<_> =
                (0..PARKED).map(|_| spawn_local(std::future::pending::<()>())).collect();
            Tokio::yield_now().await;
            tasks.iter().for_each(|task| task.abort());
            for task in tasks {
                assert!(task.await.is_err());
            }
        }
    })
}

fn cancel_parked(times: u64) -> Duration {
    timed::<Smol>(async move {
        for _ in 0..times {
            let tasks: Vec<_> =
                (0..PARKED).map(|_| Smol::spawn_task(std::future::pending::<()>())).collect();
            Smol::yield_now().await;
            for task in tasks {
                assert!(task.cancel().await.is_none());
            }
        }
    })
}
