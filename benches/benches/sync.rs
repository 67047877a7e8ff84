//! Primitives that tasks of one thread share. Each library's run on the runtime they come with:
//! tokio::sync, async-lock and async-channel on smol, local-sync on monoio.

use std::cell::Cell;
use std::collections::VecDeque;
use std::hint::black_box;
use std::rc::Rc;
use std::time::Duration;

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::runtime::{Asyncio, Monoio, Runtime, Smol, Tokio, timed, timed_by_hand};

/// The number of contending tasks.
const TASKS: u64 = 100;

/// The number of tasks that put into one queue.
const PRODUCERS: u64 = 4;

fn main() {
    run(
        "sync",
        vec![
            Contest::new("lock_uncontended", 1)
                .with("asyncio", lock_alone::<Asyncio>)
                .with("tokio", lock_alone::<Tokio>)
                .with("smol", lock_alone::<Smol>),
            Contest::new("lock_by_100_tasks", TASKS)
                .with("asyncio", lock_contended::<Asyncio>)
                .with("tokio", lock_contended::<Tokio>)
                .with("smol", lock_contended::<Smol>),
            Contest::new("semaphore_uncontended", 1)
                .with("asyncio", semaphore_alone::<Asyncio>)
                .with("tokio", semaphore_alone::<Tokio>)
                .with("smol", semaphore_alone::<Smol>)
                .with("monoio", semaphore_alone::<Monoio>),
            Contest::new("semaphore_by_100_tasks", TASKS)
                .with("asyncio", semaphore_contended::<Asyncio>)
                .with("tokio", semaphore_contended::<Tokio>)
                .with("smol", semaphore_contended::<Smol>)
                .with("monoio", semaphore_contended::<Monoio>),
            Contest::new("event_round_trip", 1)
                .with("asyncio", event_round_trip::<Asyncio>)
                .with("tokio", event_round_trip::<Tokio>)
                .with("smol", event_round_trip::<Smol>),
            queues::<1>("queue_of_1"),
            queues::<64>("queue_of_64"),
            queues::<1024>("queue_of_1024"),
            queues::<UNBOUNDED>("queue_unbounded"),
            from_many::<64>("queue_of_64_by_4_producers"),
            from_many::<1024>("queue_of_1024_by_4_producers"),
        ],
    );
}

fn queues<const SIZE: usize>(name: &'static str) -> Contest {
    Contest::new(name, 1)
        .with("floor", queue_by_hand::<SIZE>)
        .with("asyncio", queue::<Asyncio, SIZE>)
        .with("tokio", queue::<Tokio, SIZE>)
        .with("smol", queue::<Smol, SIZE>)
        .with("monoio", queue::<Monoio, SIZE>)
}

fn from_many<const SIZE: usize>(name: &'static str) -> Contest {
    Contest::new(name, PRODUCERS)
        .with("asyncio", queue_from_many::<Asyncio, SIZE>)
        .with("tokio", queue_from_many::<Tokio, SIZE>)
        .with("smol", queue_from_many::<Smol, SIZE>)
        .with("monoio", queue_from_many::<Monoio, SIZE>)
}

/// Take a free lock and release it.
fn lock_alone<L: Lock>(times: u64) -> Duration {
    timed::<L>(async move {
        let lock = L::new_lock();
        for _ in 0..times {
            black_box(L::lock(&lock).await);
        }
    })
}

/// Tasks that each take the lock again and again, and yield while they hold it.
fn lock_contended<L: Lock>(times: u64) -> Duration {
    timed::<L>(async move {
        let lock = Rc::new(L::new_lock());
        in_tasks::<L, _>(move || {
            let lock = Rc::clone(&lock);
            async move {
                for _ in 0..times {
                    let _guard = L::lock(&lock).await;
                    L::yield_now().await;
                }
            }
        })
        .await;
    })
}

/// Take a free permit and give it back.
fn semaphore_alone<S: Semaphore>(times: u64) -> Duration {
    timed::<S>(async move {
        let semaphore = S::new_semaphore(10);
        for _ in 0..times {
            black_box(S::acquire(&semaphore).await);
        }
    })
}

/// Tasks that contend for ten permits, and yield while they hold one.
fn semaphore_contended<S: Semaphore>(times: u64) -> Duration {
    timed::<S>(async move {
        let semaphore = Rc::new(S::new_semaphore(10));
        in_tasks::<S, _>(move || {
            let semaphore = Rc::clone(&semaphore);
            async move {
                for _ in 0..times {
                    let _permit = S::acquire(&semaphore).await;
                    S::yield_now().await;
                }
            }
        })
        .await;
    })
}

/// Two tasks that wake each other by an event each.
fn event_round_trip<E: Event>(times: u64) -> Duration {
    timed::<E>(async move {
        let (ping, pong) = (Rc::new(E::new_event()), Rc::new(E::new_event()));
        let other = E::spawn({
            let (ping, pong) = (Rc::clone(&ping), Rc::clone(&pong));
            async move {
                for _ in 0..times {
                    E::wait(&ping).await;
                    E::notify(&pong);
                }
            }
        });
        for _ in 0..times {
            E::notify(&ping);
            E::wait(&pong).await;
        }
        other.await;
    })
}

