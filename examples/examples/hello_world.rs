//! Hello, world: a coroutine that sleeps between two words.
//!
//! ```text
//! cargo run -p asyncio-examples --example hello_world
//! ```

use std::time::Duration;

#[asyncio::main]
async fn main() {
    println!("hello …");
    asyncio::sleep(Duration::from_millis(500)).await;
    println!("… world!");
}
