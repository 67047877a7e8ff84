//! Two limits on requests: how many run at the same time, and how many start in each period.
//!
//! Each limit is a semaphore. For the second one, a request does not release its permit; a callback
//! of the loop releases all permits when the period is over.
//!
//! ```text
//! cargo run -p asyncio-examples --example rate_limiter
//! ```

use std::rc::Rc;
use std::time::{Duration, Instant};

use asyncio::Semaphore;

/// Admits `rate` requests in each `period`.
struct RateLimiter {
    tokens: Rc<Semaphore>,
    period: Duration,
}

impl RateLimiter {
    fn new(rate: usize, period: Duration) -> Self {
        Self { tokens: Rc::new(Semaphore::new(rate)), period }
    }

    /// Waits until one more request is admitted.
    async fn pass(&self) {
        self.tokens.acquire().await.forget();
        let tokens = Rc::clone(&self.tokens);
        asyncio::running_loop().call_later(self.period, move || tokens.release());
    }
}

async fn request(number: u32, start: Instant) {
    println!("{:4} ms  request {number} begins", start.elapsed().as_millis());
    asyncio::sleep(Duration::from_millis(30)).await;
}

#[asyncio::main]
async fn main() {
    let start = Instant::now();
    let at_a_time = Rc::new(Semaphore::new(3));
    let limiter = Rc::new(RateLimiter::new(5, Duration::from_millis(100)));

    let requests: Vec<_> = (1..=20)
        .map(|number| {
            let (at_a_time, limiter) = (Rc::clone(&at_a_time), Rc::clone(&limiter));
            asyncio::create_task(async move {
                let _permit = at_a_time.acquire().await;
                limiter.pass().await;
                request(number, start).await;
            })
        })
        .collect();
    for request in requests {
        request.await.expect("no request panics");
    }
    let took = start.elapsed();
    println!("20 requests at 5 per 100 ms took {} ms", took.as_millis());
    assert!(took >= Duration::from_millis(300));
}