/// One task puts, another gets.
fn queue<Q: Queue, const SIZE: usize>(times: u64) -> Duration {
    through_queue::<Q>(SIZE, 1, times)
}

/// Several tasks put, one gets.
fn queue_from_many<Q: Queue, const SIZE: usize>(times: u64) -> Duration {
    through_queue::<Q>(SIZE, PRODUCERS, times)
}

fn through_queue<Q: Queue>(size: usize, producers: u64, times: u64) -> Duration {
    timed::<Q>(async move {
        let (sender, mut receiver) = Q::queue(size);
        let producers: Vec<_> = (0..producers)
            .map(|_| {
                let sender = sender.clone();
                Q::spawn(async move {
                    for item in 0..times {
                        Q::put(&sender, item).await;
                    }
                })
            })
            .collect();
        let items = times * producers.len() as u64;
        let sum = Rc::new(Cell::new(0));
        let total = Rc::clone(&sum);
        let consumer = Q::spawn(async move {
            for _ in 0..items {
                total.set(total.get() + black_box(Q::get(&mut receiver).await));
            }
        });
        let expected = (0..times).sum::<u64>() * producers.len() as u64;
        for producer in producers {
            producer.await;
        }
        consumer.await;
        assert_eq!(sum.get(), expected);
    })
}

fn queue_by_hand<const SIZE: usize>(times: u64) -> Duration {
    let mut items = VecDeque::new();
    timed_by_hand(|| {
        let mut put = 0;
        while put < times {
            let end = times.min(put + SIZE.min(1024) as u64);
            items.extend((put..end).map(black_box));
            put = end;
            while let Some(item) = items.pop_front() {
                black_box(item);
            }
        }
    })
}

async fn in_tasks<R: Runtime, F: Future<Output = ()> + 'static>(work: impl Fn() -> F) {
    let tasks: Vec<_> = (0..TASKS).map(|_| R::spawn(work())).collect();
    for task in tasks {
        task.await;
    }
}

/// A queue size that is never reached.
const UNBOUNDED: usize = usize::MAX;

trait Lock: Runtime {
    type Lock: 'static;
    fn new_lock() -> Self::Lock;
    fn lock(lock: &Self::Lock) -> impl Future<Output = impl Sized>;
}

trait Semaphore: Runtime {
    type Semaphore: 'static;
    fn new_semaphore(permits: usize) -> Self::Semaphore;
    fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized>;
}

trait Event: Runtime {
    type Event: 'static;
    fn new_event() -> Self::Event;
    fn notify(event: &Self::Event);
    /// Waits for a notification, and consumes it; one that was sent before counts.
    fn wait(event: &Self::Event) -> impl Future<Output = ()>;
}

trait Queue: Runtime {
    type Sender: Clone + 'static;
    type Receiver: 'static;
    fn queue(size: usize) -> (Self::Sender, Self::Receiver);
    fn put(sender: &Self::Sender, item: u64) -> impl Future<Output = ()>;
    fn get(receiver: &mut Self::Receiver) -> impl Future<Output = u64>;
}

mod with_asyncio {
    use super::*;

    impl Lock for Asyncio {
        type Lock = asyncio::Lock<()>;
        fn new_lock() -> Self::Lock {
            asyncio::Lock::new(())
        }
        fn lock(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
            lock.acquire()
        }
    }

    impl Semaphore for Asyncio {
        type Semaphore = asyncio::Semaphore;
        fn new_semaphore(permits: usize) -> Self::Semaphore {
            Self::Semaphore::new(permits)
        }
        fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
            semaphore.acquire()
        }
    }

    impl Event for Asyncio {
        type Event = asyncio::Event;
        fn new_event() -> Self::Event {
            asyncio::Event::new()
        }
        fn notify(event: &Self::Event) {
            event.set();
        }
        async fn wait(event: &Self::Event) {
            event.wait().await;
            event.clear();
        }
    }

    impl Queue for Asyncio {
        type Sender = Rc<asyncio::Queue<u64>>;
        type Receiver = Rc<asyncio::Queue<u64>>;
        fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
            let queue = Rc::new(if size == UNBOUNDED {
                asyncio::Queue::new()
            } else {
                asyncio::Queue::bounded(size)
            });
            (Rc::clone(&queue), queue)
        }
        async fn put(queue: &Self::Sender, item: u64) {
            queue.put(item).await.expect("an open queue");
        }
        async fn get(queue: &mut Self::Receiver) -> u64 {
            queue.get().await.expect("an open queue")
        }
    }
}

mod with_tokio {
    use super::*;
    use futures_util::future::Either;
    use tokio::sync::{Mutex, Notify, mpsc};

