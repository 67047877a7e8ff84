//! Items from other threads and loops to a task: the mixed queue beside each library's own channel.
//! The sender of a thread blocks. The floor is two threads and crossbeam's channel, without a loop.

use std::cell::Cell;
use std::hint::black_box;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Runtime, Smol, Tokio, timed_with_others};

/// A queue size that is never reached in practice.
const UNBOUNDED: usize = 1 << 40;

fn main() {
    run(
        "mixed",
        vec![
            from_threads::<64, 1>("from_a_thread_by_64"),
            from_threads::<1024, 1>("from_a_thread_by_1024"),
            from_threads::<UNBOUNDED, 1>("from_a_thread_unbounded"),
            from_threads::<1024, 4>("from_4_threads_by_1024"),
            between_loops::<64>("between_loops_by_64"),
            between_loops::<1024>("between_loops_by_1024"),
        ],
    );
}

fn from_threads<const SIZE: usize, const THREADS: usize>(name: &'static str) -> Contest {
    Contest::new(name, THREADS as u64)
        .with("floor", by_hand::<SIZE, THREADS>)
        .with("asyncio", feed::<Asyncio, SIZE, THREADS>)
        .with("tokio", feed::<Tokio, SIZE, THREADS>)
        .with("smol", feed::<Smol, SIZE, THREADS>)
}

/// A task of another thread's loop sends a number of items, and a task of this loop takes them all.
fn between_loops<const SIZE: usize>(name: &'static str) -> Contest {
    Contest::new(name, 1)
        .with("asyncio", hand_over::<Asyncio, SIZE>)
        .with("tokio", hand_over::<Tokio, SIZE>)
        .with("smol", hand_over::<Smol, SIZE>)
}

fn hand_over<R: FromThreads, const SIZE: usize>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        let (sender, mut receiver) = R::channel(SIZE);
        let thread = thread::spawn(move || {
            R::block_on(async move {
                for item in 0..times {
                    R::send_async(&sender, item).await;
                }
            });
        });
        let sum = Rc::new(Cell::new(0));
        for _ in 0..times {
            sum.set(sum.get() + black_box(R::receive(&mut receiver).await));
        }
        thread.join().expect("a loop that sends");
        assert_eq!(sum.get(), (0..times).sum::<u64>());
    })
}

