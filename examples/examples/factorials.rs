//! Factorials: three coroutines compute step by step and take turns; `gather` returns their results
//! in order.
//!
//! ```text
//! cargo run -p asyncio-examples --example factorials
//! ```

use std::time::Duration;

async fn factorial(name: &str, number: u64) -> u64 {
    let mut product = 1;
    for factor in 2..=number {
        println!("task {name}: factorial({number}), now times {factor}");
        asyncio::sleep(Duration::from_millis(100)).await;
        product *= factor;
    }
    println!("task {name}: factorial({number}) = {product}");
    product
}

#[asyncio::main]
async fn main() {
    let factorials = (factorial("A", 2), factorial("B", 3), factorial("C", 4));
    assert_eq!(asyncio::gather(factorials).await, (2, 6, 24));
}
