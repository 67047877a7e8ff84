//! A pool of workers with a priority queue: urgent jobs run first, a failed job is retried once,
//! and the pool ends when every job is done.
//!
//! ```text
//! cargo run -p asyncio-examples --example worker_pool
//! ```

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;
use std::time::Duration;

use asyncio::PriorityQueue;

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Now,
    Today,
    Whenever,
}

/// Jobs are ordered by urgency, then by number.
#[derive(Debug, PartialEq, Eq)]
struct Job {
    urgency: Urgency,
    number: u32,
    attempts: u32,
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.urgency.cmp(&other.urgency).then(self.number.cmp(&other.number))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Every seventh job fails the first time.
async fn work(job: &Job) -> Result<(), &'static str> {
    asyncio::sleep(Duration::from_millis(5)).await;
    if job.number % 7 == 0 && job.attempts == 0 { Err("no luck") } else { Ok(()) }
}

async fn worker(name: usize, queue: Rc<PriorityQueue<Job>>, done: Rc<RefCell<Vec<u32>>>) {
    while let Ok(mut job) = queue.get().await {
        match work(&job).await {
            Ok(()) => {
                println!("worker {name}: job {} ({:?}) is done", job.number, job.urgency);
                done.borrow_mut().push(job.number);
            }
            Err(error) => {
                println!("worker {name}: job {} failed: {error}; it comes back", job.number);
                job.attempts += 1;
                queue.put(job).await.expect("open until all is done");
            }
        }
        // This follows the put, so that `join` cannot return in between.
        queue.task_done().expect("a job was taken");
    }
}

#[asyncio::main]
async fn main() {
    let (queue, done) = (Rc::new(PriorityQueue::new()), Rc::new(RefCell::new(vec![])));
    for number in 1..=15 {
        let urgency = match number % 5 {
            0 => Urgency::Now,
            1 | 2 => Urgency::Today,
            _ => Urgency::Whenever,
        };
        queue.put_nowait(Job { urgency, number, attempts: 0 }).expect("open");
    }

    let workers: Vec<_> = (1..=3)
        .map(|name| asyncio::create_task(worker(name, Rc::clone(&queue), Rc::clone(&done))))
        .collect();
    queue.join().await;
    queue.shutdown();
    for worker in workers {
        worker.await.expect("no worker panics");
    }
    let mut done = done.take();
    println!("in this order: {done:?}");
    assert_eq!(done[..3], [5, 10, 15]);
    done.sort_unstable();
    assert_eq!(done, (1..=15).collect::<Vec<_>>());
}