/// A channel whose sender blocks its thread or is awaited, and whose receiver is awaited.
trait FromThreads: Runtime {
    type Sender: Clone + Send + 'static;
    type Receiver: 'static;
    fn channel(size: usize) -> (Self::Sender, Self::Receiver);
    fn send(sender: &Self::Sender, item: u64);
    fn send_async(sender: &Self::Sender, item: u64) -> impl Future<Output = ()>;
    fn receive(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

/// Each thread sends a number of items, and a task takes them all.
fn feed<R: FromThreads, const SIZE: usize, const THREADS: usize>(times: u64) -> Duration {
    timed_with_others::<R>(async move {
        let (sender, mut receiver) = R::channel(SIZE);
        let threads = send_from_threads::<THREADS>(times, move |item| R::send(&sender, item));
        let sum = Rc::new(Cell::new(0));
        for _ in 0..times * THREADS as u64 {
            sum.set(sum.get() + black_box(R::receive(&mut receiver).await));
        }
        threads.into_iter().for_each(|thread| thread.join().expect("a thread that sends"));
        assert_eq!(sum.get(), (0..times).sum::<u64>() * THREADS as u64);
    })
}

fn send_from_threads<const THREADS: usize>(
    times: u64,
    send: impl Fn(u64) + Clone + Send + 'static,
) -> Vec<thread::JoinHandle<()>> {
    let threads = (0..THREADS).map(|_| {
        let send = send.clone();
        thread::spawn(move || (0..times).for_each(send))
    });
    threads.collect()
}

fn by_hand<const SIZE: usize, const THREADS: usize>(times: u64) -> Duration {
    let start = Instant::now();
    let (sender, receiver) = if SIZE == UNBOUNDED {
        crossbeam_channel::unbounded()
    } else {
        crossbeam_channel::bounded(SIZE)
    };
    let threads = send_from_threads::<THREADS>(times, move |item| {
        sender.send(item).expect("a receiver");
    });
    let sum: u64 = receiver.iter().map(black_box).sum();
    threads.into_iter().for_each(|thread| thread.join().expect("a thread that sends"));
    assert_eq!(sum, (0..times).sum::<u64>() * THREADS as u64);
    start.elapsed()
}

impl FromThreads for Asyncio {
    type Sender = (asyncio::mixed::SyncQueue<u64>, asyncio::mixed::AsyncQueue<u64>);
    type Receiver = asyncio::mixed::AsyncQueue<u64>;

    fn channel(size: usize) -> (Self::Sender, Self::Receiver) {
        let queue = asyncio::mixed::Queue::bounded(size);
        ((queue.sync_side(), queue.async_side()), queue.async_side())
    }

    fn send(sender: &Self::Sender, item: u64) {
        sender.0.put(item).expect("an open queue");
    }

    async fn send_async(sender: &Self::Sender, item: u64) {
        sender.1.put(item).await.expect("an open queue");
    }

    async fn receive(receiver: &mut Self::Receiver) -> u64 {
        receiver.get().await.expect("an open queue")
    }
}

mod with_tokio {
    use super::*;
    use tokio::sync::mpsc;

    /// Tokio's unbounded channel is another type than its bounded one.
    #[derive(Clone)]
    pub(super) enum Sender {
        Bounded(mpsc::Sender<u64>),
        Unbounded(mpsc::UnboundedSender<u64>),
    }

    pub(super) enum Receiver {
        Bounded(mpsc::Receiver<u64>),
        Unbounded(mpsc::UnboundedReceiver<u64>),
    }

    impl FromThreads for Tokio {
        type Sender = Sender;
        type Receiver = Receiver;

        fn channel(size: usize) -> (Sender, Receiver) {
            if size == UNBOUNDED {
                let (sender, receiver) = mpsc::unbounded_channel();
                return (Sender::Unbounded(sender), Receiver::Unbounded(receiver));
            }
            let (sender, receiver) = mpsc::channel(size);
            (Sender::Bounded(sender), Receiver::Bounded(receiver))
        }

        fn send(sender: &Sender, item: u64) {
            match sender {
                Sender::Bounded(sender) => sender.blocking_send(item).expect("a receiver"),
                Sender::Unbounded(sender) => sender.send(item).expect("a receiver"),
            }
        }

        async fn send_async(sender: &Sender, item: u64) {
            match sender {
                Sender::Bounded(sender) => sender.send(item).await.expect("a receiver"),
                Sender::Unbounded(sender) => sender.send(item).expect("a receiver"),
            }
        }

        async fn receive(receiver: &mut Receiver) -> u64 {
            let item = match receiver {
                Receiver::Bounded(receiver) => receiver.recv().await,
                Receiver::Unbounded(receiver) => receiver.recv().await,
            };
            item.expect("a sender")
        }
    }
}

mod with_smol {
    use super::*;
    use smol::channel;

    impl FromThreads for Smol {
        type Sender = channel::Sender<u64>;
        type Receiver = channel::Receiver<u64>;

        fn channel(size: usize) -> (Self::Sender, Self::Receiver) {
            if size == UNBOUNDED { channel::unbounded() } else { channel::bounded(size) }
        }

        fn send(sender: &Self::Sender, item: u64) {
            sender.send_blocking(item).expect("a receiver");
        }

        async fn send_async(sender: &Self::Sender, item: u64) {
            sender.send(item).await.expect("a receiver");
        }

        async fn receive(receiver: &mut Self::Receiver) -> u64 {
            receiver.recv().await.expect("a sender")
        }
    }
}
