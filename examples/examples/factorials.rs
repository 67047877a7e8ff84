//! Factorials in parallel: three coroutines compute step by step, and their results come in order.
//!
//! ```text
//! cargo run -p asyncio-examples --example factorials
//! ```

use std::time::Duration;

async fn factorial(name: &'static str, number: u64) -> u64 {
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
    let tasks = [("A", 2), ("B", 3), ("C", 4)]
        .map(|(name, number)| asyncio::create_task(factorial(name, number)));
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a result"));
    }
    assert_eq!(results, [2, 6, 24]);
}
