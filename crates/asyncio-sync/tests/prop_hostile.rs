//! Panicking user code affects only its owner: wakers, destructors, done callbacks, predicates,
//! task factories, clones and comparisons, among tasks that do nothing wrong.

use std::cell::Cell;
use std::cmp::Ordering;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_sync::{Barrier, Condition, Event, Lock, PriorityQueue, Queue, Semaphore, mixed};
use asyncio_task::{
    Promise, Runner, Task, as_completed, create_future, create_task, running_loop, timeout, wait,
    yield_now,
};

const PROGRAMS: u64 = if cfg!(debug_assertions) { 1_500 } else { 20_000 };

/// The payload of hostile panics. They unwind without calling the panic hook, which prints others.
struct Hostile;

fn hostile() -> ! {
    resume_unwind(Box::new(Hostile))
}

/// Calls hostile code. A panic of any other code is passed on.
fn tolerate<R>(f: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Hostile>() => None,
        Err(other) => resume_unwind(other),
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % below
    }
}

/// A waker that panics when it is woken, and may panic when it is dropped.
struct BadWaker(bool);

impl Wake for BadWaker {
    fn wake(self: Arc<Self>) {
        hostile()
    }
}

impl Drop for BadWaker {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            hostile()
        }
    }
}

/// A value whose clone panics, and whose destructor may panic.
struct BadValue(bool);

impl Clone for BadValue {
    fn clone(&self) -> Self {
        hostile()
    }
}

impl Drop for BadValue {
    fn drop(&mut self) {
        if self.0 && !std::thread::panicking() {
            hostile()
        }
    }
}

/// What the tasks of a program share.
#[derive(Clone)]
struct World {
    lock: Rc<Lock<u64>>,
    semaphore: Rc<Semaphore>,
    event: Rc<Event>,
    condition: Rc<Condition<u64>>,
    queue: Rc<Queue<u64>>,
    mixed: mixed::Queue<u64>,
    barrier: Rc<Barrier>,
    promise: Promise<()>,
}

const PEERS: u64 = 6;

impl World {
    fn new() -> Self {
        Self {
            lock: Rc::default(),
            semaphore: Rc::new(Semaphore::new(2)),
            event: Rc::default(),
            condition: Rc::default(),
            queue: Rc::new(Queue::bounded(2)),
            mixed: mixed::Queue::bounded(2),
            barrier: Rc::new(Barrier::new(PEERS as usize)),
            promise: create_future(),
        }
    }

    /// A well-behaved task, each of whose waits must end.
    async fn peer(self, number: u64, mut random: Random) {
        for _ in 0..3 {
            match random.below(3) {
                0 => yield_now().await,
                1 => {
                    let mut guard = self.lock.acquire().await;
                    yield_now().await;
                    *guard += 1;
                }
                _ => {
                    let _permit = self.semaphore.acquire().await;
                    yield_now().await;
                }
            }
        }
        self.event.wait().await;
        self.promise.clone().await.unwrap();
        let (items, both) = (self.mixed.async_side(), number % 2 == 0);
        if both {
            self.queue.put(number).await.unwrap();
            items.put(number).await.unwrap();
        } else {
            assert!(self.queue.get().await.is_ok());
            assert!(items.get().await.is_ok());
        }
        let mut guard = self.condition.acquire().await;
        *guard += 1;
        self.condition.notify_all(&guard);
        drop(self.condition.wait_for(guard, |count| *count >= PEERS).await);
    }

    /// A wait that hostile code starts, and then drops or abandons.
    fn wait(&self, random: &mut Random) -> Pin<Box<dyn Future<Output = ()>>> {
        let world = self.clone();
        match random.below(8) {
            0 => Box::pin(async move { drop(world.lock.acquire().await) }),
            1 => Box::pin(async move { drop(world.semaphore.acquire().await) }),
            2 => Box::pin(async move { world.event.wait().await }),
            3 => Box::pin(async move { drop(world.promise.clone().await) }),
            4 => Box::pin(async move {
                let _ = world.barrier.wait().await;
            }),
            5 => Box::pin(async move {
                let guard = world.condition.acquire().await;
                drop(world.condition.wait_for(guard, |_| hostile()).await);
            }),
            6 => Box::pin(async move { world.queue.join().await }),
            _ => Box::pin(async move { world.mixed.async_side().join().await }),
        }
    }

