//! Sleeping and yielding.

mod common;

use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{create_task, sleep, sleep_until, yield_now};
use common::{Log, run};

const SECOND: Duration = Duration::from_secs(1);

// F-029
#[test]
fn a_yield_takes_one_turn() {
    run(async {
        let log = Log::new();
        running_loop().call_soon({
            let log = log.clone();
            move || {
                log.add("callback");
                running_loop().call_soon(log.adder("what it scheduled"));
            }
        });
        yield_now().await;
        assert_eq!(log.take(), ["callback"]);
        yield_now().await;
        assert_eq!(log.take(), ["what it scheduled"]);
    });
}

// F-030
#[test]
fn a_sleep_of_zero_is_a_yield() {
    run(async {
        let (log, start) = (Log::new(), running_loop().time());
        running_loop().call_soon(log.adder("callback"));
        sleep(Duration::ZERO).await;
        assert_eq!(log.take(), ["callback"]);
        assert_eq!(running_loop().time(), start);
        assert_eq!(running_loop().timer_count(), 0);
    });
}

// F-030: the deadline has passed when the sleep is made.
#[test]
fn a_moment_that_is_over_takes_one_turn() {
    run(async {
        sleep(SECOND).await;
        let (log, now) = (Log::new(), running_loop().time());
        running_loop().call_soon(log.adder("callback"));
        sleep_until(now - SECOND).await;
        assert_eq!(log.take(), ["callback"]);
        assert_eq!(running_loop().time(), now);
    });
}

#[test]
fn a_sleep_ends_at_its_time() {
    run(async {
        let start = running_loop().time();
        sleep(SECOND).await;
        assert_eq!(running_loop().time() - start, SECOND);
        sleep_until(start + 3 * SECOND).await;
        assert_eq!(running_loop().time() - start, 3 * SECOND);
    });
}

#[test]
fn a_sleep_counts_from_its_first_poll() {
    run(async {
        let start = running_loop().time();
        let later = sleep(SECOND);
        sleep(SECOND).await;
        later.await;
        assert_eq!(running_loop().time() - start, 2 * SECOND);
    });
}

#[test]
fn sleeps_end_in_the_order_of_their_deadlines_and_equal_ones_in_order_of_creation() {
    run(async {
        let log = Log::new();
        for (name, seconds) in [("c", 3), ("a1", 1), ("b", 2), ("a2", 1), ("a3", 1)] {
            let log = log.clone();
            create_task(async move {
                sleep(seconds * SECOND).await;
                log.add(name);
            });
        }
        sleep(4 * SECOND).await;
        assert_eq!(log.take(), ["a1", "a2", "a3", "b", "c"]);
    });
}

// F-031
#[test]
fn a_dropped_sleep_takes_its_timer_out() {
    run(async {
        let mut pending = Box::pin(sleep(SECOND));
        let started = create_task(async move {
            std::future::poll_fn(|cx| {
                assert!(pending.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            assert_eq!(running_loop().timer_count(), 1);
            drop(pending);
            assert_eq!(running_loop().timer_count(), 0);
        });
        started.await.unwrap();
    });
}

// F-031
#[test]
fn cancelling_a_task_that_sleeps_takes_its_timer_out() {
    run(async {
        let task = create_task(sleep(3600 * SECOND));
        yield_now().await;
        assert_eq!(running_loop().timer_count(), 1);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(running_loop().timer_count(), 0);
        assert_eq!(running_loop().time().as_nanos(), 0);
    });
}

#[test]
fn the_longest_sleep_does_not_overflow() {
    run(async {
        let task = create_task(sleep(Duration::MAX));
        sleep(SECOND).await;
        assert!(!task.is_done());
    });
}

#[test]
#[should_panic(expected = "cannot sleep: no running event loop")]
fn a_sleep_needs_a_loop() {
    let mut sleep = Box::pin(sleep(SECOND));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let _ = sleep.as_mut().poll(&mut cx);
}
