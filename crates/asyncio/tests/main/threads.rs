//! Work on other threads, and calls from them.

use std::thread;

use asyncio::prelude::*;

#[asyncio::testing::test]
async fn blocking_work_runs_beside_the_loop() {
    let here = thread::current().id();
    let data = [1, 2, 3];
    let work = asyncio::to_thread(move || (thread::current().id(), data.iter().sum::<i32>()));
    let (there, sum) = work.await.unwrap();
    assert_ne!(here, there);
    assert_eq!(sum, 6);
}

#[asyncio::testing::test]
async fn another_thread_runs_a_future_on_the_loop() {
    let (here, handle) = (thread::current().id(), asyncio::running_loop().handle());
    let caller = asyncio::to_thread(move || {
        let answer = handle.run_coroutine_threadsafe(|| async {
            asyncio::yield_now().await;
            thread::current().id()
        });
        answer.result(None).unwrap()
    });
    assert_eq!(caller.await.unwrap(), here);
}
