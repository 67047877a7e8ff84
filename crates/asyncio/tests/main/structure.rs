//! Tasks, promises and queues that work together.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

#[asyncio::testing::test(virtual_time = true)]
async fn three_counters_count_together() {
    let (log, start) = (Rc::new(RefCell::new(Vec::new())), asyncio::running_loop().time());
    let counters = ["one", "two", "three"].map(|name| {
        let log = Rc::clone(&log);
        asyncio::create_task(async move {
            log.borrow_mut().push(format!("{name} begins"));
            asyncio::sleep(SECOND).await;
            log.borrow_mut().push(format!("{name} ends"));
        })
    });
    for counter in counters {
        counter.await.unwrap();
    }
    let order = ["one begins", "two begins", "three begins", "one ends", "two ends", "three ends"];
    assert_eq!(*log.borrow(), order);
    assert_eq!(asyncio::running_loop().time() - start, SECOND);
}

#[asyncio::testing::test(virtual_time = true)]
async fn producers_and_consumers_share_a_queue() {
    let queue = Rc::new(asyncio::Queue::bounded(2));
    let sum = Rc::new(Cell::new(0));
    let consumers = [(); 3].map(|()| {
        let (queue, sum) = (Rc::clone(&queue), Rc::clone(&sum));
        asyncio::create_task(async move {
            while let Ok(item) = queue.get().await {
                asyncio::sleep(SECOND).await;
                sum.set(sum.get() + item);
                queue.task_done().unwrap();
            }
        })
    });
    for item in 1..=10 {
        queue.put(item).await.unwrap();
    }
    queue.join().await;
    assert_eq!(sum.get(), 55);

    queue.shutdown();
    for consumer in consumers {
        consumer.await.unwrap();
    }
}

#[asyncio::testing::test(virtual_time = true)]
async fn a_lock_keeps_others_out_while_its_holder_waits() {
    let lock = Rc::new(asyncio::Lock::new(0));
    let tasks = [(); 4].map(|()| {
        let lock = Rc::clone(&lock);
        asyncio::create_task(async move {
            let mut value = lock.acquire().await;
            let seen = *value;
            asyncio::sleep(SECOND).await;
            *value = seen + 1;
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*lock.acquire().await, 4);
    assert_eq!(asyncio::running_loop().time().as_secs_f64(), 4.0);
}

asyncio::context_var! {
    static CLIENT: Option<&'static str> = None;
}

async fn serve() -> String {
    asyncio::yield_now().await;
    format!("hello {}", CLIENT.get().unwrap_or("stranger"))
}

#[test]
fn context_follows_the_task_and_everything_it_starts() {
    let main = async {
        CLIENT.set(Some("ada"));
        let ada = asyncio::create_task(async { asyncio::create_task(serve()).await.unwrap() });
        CLIENT.set(None);
        (ada.await.unwrap(), serve().await)
    };
    assert_eq!(asyncio::run(main), ("hello ada".to_owned(), "hello stranger".to_owned()));
}

#[asyncio::main]
async fn fails() -> Result<(), std::num::ParseIntError> {
    let number: u8 = "seven".parse()?;
    unreachable!("{number}")
}

#[test]
fn main_may_fail() {
    assert!(fails().is_err());
}
