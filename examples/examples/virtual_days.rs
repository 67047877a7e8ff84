//! A rate limiter during a week of virtual time, in many schedules: it never admits more than its
//! limit, and never refuses a client that sends one request per hour.
//!
//! ```text
//! cargo run -p asyncio-examples --features testing --example virtual_days
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::sync::RateLimiter;
use asyncio::testing::{Faults, Simulation, rng};

const HOUR: Duration = Duration::from_secs(3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// Requests per hour.
const RATE: u32 = 20;

/// A client that sends requests at random times, on average as often as the limiter allows, and
/// does not retry.
async fn visitor(limiter: Rc<RateLimiter>, admitted: Rc<RefCell<Vec<Duration>>>) {
    let (event_loop, mut rng) = (asyncio::running_loop(), rng());
    let start = event_loop.time();
    while event_loop.time() - start < WEEK {
        asyncio::sleep(rng.duration(Duration::ZERO, HOUR / RATE * 4)).await;
        if limiter.try_acquire() {
            admitted.borrow_mut().push(event_loop.time() - start);
        }
    }
}

async fn week() {
    let limiter = Rc::new(RateLimiter::new(RATE, HOUR));
    let admitted = Rc::new(RefCell::new(Vec::new()));
    let visitors =
        [(); 4].map(|()| asyncio::create_task(visitor(Rc::clone(&limiter), Rc::clone(&admitted))));
    let patient = asyncio::create_task({
        let limiter = Rc::clone(&limiter);
        async move {
            for _ in 0..7 * 24 {
                let wait = asyncio::timeout(2 * HOUR, limiter.acquire()).await;
                wait.expect("a client that waits is served");
                asyncio::sleep(HOUR).await;
            }
        }
    });
    for visitor in visitors {
        visitor.await.unwrap();
    }
    patient.await.unwrap();
    let admitted = admitted.borrow();
    for (first, from) in admitted.iter().enumerate() {
        let within = admitted[first..].iter().take_while(|time| **time - *from < HOUR).count();
        // A burst, plus the requests that were added within the hour.
        assert!(within <= 2 * RATE as usize, "{within} within an hour, from {from:?} on");
    }
}

fn main() {
    let (start, weeks) = (Instant::now(), 10);
    let slow = Faults::new().delay(0.001, Duration::from_secs(60));
    let summary = Simulation::new().seeds(weeks).faults(slow).check(week);
    let summary = summary.unwrap_or_else(|failure| panic!("{failure}"));
    println!("{weeks} weeks in {:.1?}: {summary}", start.elapsed());
}
