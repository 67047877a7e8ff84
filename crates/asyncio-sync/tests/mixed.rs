//! The mixed queue, row by row.

mod common;

use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use asyncio_loop::EventLoop;
use asyncio_sync::{PutError, QueueShutDown, TryGetError, TryPutError, mixed};
use common::poll;
use futures::executor::block_on;

/// Yields until the queue's debug output, which counts the waiters, contains `what`.
fn until(queue: &mixed::Queue<i32>, what: &str) {
    while !format!("{queue:?}").contains(what) {
        thread::yield_now();
    }
}

/// A waker that counts.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A timeout that no test reaches.
const LONG: Duration = Duration::from_secs(3600);

#[test]
fn items_go_from_threads_to_tasks_and_back_in_order() {
    //
    let (there, back) = (mixed::Queue::bounded(3), mixed::Queue::bounded(3));
    let (to_tasks, from_tasks) = (there.sync_side(), back.sync_side());
    let thread = thread::spawn(move || {
        (0..100).for_each(|n| to_tasks.put(n).expect("open"));
        (0..100).map(|_| from_tasks.get().expect("open")).collect::<Vec<i32>>()
    });
    block_on(async {
        let mut items = vec![];
        for _ in 0..100 {
            items.push(there.async_side().get().await.expect("open"));
        }
        for item in items {
            back.async_side().put(item * 2).await.expect("open");
        }
    });
    assert_eq!(thread.join().expect("no panic"), (0..100).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn any_put_wakes_a_thread_in_get() {
    //
    let puts: [fn(&mixed::Queue<i32>); 3] = [
        |queue| block_on(queue.async_side().put(1)).expect("open"),
        |queue| queue.async_side().put_nowait(1).expect("open"),
        |queue| queue.sync_side().put(1).expect("open"),
    ];
    for put in puts {
        let queue = mixed::Queue::new();
        let side = queue.sync_side();
        let getter = thread::spawn(move || side.get());
        until(&queue, "getters: 1");
        put(&queue);
        assert_eq!(getter.join().expect("no panic"), Ok(1));
    }
}

#[test]
fn any_put_wakes_a_task_in_get() {
    //
    let puts: [fn(mixed::Queue<i32>); 3] = [
        |queue| queue.async_side().put_nowait(1).expect("open"),
        |queue| queue.sync_side().put(1).expect("open"),
        |queue| drop(thread::spawn(move || queue.sync_side().put(1))),
    ];
    for put in puts {
        let queue = mixed::Queue::new();
        let event_loop = EventLoop::new().expect("a poller");
        let (side, other) = (queue.async_side(), queue.clone());
        event_loop.call_soon(move || put(other));
        let item = event_loop.run_until_complete(async move { side.get().await });
        assert_eq!(item.expect("not stopped"), Ok(1));
    }
}

#[test]
fn any_get_wakes_a_thread_in_put() {
    //
    let gets: [fn(&mixed::Queue<i32>) -> i32; 3] = [
        |queue| block_on(queue.async_side().get()).expect("open"),
        |queue| queue.async_side().get_nowait().expect("not empty"),
        |queue| queue.sync_side().get().expect("open"),
    ];
    for get in gets {
        let queue = mixed::Queue::bounded(1);
        let side = queue.sync_side();
        side.put(1).expect("room");
        let putter = thread::spawn(move || side.put(2));
        until(&queue, "putters: 1");
        assert_eq!(get(&queue), 1);
        assert_eq!(putter.join().expect("no panic"), Ok(()));
        assert_eq!(get(&queue), 2);
    }
}

#[test]
fn a_get_of_one_item_among_others_tells_of_the_room() {
    // such a `get` takes the lock for putting only if a task waits for room
    let full = || {
        let queue = mixed::Queue::bounded(2);
        let side = queue.sync_side();
        side.put(1).expect("room");
        side.put(2).expect("room");
        assert_eq!(side.get(), Ok(1));
        side.put(3).expect("room");
        queue
    };
    let queue = full();
    let side = queue.sync_side();
    let putter = thread::spawn(move || side.put(4));
    until(&queue, "putters: 1");
    assert_eq!(queue.sync_side().get(), Ok(2));
    assert_eq!(putter.join().expect("no panic"), Ok(()));

    let queue = full();
    let side = queue.async_side();
    let mut task = Box::pin(side.put(4));
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let cx = &mut Context::from_waker(&waker);
    assert!(task.as_mut().poll(cx).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 0);
    assert_eq!(queue.sync_side().get(), Ok(2));
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(task.as_mut().poll(cx), Poll::Ready(Ok(())));
    assert_eq!(side.len(), 2);
}

#[test]
fn any_get_wakes_a_task_in_put() {
    //
    let gets: [fn(mixed::Queue<i32>); 3] = [
        |queue| assert_eq!(queue.async_side().get_nowait(), Ok(1)),
        |queue| assert_eq!(queue.sync_side().get(), Ok(1)),
        |queue| drop(thread::spawn(move || queue.sync_side().get())),
    ];
    for get in gets {
        let queue = mixed::Queue::bounded(1);
        queue.sync_side().put(1).expect("room");
        let event_loop = EventLoop::new().expect("a poller");
        let (side, other) = (queue.async_side(), queue.clone());
        event_loop.call_soon(move || get(other));
        let put = event_loop.run_until_complete(async move { side.put(2).await });
        assert_eq!(put.expect("not stopped"), Ok(()));
        assert_eq!(queue.sync_side().get(), Ok(2));
    }
}

#[test]
fn each_side_joins_what_the_other_does() {
    //
    let queue = mixed::Queue::new();
    let (sync_side, async_side) = (queue.sync_side(), queue.async_side());
    sync_side.put(1).expect("open");
    let joining = sync_side.clone();
    let thread = thread::spawn(move || joining.join());
    until(&queue, "joiners: 1");
    let mut task = pin!(async_side.join());
    assert!(poll(task.as_mut()).is_pending());
    assert!(!sync_side.join_timeout(Duration::ZERO));
    async_side.task_done().expect("one was put");
    assert!(poll(task).is_ready());
    thread.join().expect("no panic");

    async_side.put_nowait(2).expect("open");
    let mut task = pin!(async_side.join());
    assert!(poll(task.as_mut()).is_pending());
    sync_side.task_done().expect("one was put");
    assert!(poll(task).is_ready());
    sync_side.join();
}

#[test]
fn needs_no_loop_and_any_loop_will_do() {
    //
    let queue = mixed::Queue::new();
    queue.sync_side().put(0).expect("open");
    assert_eq!(queue.sync_side().get(), Ok(0));
    for n in 1..=2 {
        let side = queue.async_side();
        let event_loop = EventLoop::new().expect("a poller");
        let put = event_loop.run_until_complete(async move { side.put(n).await });
        assert_eq!(put.expect("not stopped"), Ok(()));
    }
    assert_eq!(queue.sync_side().get(), Ok(1));
    assert_eq!(queue.sync_side().get(), Ok(2));
}

#[test]
fn nowait_on_each_side_has_errors_of_its_own() {
    //
    let queue = mixed::Queue::bounded(1);
    let (sync_side, async_side) = (queue.sync_side(), queue.async_side());
    assert_eq!(sync_side.get_nowait(), Err(TryGetError::Empty));
    assert_eq!(async_side.get_nowait(), Err(TryGetError::Empty));
    sync_side.put_nowait(1).expect("room");
    assert_eq!(sync_side.put_nowait(2), Err(TryPutError::Full(2)));
    assert_eq!(async_side.put_nowait(2), Err(TryPutError::Full(2)));
    assert!(sync_side.is_full() && async_side.is_full());
}

#[test]
fn task_done_too_often_is_an_error_on_both_sides() {
    //
    let queue = mixed::Queue::new();
    queue.sync_side().put(1).expect("open");
    assert!(queue.async_side().task_done().is_ok());
    assert!(queue.async_side().task_done().is_err());
    assert!(queue.sync_side().task_done().is_err());
    assert_eq!(queue.sync_side().unfinished(), 0);
}

#[test]
fn threads_go_on_when_the_loop_has_closed() {
    //
    let queue = mixed::Queue::bounded(1);
    let event_loop = EventLoop::new().expect("a poller");
    let side = queue.async_side();
    let options = asyncio_loop::TaskOptions::new();
    let task = event_loop.spawn(async move { side.get().await }, options).expect("open");
    assert!(event_loop.run_until_complete(common::yield_now()).is_ok());
    let mut survivor: Pin<Box<dyn Future<Output = _>>> = Box::pin({
        let side = queue.async_side();
        async move { side.get().await }
    });
    let polled = event_loop.run_until_complete(async { poll(survivor.as_mut()).is_pending() });
    assert_eq!(polled.ok(), Some(true));
    drop((task, event_loop));
    queue.sync_side().put(1).expect("room");
    assert_eq!(queue.sync_side().get(), Ok(1));
    drop(survivor);
    assert!(format!("{queue:?}").contains("getters: 0"));
}

#[test]
fn shutdown_wakes_everybody_on_both_sides() {
    //
    let queue = mixed::Queue::bounded(1);
    let (sync_side, async_side) = (queue.sync_side(), queue.async_side());
    let getting = sync_side.clone();
    let getter = thread::spawn(move || getting.get());
    let mut task = pin!(async_side.get());
    assert!(poll(task.as_mut()).is_pending());
    until(&queue, "getters: 2");
    sync_side.shutdown();
    assert_eq!(getter.join().expect("no panic"), Err(QueueShutDown));
    assert_eq!(poll(task), Poll::Ready(Err(QueueShutDown)));

    let queue = mixed::Queue::bounded(1);
    let (sync_side, async_side) = (queue.sync_side(), queue.async_side());
    sync_side.put(1).expect("room");
    let putting = sync_side.clone();
    let putter = thread::spawn(move || putting.put(2));
    let mut task = pin!(async_side.put(3));
    assert!(poll(task.as_mut()).is_pending());
    until(&queue, "putters: 2");
    async_side.shutdown();
    assert_eq!(putter.join().expect("no panic"), Err(PutError(2)));
    assert_eq!(poll(task), Poll::Ready(Err(PutError(3))));
    assert_eq!(async_side.put_nowait(4), Err(TryPutError::ShutDown(4)));
    assert_eq!(async_side.get_nowait(), Ok(1), "the remaining items can still be taken");
    assert_eq!(sync_side.get_nowait(), Err(TryGetError::ShutDown));
    assert!(queue.sync_side().is_shut_down() && queue.async_side().is_shut_down());
}

#[test]
fn shutdown_comes_before_the_timeout() {
    //
    let queue = mixed::Queue::bounded(1);
    let side = queue.sync_side();
    let getting = side.clone();
    let getter = thread::spawn(move || getting.get_timeout(LONG));
    until(&queue, "getters: 1");
    side.shutdown();
    assert_eq!(getter.join().expect("no panic"), Err(TryGetError::ShutDown));

    let queue = mixed::Queue::bounded(1);
    let side = queue.sync_side();
    side.put(0).expect("room");
    let putters: Vec<_> = (1..=3)
        .map(|n| {
            let side = side.clone();
            thread::spawn(move || side.put_timeout(n, LONG))
        })
        .collect();
    until(&queue, "putters: 3");
    side.shutdown_now();
    for (putter, n) in putters.into_iter().zip(1..) {
        assert_eq!(putter.join().expect("no panic"), Err(TryPutError::ShutDown(n)));
    }
}

#[test]
fn timeouts_end() {
    let side = mixed::Queue::bounded(1).sync_side();
    let moment = Duration::from_millis(1);
    assert_eq!(side.get_timeout(moment), Err(TryGetError::Empty));
    side.put_timeout(1, moment).expect("room");
    assert_eq!(side.put_timeout(2, moment), Err(TryPutError::Full(2)));
    assert_eq!(side.get_timeout(Duration::MAX), Ok(1));
}

#[test]
fn close_discards_and_forbids() {
    //
    let queue = mixed::Queue::new();
    let (sync_side, async_side) = (queue.sync_side(), queue.async_side());
    sync_side.put(1).expect("open");
    let mut join = pin!(async_side.join());
    assert!(poll(join.as_mut()).is_pending());
    let joining = sync_side.clone();
    let thread = thread::spawn(move || joining.join());
    until(&queue, "joiners: 2");
    queue.close();
    assert!(poll(join).is_ready());
    thread.join().expect("no panic");
    assert_eq!(sync_side.put(2), Err(PutError(2)));
    assert_eq!(sync_side.get(), Err(QueueShutDown));
    assert_eq!(block_on(async_side.put(2)), Err(PutError(2)));
    assert_eq!(block_on(async_side.get()), Err(QueueShutDown));
}

#[test]
fn closed_when_nobody_is_blocked_any_more() {
    //
    let queue = mixed::Queue::<i32>::new();
    let error = block_on(queue.wait_closed()).expect_err("not closed");
    assert_eq!(error.to_string(), "the queue was not closed");

    let side = queue.async_side();
    let mut get = Box::pin(side.get());
    assert!(poll(get.as_mut()).is_pending());
    queue.close();
    assert!(!queue.is_closed(), "a task has yet to leave");
    let mut closed = pin!(queue.wait_closed());
    assert!(poll(closed.as_mut()).is_pending());
    drop(get);
    assert!(queue.is_closed());
    assert_eq!(poll(closed), Poll::Ready(Ok(())));

    let queue = mixed::Queue::new();
    queue.sync_side().put(1).expect("open");
    queue.sync_side().get().expect("an item is there");
    let (side, (left, has_left)) = (queue.sync_side(), mpsc::channel());
    let joining = side.clone();
    thread::spawn(move || {
        joining.join();
        left.send(()).expect("the receiver is alive");
    });
    until(&queue, "joiners: 1");
    queue.close();
    let mut closed = pin!(queue.wait_closed());
    assert!(poll(closed.as_mut()).is_pending(), "one item is in work");
    side.task_done().expect("one was put");
    block_on(closed).expect("closed");
    has_left.recv().expect("joined");
    assert!(queue.is_closed());
}

#[test]
fn orders() {
    fn through<O: asyncio_sync::Order<i32>>(queue: &mixed::BaseQueue<i32, O>) -> Vec<i32> {
        for item in [1, 3, 2] {
            queue.sync_side().put(item).expect("unbounded");
        }
        std::iter::from_fn(|| queue.async_side().get_nowait().ok()).collect()
    }
    assert_eq!(through(&mixed::Queue::new()), [1, 3, 2]);
    assert_eq!(through(&mixed::LifoQueue::new()), [2, 3, 1]);
    assert_eq!(through(&mixed::PriorityQueue::new()), [1, 2, 3]);
}

#[test]
fn tasks_lose_nothing_when_dropped() {
    let queue = mixed::Queue::bounded(1);
    let side = queue.async_side();
    let (mut first, mut second) = (Box::pin(side.get()), Box::pin(side.get()));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    queue.sync_side().put(1).expect("room");
    drop(first);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(1)));

    side.put_nowait(0).expect("room");
    let (mut first, mut second) = (Box::pin(side.put(1)), Box::pin(side.put(2)));
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(side.get_nowait(), Ok(0));
    drop(first);
    assert_eq!(poll(second.as_mut()), Poll::Ready(Ok(())));
    assert_eq!(side.get_nowait(), Ok(2));
}

