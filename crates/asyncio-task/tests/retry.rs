//! Retrying: how often, when, and the results.

mod common;

use std::cell::{Cell, RefCell};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{Backoff, create_task, retry, sleep, timeout};
use common::run;

const SECOND: Duration = Duration::from_secs(1);

/// Equal pauses of a second.
fn seconds() -> Backoff {
    Backoff::new(SECOND).factor(1.0).jitter(0.0)
}

#[test]
fn a_success_is_not_tried_again() {
    run(async {
        let calls = Cell::new(0);
        let result: Result<u8, ()> = retry(async || {
            calls.set(calls.get() + 1);
            Ok(7)
        })
        .await;
        assert_eq!((result, calls.get()), (Ok(7), 1));
    });
}

#[test]
fn the_last_error_comes_out_after_so_many_attempts() {
    run(async {
        let start = running_loop().time();
        let calls = Cell::new(0);
        let result: Result<(), u32> = retry(async || {
            calls.set(calls.get() + 1);
            Err(calls.get())
        })
        .times(4)
        .backoff(seconds())
        .await;
        assert_eq!(result, Err(4));
        assert_eq!(running_loop().time() - start, SECOND * 3);
    });
}

#[test]
fn a_duration_is_the_first_pause() {
    run(async {
        let start = running_loop().time();
        let result = retry(async || Err::<(), _>("no")).times(3).backoff(SECOND).await;
        assert_eq!(result, Err("no"));
        // One second and two, each less a random share of up to a half.
        let passed = running_loop().time() - start;
        assert!((SECOND * 3 / 2..=SECOND * 3).contains(&passed), "{passed:?}");
    });
}

#[test]
fn errors_that_last_end_it_at_once() {
    run(async {
        let calls = Cell::new(0);
        let result: Result<(), u32> = retry(async || {
            calls.set(calls.get() + 1);
            Err(calls.get())
        })
        .times(u32::MAX)
        .backoff(seconds())
        .when(|call| *call < 3)
        .await;
        assert_eq!(result, Err(3));
    });
}

#[test]
fn no_attempt_starts_after_the_limit() {
    run(async {
        let start = running_loop().time();
        let starts = RefCell::new(vec![]);
        let result: Result<(), ()> = retry(async || {
            starts.borrow_mut().push((running_loop().time() - start).as_secs());
            sleep(SECOND).await;
            Err(())
        })
        .times(100)
        .backoff(seconds())
        .within(SECOND * 5)
        .await;
        assert_eq!(result, Err(()));
        assert_eq!(starts.take(), [0, 2, 4]);
        assert_eq!(running_loop().time() - start, SECOND * 5);
    });
}

#[test]
fn a_cancel_ends_it_in_an_attempt_and_in_a_pause() {
    for when in [SECOND / 2, SECOND * 3 / 2] {
        run(async move {
            let task = create_task(async {
                let endless: Result<(), ()> = retry(async || {
                    sleep(SECOND).await;
                    Err(())
                })
                .times(u32::MAX)
                .backoff(seconds())
                .await;
                endless
            });
            sleep(when).await;
            task.cancel();
            assert!(task.await.is_err_and(|error| error.is_cancelled()));
            assert_eq!(running_loop().timer_count(), 0);
        });
    }
}

#[test]
fn a_limit_may_stand_around_it() {
    run(async {
        let endless = retry(async || Err::<(), _>(())).times(u32::MAX).backoff(seconds());
        assert!(timeout(SECOND * 10, endless.into_future()).await.is_err());
    });
}

#[test]
fn delays_grow_up_to_the_limit() {
    let delays = Backoff::new(SECOND).factor(3.0).max(SECOND * 20).jitter(0.0);
    let delays: Vec<u64> = delays.take(5).map(|delay| delay.as_secs()).collect();
    assert_eq!(delays, [1, 3, 9, 20, 20]);
}

#[test]
fn chance_takes_a_share_off_and_can_be_repeated() {
    let delays = |seed| Backoff::new(SECOND).factor(1.0).jitter(0.25).seed(seed).take(1000);
    assert!(delays(1).all(|delay| delay >= SECOND * 3 / 4 && delay <= SECOND));
    let mean = delays(2).map(|delay| delay.as_secs_f64()).sum::<f64>() / 1000.0;
    assert!((0.86..0.89).contains(&mean), "{mean}");
    assert!(delays(3).eq(delays(3)));
    assert!(delays(3).ne(delays(4)));
}

#[test]
fn huge_delays_do_not_overflow() {
    let mut delays = Backoff::new(Duration::MAX).max(Duration::MAX).factor(1e300).jitter(0.0);
    assert!(delays.nth(5).unwrap() > Duration::from_secs(u64::MAX / 2));
}
