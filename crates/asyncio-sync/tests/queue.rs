//! Queue, LifoQueue and PriorityQueue, row by row.

mod common;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_sync::{
    BaseQueue, LifoQueue, Order, PriorityQueue, PutError, Queue, QueueShutDown, TryGetError,
    TryPutError,
};
use common::{Id, Log, Turns, poll};

fn getter<O: Order<i32> + 'static>(
    turns: &Turns,
    queue: &Rc<BaseQueue<i32, O>>,
    log: &Log<Result<i32, QueueShutDown>>,
) -> Id {
    let (queue, log) = (queue.clone(), log.clone());
    turns.spawn(async move { log.push(queue.get().await) })
}

fn putter<O: Order<i32> + 'static>(
    turns: &Turns,
    queue: &Rc<BaseQueue<i32, O>>,
    log: &Log<Result<(), PutError<i32>>>,
    item: i32,
) -> Id {
    let (queue, log) = (queue.clone(), log.clone());
    turns.spawn(async move { log.push(queue.put(item).await) })
}

/// Everything that is in the queue now.
fn drain<O: Order<i32>>(queue: &BaseQueue<i32, O>) -> Vec<i32> {
    std::iter::from_fn(|| queue.get_nowait().ok()).collect()
}

#[test]
fn unbounded_is_never_full() {
    //
    let queue = Queue::new();
    for item in 0..1000 {
        assert!(poll(pin!(queue.put(item))).is_ready());
    }
    assert!(!queue.is_full());
    assert_eq!(queue.maxsize(), None);
}

#[test]
fn orders() {
    //
    fn through<O: Order<i32>>(queue: BaseQueue<i32, O>) -> Vec<i32> {
        for item in [1, 3, 2] {
            queue.put_nowait(item).expect("unbounded");
        }
        drain(&queue)
    }
    assert_eq!(through(Queue::new()), [1, 3, 2]);
    assert_eq!(through(LifoQueue::new()), [2, 3, 1]);
    assert_eq!(through(PriorityQueue::new()), [1, 2, 3]);
}

#[test]
fn producer_blocks_at_the_limit() {
    //
    let (turns, queue) = (Turns::new(), Rc::new(Queue::bounded(2)));
    let producing = queue.clone();
    let producer = turns.spawn(async move {
        for item in 0..3 {
            producing.put(item).await.expect("open");
        }
    });
    turns.run();
    assert!(queue.is_full() && !turns.is_done(producer));
    assert_eq!(queue.get_nowait(), Ok(0));
    turns.turn();
    assert!(turns.is_done(producer));
}

#[test]
fn the_nowait_twins_wake_the_waiting() {
    //
    let (turns, queue) = (Turns::new(), Rc::new(Queue::bounded(1)));
    let (got, put) = (Log::new(), Log::new());
    getter(&turns, &queue, &got);
    turns.run();
    queue.put_nowait(1).expect("empty");
    turns.run();
    assert_eq!(got.take(), [Ok(1)]);

    queue.put_nowait(2).expect("empty");
    putter(&turns, &queue, &put, 3);
    turns.run();
    assert_eq!(queue.get_nowait(), Ok(2));
    turns.run();
    assert_eq!(put.take(), [Ok(())]);
    assert_eq!(queue.get_nowait(), Ok(3));
}

#[test]
fn producer_and_consumer_over_one_slot_finish() {
    //
    let (turns, queue, log) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    let (producing, consuming, got) = (queue.clone(), queue.clone(), log.clone());
    turns.spawn(async move {
        for item in 0..5 {
            producing.put(item).await.expect("open");
        }
    });
    turns.spawn(async move {
        for _ in 0..5 {
            got.push(consuming.get().await.expect("open"));
        }
    });
    turns.run();
    assert_eq!(turns.unfinished(), 0);
    assert_eq!(log.take(), [0, 1, 2, 3, 4]);
}