    impl Lock for Tokio {
        type Lock = Mutex<()>;
        fn new_lock() -> Self::Lock {
            Mutex::new(())
        }
        fn lock(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
            lock.lock()
        }
    }

    impl Semaphore for Tokio {
        type Semaphore = tokio::sync::Semaphore;
        fn new_semaphore(permits: usize) -> Self::Semaphore {
            Self::Semaphore::new(permits)
        }
        fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
            semaphore.acquire()
        }
    }

    impl Event for Tokio {
        type Event = Notify;
        fn new_event() -> Notify {
            Notify::new()
        }
        fn notify(event: &Notify) {
            event.notify_one();
        }
        fn wait(event: &Notify) -> impl Future<Output = ()> {
            event.notified()
        }
    }

    impl Queue for Tokio {
        type Sender = Either<mpsc::Sender<u64>, mpsc::UnboundedSender<u64>>;
        type Receiver = Either<mpsc::Receiver<u64>, mpsc::UnboundedReceiver<u64>>;
        fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
            if size == UNBOUNDED {
                let (sender, receiver) = mpsc::unbounded_channel();
                return (Either::Right(sender), Either::Right(receiver));
            }
            let (sender, receiver) = mpsc::channel(size);
            (Either::Left(sender), Either::Left(receiver))
        }
        async fn put(sender: &Self::Sender, item: u64) {
            match sender {
                Either::Left(sender) => sender.send(item).await.expect("a receiver"),
                Either::Right(sender) => sender.send(item).expect("a receiver"),
            }
        }
        async fn get(receiver: &mut Self::Receiver) -> u64 {
            let item = match receiver {
                Either::Left(receiver) => receiver.recv().await,
                Either::Right(receiver) => receiver.recv().await,
            };
            item.expect("a sender")
        }
    }
}

mod with_smol {
    use super::*;
    use smol::channel;
    use smol::lock::Mutex;

    impl Lock for Smol {
        type Lock = Mutex<()>;
        fn new_lock() -> Self::Lock {
            Mutex::new(())
        }
        fn lock(lock: &Self::Lock) -> impl Future<Output = impl Sized> {
            lock.lock()
        }
    }

    impl Semaphore for Smol {
        type Semaphore = smol::lock::Semaphore;
        fn new_semaphore(permits: usize) -> Self::Semaphore {
            Self::Semaphore::new(permits)
        }
        fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
            semaphore.acquire()
        }
    }

    /// A channel of one unit, which users of this library take for a notification that is not lost.
    impl Event for Smol {
        type Event = (channel::Sender<()>, channel::Receiver<()>);
        fn new_event() -> Self::Event {
            channel::bounded(1)
        }
        fn notify(event: &Self::Event) {
            // If the channel is full, the notification is set already.
            let _ = event.0.try_send(());
        }
        async fn wait(event: &Self::Event) {
            event.1.recv().await.expect("the sender is beside us");
        }
    }

    impl Queue for Smol {
        type Sender = channel::Sender<u64>;
        type Receiver = channel::Receiver<u64>;
        fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
            if size == UNBOUNDED { channel::unbounded() } else { channel::bounded(size) }
        }
        async fn put(sender: &Self::Sender, item: u64) {
            sender.send(item).await.expect("a receiver");
        }
        async fn get(receiver: &mut Self::Receiver) -> u64 {
            receiver.recv().await.expect("a sender")
        }
    }
}

mod with_monoio {
    use super::*;
    use futures_util::future::Either;
    use local_sync::mpsc::{bounded, unbounded};

    impl Semaphore for Monoio {
        type Semaphore = local_sync::semaphore::Semaphore;
        fn new_semaphore(permits: usize) -> Self::Semaphore {
            Self::Semaphore::new(permits)
        }
        fn acquire(semaphore: &Self::Semaphore) -> impl Future<Output = impl Sized> {
            semaphore.acquire()
        }
    }

    impl Queue for Monoio {
        type Sender = Either<bounded::Tx<u64>, unbounded::Tx<u64>>;
        type Receiver = Either<bounded::Rx<u64>, unbounded::Rx<u64>>;
        fn queue(size: usize) -> (Self::Sender, Self::Receiver) {
            if size == UNBOUNDED {
                let (sender, receiver) = unbounded::channel();
                return (Either::Right(sender), Either::Right(receiver));
            }
            let (sender, receiver) = bounded::channel(size);
            (Either::Left(sender), Either::Left(receiver))
        }
        async fn put(sender: &Self::Sender, item: u64) {
            match sender {
                Either::Left(sender) => sender.send(item).await.expect("a receiver"),
                Either::Right(sender) => sender.send(item).expect("a receiver"),
            }
        }
        async fn get(receiver: &mut Self::Receiver) -> u64 {
            let item = match receiver {
                Either::Left(receiver) => receiver.recv().await,
                Either::Right(receiver) => receiver.recv().await,
            };
            item.expect("a sender")
        }
    }
}
