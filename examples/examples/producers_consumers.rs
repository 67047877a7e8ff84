//! Producers and consumers over a queue: producers end by themselves, and consumers end when every
//! item is done.
//!
//! ```text
//! cargo run -p asyncio-examples --example producers_consumers
//! cargo run -p asyncio-examples --example producers_consumers 5 10
//! ```

use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::Queue;

/// An item: its number, its producer, and the time of its creation.
struct Item(usize, usize, Instant);

async fn produce(name: usize, queue: Rc<Queue<Item>>) {
    for number in 0..name % 3 + 1 {
        asyncio::sleep(Duration::from_millis(30 * (name as u64 + 1))).await;
        println!("producer {name} puts item {number}");
        queue.put(Item(number, name, Instant::now())).await.expect("a queue that nobody shut down");
    }
}

async fn consume(name: usize, queue: Rc<Queue<Item>>) {
    while let Ok(Item(number, producer, made)) = queue.get().await {
        let waited = made.elapsed().as_secs_f64() * 1e3;
        println!("consumer {name} got item {number} of producer {producer} after {waited:.1} ms");
        asyncio::sleep(Duration::from_millis(50)).await;
        queue.task_done().expect("an item was taken");
    }
}

#[asyncio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse().ok());
    let (producers, consumers) = (numbers.next().unwrap_or(3), numbers.next().unwrap_or(2));

    let queue = Rc::new(Queue::bounded(4));
    for name in 0..consumers {
        asyncio::create_task(consume(name, Rc::clone(&queue)));
    }
    asyncio::gather((0..producers).map(|name| produce(name, Rc::clone(&queue)))).await;
    queue.join().await;
    queue.shutdown();
    println!("every item is done");
}