#[test]
fn each_item_taken_wakes_a_putter() {
    //
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(2)), Log::new());
    for item in 0..4 {
        putter(&turns, &queue, &put, item);
    }
    turns.run();
    assert_eq!(drain(&queue), [0, 1]);
    turns.run();
    assert_eq!(put.take().len(), 4);
    assert_eq!(drain(&queue), [2, 3]);
}

#[test]
fn blocked_putters_enter_in_order() {
    //
    let (turns, queue, put, got) =
        (Turns::new(), Rc::new(Queue::bounded(1)), Log::new(), Log::new());
    for item in [0, 1, 2] {
        putter(&turns, &queue, &put, item);
    }
    turns.run();
    for _ in 0..3 {
        getter(&turns, &queue, &got);
    }
    turns.run();
    assert_eq!(got.take(), [Ok(0), Ok(1), Ok(2)]);
}

#[test]
fn cancelled_getter_leaves_no_entry() {
    //
    let (turns, queue, got) = (Turns::new(), Rc::new(Queue::new()), Log::new());
    let first = getter(&turns, &queue, &got);
    turns.run();
    turns.cancel(first);
    assert!(format!("{queue:?}").contains("getters: 0"));
    getter(&turns, &queue, &got);
    queue.put_nowait(1).expect("open");
    turns.run();
    assert_eq!(got.take(), [Ok(1)]);
}

#[test]
fn getter_cancelled_after_it_was_woken_loses_nothing() {
    //
    let (turns, queue, got) = (Turns::new(), Rc::new(Queue::new()), Log::new());
    let first = getter(&turns, &queue, &got);
    turns.run();
    queue.put_nowait(1).expect("open");
    queue.put_nowait(2).expect("open");
    turns.cancel(first);
    assert_eq!(poll(pin!(queue.get())), Poll::Ready(Ok(1)));
}

#[test]
fn items_pass_to_the_getters_that_remain() {
    //
    let (turns, queue, got) = (Turns::new(), Rc::new(Queue::new()), Log::new());
    let first = getter(&turns, &queue, &got);
    getter(&turns, &queue, &got);
    getter(&turns, &queue, &got);
    turns.run();
    queue.put_nowait(1).expect("open");
    queue.put_nowait(2).expect("open");
    turns.cancel(first);
    turns.run();
    assert_eq!(got.take(), [Ok(1), Ok(2)]);
    assert_eq!(turns.unfinished(), 0);
}

#[test]
fn cancelled_putter_never_puts() {
    //
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    queue.put_nowait(0).expect("empty");
    let blocked = putter(&turns, &queue, &put, 1);
    turns.run();
    turns.cancel(blocked);
    assert!(format!("{queue:?}").contains("putters: 0"));
    assert_eq!(drain(&queue), [0]);
    assert_eq!(poll(pin!(queue.put(1))), Poll::Ready(Ok(())));
    assert_eq!(drain(&queue), [1]);
}

#[test]
fn cancelled_putter_gives_its_place_up() {
    //
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    putter(&turns, &queue, &put, 1);
    let cancelled = putter(&turns, &queue, &put, -1);
    putter(&turns, &queue, &put, 2);
    turns.run();
    turns.cancel(cancelled);
    assert_eq!(drain(&queue), [1]);
    turns.run();
    assert_eq!(drain(&queue), [2]);
    assert_eq!(turns.unfinished(), 0);
}

#[test]
fn slot_of_a_woken_and_cancelled_putter_goes_on() {
    //
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    putter(&turns, &queue, &put, 0);
    let woken = putter(&turns, &queue, &put, 1);
    putter(&turns, &queue, &put, 2);
    turns.run();
    assert_eq!(queue.get_nowait(), Ok(0));
    turns.cancel(woken);
    turns.run();
    assert_eq!(drain(&queue), [2]);
}

