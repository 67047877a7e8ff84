//! Bytes that a parked task costs beyond its future, and those of empty primitives, counted by the
//! allocator.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin memory
//! ```

use std::alloc::System;
use std::future::{Future, pending};
use std::hint::black_box;

use asyncio_benches::runtime::{Asyncio, Monoio, Runtime, Smol, Tokio};
use smol::{channel, lock};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

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

    println!(
        "\n| bytes of an empty one, heap included | asyncio | tokio | smol |\n|---|---|---|---|"
    );
    let (ours, tokio, smol) = (
        size_of_new(|| asyncio::Lock::new(())),
        size_of_new(|| Mutex::new(())),
        size_of_new(|| lock::Mutex::new(())),
    );
    println!("| lock | {ours} | {tokio} | {smol} |");
    let (ours, tokio) = (size_of_new(asyncio::Event::new), size_of_new(Notify::new));
    println!("| event | {ours} | {tokio} | – |");
    let (ours, tokio, smol) = (
        size_of_new(|| asyncio::Semaphore::new(1)),
        size_of_new(|| Semaphore::new(1)),
        size_of_new(|| lock::Semaphore::new(1)),
    );
    println!("| semaphore | {ours} | {tokio} | {smol} |");
    let (ours, tokio, smol) = (
        size_of_new(|| asyncio::Queue::<u64>::bounded(16)),
        size_of_new(|| mpsc::channel::<u64>(16)),
        size_of_new(|| channel::bounded::<u64>(16)),
    );
    println!("| queue of up to 16 numbers | {ours} | {tokio} | {smol} |");
}

/// Bytes of a new value, and of what it allocates.
fn size_of_new<T>(new: impl FnOnce() -> T) -> usize {
    let region = Region::new(ALLOCATOR);
    let value = black_box(new());
    let change = region.change();
    size_of_val(&value) + change.bytes_allocated - change.bytes_deallocated
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
