//! The callback API.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio::prelude::*;

#[asyncio::testing::test(virtual_time = true)]
async fn a_timer_that_is_cancelled_never_fires() {
    let event_loop = asyncio::running_loop();
    let ticks = Rc::new(RefCell::new(Vec::new()));
    let tick = |name: &'static str| {
        let ticks = Rc::clone(&ticks);
        move || ticks.borrow_mut().push(name)
    };
    event_loop.call_later(Duration::from_millis(5), tick("late"));
    let cancelled = event_loop.call_later(Duration::from_millis(3), tick("cancelled"));
    event_loop.call_later(Duration::from_millis(1), tick("early"));
    event_loop.call_soon(tick("soon"));
    cancelled.cancel();
    asyncio::sleep(Duration::from_millis(10)).await;
    assert_eq!(*ticks.borrow(), ["soon", "early", "late"]);
}

#[asyncio::testing::test(virtual_time = true)]
async fn a_callback_settles_what_a_task_awaits() {
    let answer = asyncio::create_future();
    let setter = answer.clone();
    asyncio::running_loop().call_later(Duration::from_secs(1), move || {
        setter.set_result(42).unwrap();
    });
    assert_eq!(answer.await.unwrap(), 42);
}

#[test]
fn a_loop_is_made_filled_and_run_by_hand() {
    let event_loop = asyncio::EventLoop::new().unwrap();
    let promise = event_loop.create_future();
    let task = event_loop
        .create_task({
            let promise = promise.clone();
            async move { promise.set_result("set by a task").unwrap() }
        })
        .unwrap();
    assert!(!task.is_done());
    assert_eq!(event_loop.run_until_complete(promise).unwrap().unwrap(), "set by a task");
    assert!(task.is_done());
}
