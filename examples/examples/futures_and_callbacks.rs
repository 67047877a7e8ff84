//! Futures and callbacks: the level below coroutines, where a callback resolves a promise and a
//! task awaits it.
//!
//! ```text
//! cargo run -p asyncio-examples --example futures_and_callbacks
//! ```

use std::time::Duration;

use asyncio::Promise;

/// Something that calls back when it is done.
fn look_up(name: &'static str, found: impl FnOnce(u32) + 'static) {
    asyncio::running_loop()
        .call_later(Duration::from_millis(200), move || found(name.len() as u32));
}

/// The same operation as a future.
fn look_up_soon(name: &'static str) -> Promise<u32> {
    let promise = asyncio::create_future();
    let answer = promise.clone();
    look_up(name, move |number| {
        // The waiting task may have been cancelled by now.
        let _ = answer.set_result(number);
    });
    promise
}

#[asyncio::main]
async fn main() {
    let event_loop = asyncio::running_loop();
    event_loop.call_soon(|| println!("a callback, in the next turn"));
    let never = event_loop.call_later(Duration::from_millis(100), || println!("never seen"));
    never.cancel();

    let promise = look_up_soon("asyncio");
    promise.add_done_callback(|promise| println!("done callback: {:?}", promise.result()));
    println!("waiting …");
    println!("awaited: {:?}", promise.await);
}
