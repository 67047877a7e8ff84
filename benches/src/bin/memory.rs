//! Bytes that a parked task costs beyond its future, counted by the allocator.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin memory
//! ```

use std::alloc::System;
use std::future::{Future, pending};
use std::hint::black_box;

use asyncio_benches::runtime::{Asyncio, Monoio, Runtime, Smol, Tokio};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: usize = 100_000;
const AT_ONCE: usize = 100;

fn main() {
    println!(
        "\n| a parked task with a future of {} bytes | bytes beyond the future | allocations |",
        size_of_val(&parked())
    );
    println!("|---|---|---|");
    row::<Asyncio>();
    row::<Tokio>();
    row::<Smol>();
    row::<Monoio>();
}

fn row<R: Runtime>() {
    let (bytes, allocations) = parked_task::<R>();
    println!("| {} | {bytes:.0} | {allocations:.2} |", R::NAME);
}

/// Memory of tasks that have been polled once and wait for ever, whose handles are kept. They are
/// started by and by, so that the ready queue stays short.
fn parked_task<R: Runtime>() -> (f64, f64) {
    R::block_on(async {
        let mut tasks = Vec::with_capacity(TASKS);
        let region = Region::new(ALLOCATOR);
        while tasks.len() < TASKS {
            tasks.extend((0..AT_ONCE).map(|_| R::spawn(parked())));
            R::yield_now().await;
        }
        let change = region.change();
        let bytes = (change.bytes_allocated - change.bytes_deallocated) as f64 / TASKS as f64;
        let allocations = (change.allocations - change.deallocations) as f64 / TASKS as f64;
        drop(black_box(tasks));
        (bytes - size_of_val(&parked()) as f64, allocations)
    })
}

/// A small future that waits for ever and keeps a little state.
fn parked() -> impl Future<Output = ()> + 'static {
    let state = [7_u64; 7];
    async move {
        pending::<()>().await;
        black_box(state);
    }
}
