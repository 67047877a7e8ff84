//! Queues and receivers as streams, with the combinators of the `futures` crate.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_sync::broadcast::{self, RecvError};
use asyncio_sync::{PriorityQueue, Queue, mixed};
use asyncio_task::{Runner, create_task, sleep, timeout, yield_now};
use futures::{Stream, StreamExt};

fn run<T>(main: impl Future<Output = T>) -> T {
    Runner::builder().virtual_time(true).run(main)
}

const MOMENT: Duration = Duration::from_nanos(1);

#[test]
fn a_stream_gives_every_item_and_ends_with_the_queue() {
    run(async {
        let queue = Rc::new(Queue::bounded(1));
        let producer = create_task({
            let queue = Rc::clone(&queue);
            async move {
                for n in 1..=5 {
                    queue.put(n).await.unwrap();
                }
                queue.shutdown();
            }
        });
        let items: Vec<_> = queue.stream().map(|n| n * 10).collect().await;
        assert_eq!(items, [10, 20, 30, 40, 50]);
        producer.await.unwrap();
        assert_eq!(queue.stream().next().await, None);
    });
}

#[test]
fn a_stream_follows_the_order_of_its_queue() {
    run(async {
        let queue = PriorityQueue::new();
        [3, 1, 2].iter().for_each(|n| queue.put_nowait(*n).unwrap());
        queue.shutdown();
        assert_eq!(queue.stream().size_hint(), (0, Some(3)));
        assert_eq!(queue.stream().collect::<Vec<_>>().await, [1, 2, 3]);
    });
}

#[test]
fn a_stream_that_is_dropped_once_it_was_woken_passes_the_item_on() {
    run(async {
        let queue = Queue::new();
        let (mut first, mut second) = (queue.stream(), queue.stream());
        let taken = RefCell::new(Vec::new());
        asyncio_task::scope(async |scope| {
            let taken = &taken;
            let second = &mut second;
            let waits = scope.create_task(async move {
                let item = second.next().await;
                taken.borrow_mut().push(item);
            });
            // The first stream in the queue is dropped after it was woken.
            assert!(timeout(MOMENT, first.next()).await.is_err());
            let early = queue.stream();
            queue.put_nowait("item").unwrap();
            drop(first);
            drop(early);
            waits.await;
        })
        .await;
        assert_eq!(*taken.borrow(), [Some("item")]);
        assert!(queue.is_empty());
    });
}

#[test]
fn streams_of_one_queue_take_turns() {
    run(async {
        let queue = Rc::new(Queue::new());
        let tasks = [(); 3].map(|()| {
            let queue = Rc::clone(&queue);
            create_task(async move {
                let mut mine = Vec::new();
                let mut items = queue.stream();
                while let Some(item) = items.next().await {
                    mine.push(item);
                    sleep(MOMENT).await;
                }
                mine
            })
        });
        yield_now().await;
        (0..6).for_each(|n| queue.put_nowait(n).unwrap());
        sleep(MOMENT * 10).await;
        queue.shutdown();
        let mut all = Vec::new();
        for task in tasks {
            let mine = task.await.unwrap();
            assert_eq!(mine.len(), 2);
            all.extend(mine);
        }
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    });
}

#[test]
fn a_thread_feeds_a_stream() {
    let queue = mixed::Queue::bounded(2);
    let side = queue.sync_side();
    let thread = std::thread::spawn(move || {
        (0..100).for_each(|n| side.put(n).unwrap());
        side.shutdown();
    });
    let items: Vec<_> = asyncio_task::run(queue.async_side().stream().collect());
    assert!(items.into_iter().eq(0..100));
    thread.join().unwrap();
}

#[test]
fn a_mixed_stream_that_is_dropped_loses_nothing() {
    run(async {
        let queue = mixed::Queue::new();
        let side = queue.async_side();
        assert!(timeout(MOMENT, side.stream().next()).await.is_err());
        queue.put_nowait(1).unwrap();
        let mut items = side.stream();
        assert_eq!(items.next().await, Some(1));
        assert!(timeout(MOMENT, items.next()).await.is_err());
        queue.put_nowait(2).unwrap();
        drop(items);
        assert_eq!(side.get().await, Ok(2));
        side.shutdown();
        assert_eq!(side.stream().next().await, None);
    });
}

#[test]
fn a_broadcast_stream_says_what_was_missed_and_ends_with_the_senders() {
    run(async {
        let (sender, mut receiver) = broadcast::channel(2);
        let mut values = receiver.stream();
        assert!(timeout(MOMENT, values.next()).await.is_err());
        sender.send(1).unwrap();
        assert_eq!(values.next().await, Some(Ok(1)));
        (2..=5).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
        assert_eq!(values.next().await, Some(Err(RecvError::Lagged(2))));
        drop(values);
        drop(sender);
        let rest: Vec<_> = receiver.stream().collect().await;
        assert_eq!(rest, [Ok(4), Ok(5)]);
    });
}