#[test]
fn a_thread_that_comes_in_between_costs_a_task_its_item_not_its_place() {
    let queue = mixed::Queue::new();
    let side = queue.async_side();
    let (mut first, mut second) = (Box::pin(side.get()), Box::pin(side.get()));
    assert!(poll(first.as_mut()).is_pending());
    queue.sync_side().put(1).expect("open");
    assert_eq!(queue.sync_side().get(), Ok(1));
    assert!(poll(second.as_mut()).is_pending());
    queue.sync_side().put(2).expect("open");
    assert!(poll(second.as_mut()).is_pending());
    assert_eq!(poll(first.as_mut()), Poll::Ready(Ok(2)));
}

#[test]
fn many_threads_and_tasks_lose_and_double_nothing() {
    const EACH: i32 = 2_000;
    let queue = mixed::Queue::bounded(8);
    let (sum, total) = mpsc::channel();
    let mut threads = vec![];
    for producer in 0..3 {
        let side = queue.sync_side();
        threads.push(thread::spawn(move || {
            (0..EACH).for_each(|n| side.put(producer * EACH + n).expect("open"));
        }));
    }
    for consumer in 0..4 {
        let (queue, sum) = (queue.clone(), sum.clone());
        threads.push(thread::spawn(move || {
            let mut mine = 0_i64;
            if consumer % 2 == 0 {
                while let Ok(item) = queue.sync_side().get() {
                    mine += i64::from(item) + 1;
                    queue.sync_side().task_done().expect("one was put");
                }
            } else {
                block_on(async {
                    while let Ok(item) = queue.async_side().get().await {
                        mine += i64::from(item) + 1;
                        queue.async_side().task_done().expect("one was put");
                    }
                });
            }
            sum.send(mine).expect("the receiver is alive");
        }));
    }
    for producer in threads.drain(..3) {
        producer.join().expect("no panic");
    }
    queue.sync_side().join();
    queue.sync_side().shutdown();
    for consumer in threads {
        consumer.join().expect("no panic");
    }
    drop(sum);
    let n = i64::from(3 * EACH);
    assert_eq!(total.iter().sum::<i64>(), n * (n + 1) / 2);
}

#[test]
#[should_panic(expected = "room for one item")]
fn a_queue_of_nothing_is_refused() {
    let _ = mixed::Queue::<i32>::bounded(0);
}
