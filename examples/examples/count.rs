//! Three coroutines that count concurrently: while one sleeps, the others run.
//!
//! ```text
//! cargo run -p asyncio-examples --example count
//! ```

use std::time::{Duration, Instant};

async fn count() {
    println!("one");
    asyncio::sleep(Duration::from_millis(300)).await;
    println!("two");
}

#[asyncio::main]
async fn main() {
    let start = Instant::now();
    asyncio::gather((count(), count(), count())).await;
    println!("three waits of 0.3 s took {:.2} s", start.elapsed().as_secs_f64());
}
