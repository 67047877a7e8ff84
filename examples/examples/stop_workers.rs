//! Workers that stop gracefully: they take no new jobs and finish the current one. A job that takes
//! longer than the grace period is cancelled and put back into the queue, so that no job is lost.
//!
//! ```text
//! cargo run -p asyncio-examples --example stop_workers
//! ```

use std::cell::RefCell;
use std::time::Duration;

use asyncio::{Event, Outcome, finally, race, scope, sleep, timeout};

const WORKERS: usize = 3;
const GRACE: Duration = Duration::from_millis(60);

/// A job: its number, and how long it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Job(u32, Duration);

#[derive(Default)]
struct Pool {
    waiting: RefCell<Vec<Job>>,
    done: RefCell<Vec<Job>>,
    stop: Event,
}

impl Pool {
    /// The next job, unless the pool stops.
    fn next(&self) -> Option<Job> {
        if self.stop.is_set() { None } else { self.waiting.borrow_mut().pop() }
    }

    async fn work(&self, name: usize) {
        while let Some(job) = self.next() {
            println!("worker {name}: begins {job:?}");
            // A job that is cancelled goes back to the queue; this cleanup may await.
            finally(sleep(job.1), async |outcome| match outcome {
                Outcome::Finished(()) => self.done.borrow_mut().push(job),
                _ => {
                    sleep(Duration::from_millis(1)).await;
                    println!("worker {name}: hands {job:?} back");
                    self.waiting.borrow_mut().push(job);
                }
            })
            .await;
        }
        println!("worker {name}: stops");
    }

    /// Works until all jobs are done or the pool has stopped.
    async fn run(&self) {
        let work = scope(async |scope| {
            for name in 0..WORKERS {
                scope.create_task(self.work(name));
            }
        });
        let limit = async {
            self.stop.wait().await;
            sleep(GRACE).await;
            println!("pool: the grace period is over");
        };
        // The first one to finish cancels the other, and waits for its cleanup.
        race((work, limit)).await;
    }
}

#[asyncio::main]
async fn main() {
    let quick = Duration::from_millis(20);
    let mut jobs: Vec<_> = (1..=20).map(|number| Job(number, quick)).collect();
    jobs.push(Job(21, Duration::from_secs(3600)));
    let pool = Pool { waiting: RefCell::new(jobs), ..Pool::default() };

    let stopper = async {
        sleep(quick * 2).await;
        println!("pool: stops");
        pool.stop.set();
    };
    let both = asyncio::gather((pool.run(), stopper));
    timeout(Duration::from_secs(10), both).await.expect("nobody waits for the long one");

    let (done, mut all) = (pool.done.take(), pool.waiting.take());
    println!("{} jobs are done, {} are left", done.len(), all.len());
    assert!(!done.is_empty() && all.contains(&Job(21, Duration::from_secs(3600))));
    all.extend(done);
    all.sort_unstable_by_key(|job| job.0);
    let numbers: Vec<_> = all.iter().map(|job| job.0).collect();
    assert_eq!(numbers, (1..=21).collect::<Vec<_>>());
}
