//! Futures of this thread for callers that require `Send`.

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};
use std::thread;
use std::time::Duration;

use asyncio_task::{create_future, create_task, gather, local, sleep, timeout, to_thread};
use common::run;

/// Requires of a handler what axum requires.
fn handler<F: Future<Output = u8> + Send + 'static>(handler: fn() -> F) -> F {
    handler()
}

/// The case `axum_handler_sleeps`.
#[test]
fn axum_handler_sleeps() {
    async fn slow() -> u8 {
        local(async {
            sleep(Duration::from_millis(10)).await;
            let (one, two) = gather((async { 1 }, to_thread(|| 2))).await;
            let promise = create_future();
            promise.set_result(3).unwrap();
            let three = timeout(Duration::from_secs(1), promise).await.unwrap().unwrap();
            one + two.unwrap() + three + create_task(async { 4 }).await.unwrap()
        })
        .await
    }
    assert_eq!(run(handler(slow)), 10);
}

fn text(payload: Box<dyn std::any::Any + Send>) -> String {
    *payload.downcast::<String>().unwrap()
}

#[test]
fn to_drop_it_on_another_thread_panics_and_says_why() {
    let (future, line) = (local(async {}), line!());
    let outcome = text(thread::spawn(move || drop(future)).join().unwrap_err());
    assert!(outcome.contains("made `Send` by `local` at"), "{outcome}");
    assert!(outcome.contains("was dropped on this thread"), "{outcome}");
    assert!(outcome.contains(&format!("{}:{line}:", file!())), "{outcome}");
}

#[test]
fn a_poll_on_another_thread_reaches_nothing_of_the_future() {
    let future = Box::pin(local(async { unreachable!("the future is never polled") }));
    let outcome = thread::spawn(move || {
        let mut future = future;
        let cx = &mut Context::from_waker(Waker::noop());
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).is_ready()));
        std::mem::forget(future);
        text(polled.unwrap_err())
    });
    let outcome = outcome.join().unwrap();
    assert!(outcome.contains("was polled on this thread"), "{outcome}");
}
