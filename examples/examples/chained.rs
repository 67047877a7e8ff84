//! Chained coroutines: each chain passes the result of its first part to its second part, and the
//! chains run concurrently.
//!
//! ```text
//! cargo run -p asyncio-examples --example chained
//! ```

use std::time::{Duration, Instant};

async fn first(number: u64) -> String {
    let wait = 30 * number;
    println!("first({number}) takes {wait} ms");
    asyncio::sleep(Duration::from_millis(wait)).await;
    format!("result {number}-1")
}

async fn second(number: u64, found: &str) -> String {
    let wait = 10 * (10 - number);
    println!("second({number}, {found:?}) takes {wait} ms");
    asyncio::sleep(Duration::from_millis(wait)).await;
    format!("result {number}-2, derived from {found}")
}

async fn chain(number: u64) {
    let start = Instant::now();
    let found = first(number).await;
    let derived = second(number, &found).await;
    println!("chain {number}: {derived}, after {:.1} s", start.elapsed().as_secs_f64());
}

#[asyncio::main]
async fn main() {
    let start = Instant::now();
    asyncio::gather([9, 6, 3].map(chain)).await;
    println!("all chains together took {:.1} s", start.elapsed().as_secs_f64());
}