    /// Performs a random hostile action.
    fn attack(&self, random: &mut Random, held: &mut Vec<Pin<Box<dyn Future<Output = ()>>>>) {
        match random.below(9) {
            0..=2 => {
                let mut wait = self.wait(random);
                let waker = Waker::from(Arc::new(BadWaker(random.below(2) == 0)));
                tolerate(|| wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
                tolerate(|| drop(waker));
                held.push(wait);
            }
            3 if !held.is_empty() => {
                let at = random.below(held.len() as u64) as usize;
                tolerate(|| drop(held.swap_remove(at)));
            }
            4 => drop(self.promise.add_done_callback(|_| hostile())),
            5 => {
                let task = create_task(async { hostile() });
                task.add_done_callback(|_| hostile());
                drop(task);
            }
            6 => {
                running_loop().set_task_factory(Some(Rc::new(|_, _| hostile())));
                tolerate(|| create_task(async {}));
                running_loop().set_task_factory(None);
            }
            7 => {
                let promise = create_future();
                let bad = random.below(2) == 0;
                drop(create_task(promise.clone()));
                tolerate(|| promise.set_result(BadValue(bad)).is_ok());
                tolerate(|| drop(promise));
            }
            _ => {
                let queue = Queue::new();
                for _ in 0..2 {
                    queue.put_nowait(BadValue(random.below(2) == 0)).unwrap();
                }
                tolerate(|| queue.shutdown_now());
                assert_eq!((queue.unfinished(), queue.len()), (0, 0));
            }
        }
    }
}

/// Uses `wait` and `as_completed` with a waker that panics, on tasks that other tasks wait for,
/// too.
fn watched(random: &mut Random) -> Task<()> {
    let waker = Waker::from(Arc::new(BadWaker(false)));
    let tasks = || [create_task(yield_now()), create_task(yield_now())];
    let (ended, kind) = (as_completed(tasks()), random.below(2));
    create_task(async move {
        if kind == 0 {
            let mut bad = Box::pin(ended.next());
            tolerate(|| bad.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            assert!(ended.next().await.is_some());
            tolerate(|| drop(bad));
            assert!(ended.next().await.is_some());
        } else {
            let mut wait = Box::pin(std::future::IntoFuture::into_future(wait(tasks())));
            tolerate(|| wait.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            yield_now().await;
            assert_eq!(wait.await.0.len(), 2);
        }
    })
}

fn program(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    Runner::builder().virtual_time(true).run(async {
        running_loop().set_exception_handler(Some(Rc::new(|_, _| {})));
        let (world, mut held) = (World::new(), vec![]);
        let peers = (0..PEERS).map(|number| {
            create_task(world.clone().peer(number, Random(seed ^ (number + 1) << 20 | 1)))
        });
        let mut tasks: Vec<_> = peers.collect();
        for _ in 0..random.below(12) {
            world.attack(&mut random, &mut held);
            if random.below(2) == 0 {
                yield_now().await;
            }
        }
        tasks.push(watched(&mut random));
        world.event.set();
        tolerate(|| world.promise.set_result(()).unwrap()).expect("done callbacks harm no task");
        for task in tasks {
            let ended = timeout(Duration::from_secs(3600), task).await;
            ended.unwrap_or_else(|_| panic!("seed {seed}: a task hangs")).unwrap();
        }
        held.into_iter().for_each(|wait| tolerate(|| drop(wait)).unwrap_or(()));
    });
}

fn silence() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Hostile>() {
                print(info);
            }
        }));
    });
}

#[test]
fn panics_of_users_hurt_their_owner_only() {
    silence();
    (1..=PROGRAMS).for_each(program);
}

thread_local! {
    /// The number of comparisons until the next one panics.
    static FUSE: Cell<u32> = const { Cell::new(u32::MAX) };
}

/// An item whose comparison sometimes panics.
#[derive(PartialEq, Eq)]
struct Item(u64);

