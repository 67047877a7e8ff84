//! Prints the time once a second, without drift, three times or as often as the argument says.
//!
//! ```text
//! cargo run -p asyncio-examples --example time_each_second
//! cargo run -p asyncio-examples --example time_each_second 60
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[asyncio::main]
async fn main() {
    let times = std::env::args().nth(1).and_then(|word| word.parse().ok()).unwrap_or(3);
    let mut next = asyncio::running_loop().time();
    for _ in 0..times {
        println!("{} UTC", time_of_day());
        next += Duration::from_secs(1);
        asyncio::sleep_until(next).await;
    }
}

fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let seconds = now.as_secs();
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{:03}", seconds % 60, now.subsec_millis())
}
