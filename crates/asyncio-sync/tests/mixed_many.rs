//! The mixed queue between many threads and several loops at once: every item is taken once, even
//! if users are dropped or time out, and all users end.

use std::collections::HashSet;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use asyncio_loop::EventLoop;
use asyncio_sync::Order;
use asyncio_sync::mixed::{BaseQueue, LifoQueue, PriorityQueue, Queue};
use asyncio_sync::{TryGetError, TryPutError};
use futures::future::join;

const EACH: u32 = 1_500;
const MOMENT: Duration = Duration::from_micros(20);

/// A thread that puts items: it waits without limit, waits with short timeouts, or tries again and
/// again.
fn putter<O>(queue: &BaseQueue<u32, O>, from: u32) -> JoinHandle<()>
where
    O: Order<u32> + Send + 'static,
{
    let side = queue.sync_side();
    thread::spawn(move || {
        for item in from * EACH..(from + 1) * EACH {
            let mut put = match item % 3 {
                0 => side.put(item).map_err(TryPutError::from),
                1 => side.put_timeout(item, MOMENT),
                _ => side.put_nowait(item),
            };
            while let Err(TryPutError::Full(item)) = put {
                put = side.put_timeout(item, MOMENT);
            }
            put.expect("open");
        }
    })
}

/// A loop that puts items, and drops every third put once while it waits.
fn async_putter<O>(queue: &BaseQueue<u32, O>, from: u32) -> JoinHandle<()>
where
    O: Order<u32> + Send + 'static,
{
    let side = queue.async_side();
    thread::spawn(move || {
        let put_all = async move {
            for item in from * EACH..(from + 1) * EACH {
                if item % 3 == 0 && !give_up(side.put(item)).await {
                    continue;
                }
                side.put(item).await.expect("open");
            }
        };
        EventLoop::new().expect("a poller").run_until_complete(put_all).expect("it ends");
    })
}

/// Polls a future once and drops it. Returns whether it was pending.
async fn give_up<T>(future: impl Future<Output = T>) -> bool {
    futures::poll!(std::pin::pin!(future)).is_pending()
}

/// A thread that gets items until the queue is shut down.
fn getter<O>(queue: &BaseQueue<u32, O>) -> JoinHandle<Vec<u32>>
where
    O: Order<u32> + Send + 'static,
{
    let side = queue.sync_side();
    thread::spawn(move || {
        let mut items = vec![];
        loop {
            let got = if items.len() % 2 == 0 {
                side.get().map_err(TryGetError::from)
            } else {
                side.get_timeout(MOMENT)
            };
            match got {
                Ok(item) => items.push(item),
                Err(TryGetError::Empty) => continue,
                Err(TryGetError::ShutDown) => return items,
            }
            side.task_done().expect("one was taken");
        }
    })
}

/// Two tasks of a loop that get items until the queue is shut down, and sometimes drop a pending
/// get.
fn async_getters<O>(queue: &BaseQueue<u32, O>) -> JoinHandle<Vec<u32>>
where
    O: Order<u32> + Send + 'static,
{
    let side = queue.async_side();
    thread::spawn(move || {
        let get_all = async || {
            let mut items = vec![];
            loop {
                if items.len() % 5 == 0 {
                    let mut get = std::pin::pin!(side.get());
                    if let std::task::Poll::Ready(Ok(item)) = futures::poll!(get.as_mut()) {
                        items.push(item);
                        side.task_done().expect("one was taken");
                    }
                }
                let Ok(item) = side.get().await else { return items };
                items.push(item);
                side.task_done().expect("one was taken");
            }
        };
        let both = async {
            let (mut first, second) = join(get_all(), get_all()).await;
            first.extend(second);
            first
        };
        EventLoop::new().expect("a poller").run_until_complete(both).expect("it ends")
    })
}

/// Each user makes four puts and two gets.
fn through<O: Order<u32> + Send + 'static>(queue: &BaseQueue<u32, O>, end_by_task: bool) {
    let putters = [putter(queue, 0), putter(queue, 1), async_putter(queue, 2), putter(queue, 3)];
    let getters = [getter(queue), async_getters(queue), async_getters(queue), getter(queue)];
    for putter in putters {
        putter.join().expect("no panic");
    }
    let side = queue.async_side();
    if end_by_task {
        futures::executor::block_on(side.join());
        side.shutdown();
    } else {
        queue.sync_side().join();
        queue.sync_side().shutdown();
    }
    let items: Vec<u32> =
        getters.into_iter().flat_map(|getter| getter.join().expect("no panic")).collect();
    assert_eq!(items.len(), 4 * EACH as usize);
    assert_eq!(items.into_iter().collect::<HashSet<_>>().len(), 4 * EACH as usize);
    assert!(side.is_empty() && side.unfinished() == 0);
    let shown = format!("{queue:?}");
    assert!(shown.contains("getters: 0, putters: 0, joiners: 0"), "{shown}");
}

#[test]
fn of_one_place() {
    through(&Queue::bounded(1), false);
}

#[test]
fn of_a_few_places() {
    through(&Queue::bounded(7), true);
}

#[test]
fn unbounded() {
    through(&Queue::new(), false);
}

#[test]
fn last_in_first_out() {
    through(&LifoQueue::bounded(3), true);
}

#[test]
fn smallest_first() {
    through(&PriorityQueue::bounded(3), false);
}

/// The items of one thread arrive in its order, however often the thread waited for room.
#[test]
fn each_threads_items_stay_in_order() {
    let queue = Queue::bounded(5);
    let putters = [putter(&queue, 0), putter(&queue, 1)];
    let side = queue.async_side();
    let mut last = [None, None];
    futures::executor::block_on(async {
        for _ in 0..2 * EACH {
            let item = side.get().await.expect("open");
            let last = &mut last[(item / EACH) as usize];
            assert!(*last < Some(item), "{item} after {last:?}");
            *last = Some(item);
        }
    });
    for putter in putters {
        putter.join().expect("no panic");
    }
    assert!(side.is_empty());
}
