//! The loop itself: callbacks, and work that arrives from another thread.

use std::hint::black_box;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::on_every_runtime;
use asyncio_benches::runtime::{Runtime, timed};

fn main() {
    let contests = vec![on_every_runtime!(
        Contest::new("items_from_another_thread", 1).with("floor", from_thread_by_hand),
        from_thread
    )];
    run("loop", contests);
}

/// Items sent from another thread to a task of the loop, through an unbounded channel.
fn from_thread<R: Runtime>(times: u64) -> Duration {
    timed::<R>(async move {
        let produce = move |send: &dyn Fn(u64)| (0..times).for_each(send);
        R::from_thread(produce, |item| {
            black_box(item);
        })
        .await;
    })
}

/// The same between two threads that block, without a loop.
fn from_thread_by_hand(times: u64) -> Duration {
    let start = Instant::now();
    let (sender, receiver) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        (0..times).for_each(|item| sender.send(item).expect("a receiver"));
    });
    receiver.iter().for_each(|item| {
        black_box(item);
    });
    thread.join().expect("the producer");
    start.elapsed()
}
