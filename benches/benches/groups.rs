//! Tasks that belong together.

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinSet;

fn main() {
    run(
        "groups",
        vec![
            groups::<10>("group_of_10"),
            groups::<1000>("group_of_1000"),
            groups::<10_000>("group_of_10000"),
        ],
    );
}

/// The columns show the peers' own ways: tokio's `JoinSet`, and futures' `FuturesUnordered`, shown
/// under smol, on which it runs.
fn groups<const CHILDREN: usize>(name: &'static str) -> Contest {
    Contest::new(name, CHILDREN as u64)
        .with("asyncio", task_group::<CHILDREN>)
        .with("tokio", join_set::<CHILDREN>)
        .with("smol", unordered::<CHILDREN>)
}

/// A child that yields once.
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
