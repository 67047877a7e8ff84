//! Bytes that a parked task costs beyond its future, and those of empty primitives, counted by the
//! allocator; and the resident bytes of a parked task with its future, each runtime in a process of
//! its own.
//!
//! ```text
//! cargo run --release -p asyncio-benches --bin memory
//! ```

use std::alloc::System;
use std::future::{Future, pending};
use std::hint::black_box;
use std::process::Command;

use asyncio_benches::runtime::{Asyncio, Monoio, Runtime, Smol, Tokio, TokioLocalSet};
#[cfg(feature = "peers")]
use asyncio_benches::runtime::{Compio, Glommio};
use smol::{channel, lock};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::sync::{Mutex, Notify, Semaphore, mpsc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const TASKS: usize = 100_000;
const AT_ONCE: usize = 100;

fn main() {
    if let Some(name) = std::env::args().nth(1) {
        let (_, resident) = RESIDENT.iter().find(|row| row.0 == name).expect("a runtime");
        return println!("{:.0}", resident());
    }
    println!(
        "\n| a parked task with a future of {} bytes | bytes beyond the future | allocations |",
        size_of_val(&parked())
    );
    println!("|---|---|---|");
    row::<Asyncio>();
    row::<Tokio>();
    row::<TokioLocalSet>();
    row::<Smol>();
    row::<Monoio>();
    #[cfg(feature = "peers")]
    {
        row::<Compio>();
        row::<Glommio>();
    }

    println!(
        "\n| of {RESIDENT_TASKS} parked tasks with a future of {} bytes | resident bytes each |",
        size_of_val(&parked())
    );
    println!("|---|---|");
    for (name, _) in RESIDENT {
        let program = std::env::current_exe().expect("the path of this program");
        let output = Command::new(program).arg(name).output().expect("this program, once more");
        println!("| {name} | {} |", String::from_utf8_lossy(&output.stdout).trim());
    }

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

/// Tasks enough that what a runtime has anyway does not count.
const RESIDENT_TASKS: usize = 1_000_000;

/// The name of a runtime, and what measures it.
type Measure = (&'static str, fn() -> f64);

const RESIDENT: &[Measure] = &[
    (Asyncio::NAME, resident::<Asyncio>),
    (Tokio::NAME, resident::<Tokio>),
    (TokioLocalSet::NAME, resident::<TokioLocalSet>),
    (Smol::NAME, resident::<Smol>),
    (Monoio::NAME, resident::<Monoio>),
    #[cfg(feature = "peers")]
    (Compio::NAME, resident::<Compio>),
    #[cfg(feature = "peers")]
    (Glommio::NAME, resident::<Glommio>),
];

/// Resident memory of a parked task, whose handle is kept.
fn resident<R: Runtime>() -> f64 {
    R::block_on(async {
        // The memory of the handles is the workload's own.
        let mut tasks: Vec<_> = (0..RESIDENT_TASKS).map(|_| None).collect();
        let before = resident_memory();
        for chunk in tasks.chunks_mut(AT_ONCE) {
            chunk.iter_mut().for_each(|task| *task = Some(R::spawn(parked())));
            R::yield_now().await;
        }
        let grown = resident_memory() - before;
        drop(black_box(tasks));
        grown / RESIDENT_TASKS as f64
    })
}

const PAGE: f64 = 4096.0;

/// Bytes of this process that are resident, where pages have 4 KiB.
fn resident_memory() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = pages.split(' ').nth(1).and_then(|pages| pages.parse::<f64>().ok());
    pages.unwrap_or(0.0) * PAGE
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

/// Memory of tasks that have been polled once and wait forever, whose handles are kept. They are
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

/// A small future that waits forever and keeps a little state.
fn parked() -> impl Future<Output = ()> + 'static {
    let state = [7_u64; 7];
    async move {
        pending::<()>().await;
        black_box(state);
    }
}