impl Ord for Item {
    fn cmp(&self, other: &Self) -> Ordering {
        FUSE.set(FUSE.get() - 1);
        if FUSE.get() == 0 {
            FUSE.set(u32::MAX);
            hostile()
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Item {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The two kinds of priority queue as one.
trait Priorities: Clone + 'static {
    fn new() -> Self;
    fn put(&self, item: Item);
    fn get(&self) -> Option<Item>;
    fn next(self) -> impl Future<Output = Item> + 'static;
    fn join(&self) -> impl Future<Output = ()>;
    fn done(&self) -> bool;
    fn counts(&self) -> (usize, usize);
}

impl Priorities for Rc<PriorityQueue<Item>> {
    fn new() -> Self {
        Rc::default()
    }
    fn put(&self, item: Item) {
        assert!(self.put_nowait(item).is_ok());
    }
    fn get(&self) -> Option<Item> {
        self.get_nowait().ok()
    }
    async fn next(self) -> Item {
        PriorityQueue::get(&self).await.unwrap()
    }
    async fn join(&self) {
        PriorityQueue::join(self).await;
    }
    fn done(&self) -> bool {
        self.task_done().is_ok()
    }
    fn counts(&self) -> (usize, usize) {
        (self.len(), self.unfinished())
    }
}

impl Priorities for mixed::PriorityQueue<Item> {
    fn new() -> Self {
        Self::new()
    }
    fn put(&self, item: Item) {
        assert!(self.sync_side().put_nowait(item).is_ok());
    }
    fn get(&self) -> Option<Item> {
        self.async_side().get_nowait().ok()
    }
    async fn next(self) -> Item {
        self.async_side().get().await.unwrap()
    }
    async fn join(&self) {
        self.async_side().join().await;
    }
    fn done(&self) -> bool {
        self.async_side().task_done().is_ok()
    }
    fn counts(&self) -> (usize, usize) {
        (self.async_side().len(), self.async_side().unfinished())
    }
}

fn comparisons<Q: Priorities>(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    Runner::builder().virtual_time(true).run(async {
        let queue = Q::new();
        let mut got = 0;
        for _ in 0..random.below(30) {
            FUSE.set(1 + random.below(12) as u32);
            let item = Item(random.below(5));
            match random.below(3) {
                0 => got += usize::from(tolerate(|| queue.get()).flatten().is_some()),
                _ => tolerate(|| queue.put(item)).unwrap_or(()),
            }
            FUSE.set(u32::MAX);
            let (len, unfinished) = queue.counts();
            assert_eq!(len + got, unfinished, "seed {seed}");
        }
        // All items in the queue reach waiting tasks; each put that panics wakes one more.
        let waiting: Vec<_> =
            (0..queue.counts().0 + 1).map(|_| create_task(queue.clone().next())).collect();
        yield_now().await;
        FUSE.set(1);
        tolerate(|| queue.put(Item(1)));
        tolerate(|| queue.put(Item(1)));
        FUSE.set(u32::MAX);
        for task in waiting {
            let item = timeout(Duration::from_secs(3600), task).await;
            let _ = item.unwrap_or_else(|_| panic!("seed {seed}: an item is left")).unwrap();
        }
        while queue.done() {}
        timeout(Duration::from_secs(3600), queue.join()).await.unwrap();
    });
}

#[test]
fn comparisons_that_panic_leave_the_books_right() {
    silence();
    (1..=PROGRAMS).for_each(comparisons::<Rc<PriorityQueue<Item>>>);
    (1..=PROGRAMS).for_each(comparisons::<mixed::PriorityQueue<Item>>);
}

/// Of three waiters, the waker of the second panics.
#[test]
fn a_waker_that_panics_keeps_nobody_from_being_woken() {
    silence();
    Runner::builder().virtual_time(true).run(async {
        running_loop().set_exception_handler(Some(Rc::new(|_, _| {})));
        let event = Event::new();
        let waker = Waker::from(Arc::new(BadWaker(false)));
        let (mut before, mut bad, mut after) = (event.wait(), event.wait(), event.wait());
        poll_fn(|cx| {
            assert!(Pin::new(&mut before).poll(cx).is_pending());
            assert!(Pin::new(&mut bad).poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(Pin::new(&mut after).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        event.set();
        timeout(Duration::from_secs(1), async { (before.await, after.await) }).await.unwrap();
    });
}