#[test]
fn join_with_nothing_to_do_returns() {
    //
    let queue = Queue::new();
    assert!(poll(pin!(queue.join())).is_ready());
    assert!(poll(pin!(queue.join())).is_ready());
    queue.put_nowait(1).expect("open");
    assert!(poll(pin!(queue.join())).is_pending());
    queue.task_done().expect("one was put");
    assert!(poll(pin!(queue.join())).is_ready());
}

#[test]
fn puts_count_and_task_done_counts_down() {
    //
    let queue = Queue::bounded(2);
    queue.put_nowait(1).expect("room");
    queue.put_nowait(2).expect("room");
    assert_eq!(queue.put_nowait(3), Err(TryPutError::Full(3)));
    let mut join = pin!(queue.join());
    assert!(poll(join.as_mut()).is_pending());
    drain(&queue);
    assert_eq!(queue.unfinished(), 2);
    queue.task_done().expect("first");
    assert!(poll(join.as_mut()).is_pending());
    queue.task_done().expect("second");
    queue.put_nowait(4).expect("room");
    assert!(poll(join).is_ready(), "the count was 0, which is enough");
}

#[test]
fn task_done_too_often_is_an_error() {
    //
    let queue = Queue::new();
    assert!(queue.task_done().is_err());
    queue.put_nowait(1).expect("open");
    assert!(queue.task_done().is_ok());
    let error = queue.task_done().expect_err("nothing left");
    assert_eq!(error.to_string(), "task_done called more often than items were put");
    assert_eq!(queue.unfinished(), 0);
}

/// The rules of shutdown, in any order of items. Q-029
fn shutdown_rules<O: Order<i32> + 'static>() {
    let new = || Rc::new(BaseQueue::<i32, O>::bounded(2));

    //
    let queue = new();
    queue.put_nowait(1).expect("room");
    queue.shutdown();
    assert_eq!(queue.put_nowait(2), Err(TryPutError::ShutDown(2)));
    assert_eq!(poll(pin!(queue.put(2))), Poll::Ready(Err(PutError(2))));
    assert_eq!(poll(pin!(queue.get())), Poll::Ready(Ok(1)));
    assert_eq!(poll(pin!(queue.get())), Poll::Ready(Err(QueueShutDown)));
    assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown));

    //
    let (turns, queue, got) = (Turns::new(), new(), Log::new());
    getter(&turns, &queue, &got);
    getter(&turns, &queue, &got);
    turns.run();
    queue.shutdown();
    turns.run();
    assert_eq!(got.take(), [Err(QueueShutDown); 2]);

    //
    let queue = new();
    queue.put_nowait(1).expect("room");
    queue.shutdown();
    let mut join = pin!(queue.join());
    assert!(poll(join.as_mut()).is_pending());
    assert_eq!(queue.get_nowait(), Ok(1));
    assert!(poll(join.as_mut()).is_pending());
    queue.task_done().expect("one was put");
    assert!(poll(join).is_ready());

    //
    let queue = new();
    queue.put_nowait(1).expect("room");
    queue.put_nowait(2).expect("room");
    let mut join = pin!(queue.join());
    assert!(poll(join.as_mut()).is_pending());
    queue.shutdown_now();
    assert!(poll(join).is_ready());
    assert!(queue.is_empty());
    assert_eq!(poll(pin!(queue.get())), Poll::Ready(Err(QueueShutDown)));

    //
    let queue = new();
    queue.put_nowait(1).expect("room");
    queue.put_nowait(2).expect("room");
    queue.get_nowait().expect("two items are there");
    queue.shutdown_now();
    let mut join = pin!(queue.join());
    assert!(poll(join.as_mut()).is_pending());
    assert!(queue.task_done().is_ok());
    assert!(poll(join).is_ready());
    assert!(queue.task_done().is_err());

    //
    let queue = new();
    queue.put_nowait(1).expect("room");
    queue.shutdown();
    queue.shutdown();
    queue.shutdown_now();
    assert!(queue.is_empty() && queue.is_shut_down());
    queue.shutdown();
    assert!(queue.put_nowait(1).is_err());
}

#[test]
fn shutdown_is_the_same_in_every_order() {
    shutdown_rules::<asyncio_sync::Fifo<i32>>();
    shutdown_rules::<asyncio_sync::Lifo<i32>>();
    shutdown_rules::<asyncio_sync::Priority<i32>>();
}

#[test]
fn shutdown_ends_blocked_putters_with_their_items() {
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    for item in 0..3 {
        putter(&turns, &queue, &put, item);
    }
    turns.run();
    assert_eq!(queue.get_nowait(), Ok(0)); // wakes the second one
    put.take();
    queue.shutdown();
    turns.run();
    assert_eq!(put.take(), [Err(PutError(1)), Err(PutError(2))]);
    assert!(queue.is_empty());
}

#[test]
fn shutdown_leaves_the_items_to_getters_that_were_woken() {
    let (turns, queue, got) = (Turns::new(), Rc::new(Queue::new()), Log::new());
    for _ in 0..3 {
        getter(&turns, &queue, &got);
    }
    turns.run();
    queue.put_nowait(1).expect("open");
    queue.shutdown();
    turns.run();
    assert_eq!(got.take(), [Ok(1), Err(QueueShutDown), Err(QueueShutDown)]);
}

#[test]
fn newcomers_do_not_overtake_but_nowait_does() {
    let (turns, queue, got) = (Turns::new(), Rc::new(Queue::new()), Log::new());
    getter(&turns, &queue, &got);
    turns.run();
    queue.put_nowait(1).expect("open");
    assert!(poll(pin!(queue.get())).is_pending(), "promised to the first waiter");
    assert_eq!(queue.get_nowait(), Ok(1));
    let second = getter(&turns, &queue, &got);
    turns.run();
    queue.put_nowait(2).expect("open");
    turns.run();
    assert_eq!(got.take(), [Ok(2)]);
    assert!(!turns.is_done(second), "the overtaken waiter is still first in line");
}

#[test]
fn put_nowait_robs_a_putter_of_its_slot_not_of_its_place() {
    let (turns, queue, put) = (Turns::new(), Rc::new(Queue::bounded(1)), Log::new());
    queue.put_nowait(0).expect("empty");
    putter(&turns, &queue, &put, 1);
    putter(&turns, &queue, &put, 2);
    turns.run();
    assert_eq!(queue.get_nowait(), Ok(0));
    queue.put_nowait(9).expect("the slot is free until the putter runs");
    turns.run();
    assert_eq!(drain(&queue), [9]);
    turns.run();
    assert_eq!(drain(&queue), [1]);
    turns.run();
    assert_eq!(drain(&queue), [2]);
}

#[test]
fn items_left_are_dropped_outside_of_the_queue() {
    // Their destructors may use the queue.
    struct Item(Rc<Queue<Item>>, Rc<Cell<usize>>);
    impl Drop for Item {
        fn drop(&mut self) {
            self.1.set(self.1.get() + self.0.len() + 1);
        }
    }
    let (queue, dropped) = (Rc::new(Queue::new()), Rc::new(Cell::new(0)));
    for _ in 0..3 {
        assert!(queue.put_nowait(Item(queue.clone(), dropped.clone())).is_ok());
    }
    queue.shutdown_now();
    assert_eq!(dropped.get(), 3);
}

#[test]
#[should_panic(expected = "room for one item")]
fn a_queue_of_nothing_is_refused() {
    let _ = Queue::<i32>::bounded(0);
}

#[test]
fn an_empty_queue_is_small() {
    assert!(size_of::<Queue<[u64; 100]>>() <= 160);
    assert!(size_of::<LifoQueue<u64>>() <= 160);
    assert!(size_of::<PriorityQueue<u64>>() <= 160);
}
