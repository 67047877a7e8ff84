//! Rate limiters: how many in which time, in which order, and that no token is lost.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_sync::{RateLimiter, RateLimits};
use asyncio_task::{Runner, create_task, running_loop, sleep, yield_now};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

fn run<T>(main: impl Future<Output = T>) -> T {
    Runner::builder().virtual_time(true).run(main)
}

/// Milliseconds since the loop's clock began.
fn millis() -> u64 {
    running_loop().time().as_nanos() / 1_000_000
}

#[test]
fn tokens_come_one_by_one_after_the_burst() {
    run(async {
        let (limiter, start) = (RateLimiter::with_burst(4, SECOND, 2), millis());
        let mut times = vec![];
        for _ in 0..5 {
            limiter.acquire().await;
            times.push(millis() - start);
        }
        assert_eq!(times, [0, 0, 250, 500, 750]);
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn a_pause_fills_the_bucket_and_no_more() {
    run(async {
        let limiter = RateLimiter::new(3, SECOND);
        sleep(SECOND * 100).await;
        assert_eq!(limiter.available(), 3);
        for _ in 0..3 {
            assert!(limiter.try_acquire());
        }
        assert!(!limiter.try_acquire());
        sleep(SECOND / 2).await;
        assert_eq!(limiter.available(), 1);
    });
}

#[test]
fn first_come_first_served_and_nobody_overtakes() {
    run(async {
        let limiter = Rc::new(RateLimiter::with_burst(1, SECOND, 1));
        let order = Rc::new(RefCell::new(vec![]));
        assert!(limiter.try_acquire());
        let tasks: Vec<_> = (0..3)
            .map(|name| {
                let (limiter, order) = (limiter.clone(), order.clone());
                create_task(async move {
                    limiter.acquire().await;
                    order.borrow_mut().push((name, millis()));
                })
            })
            .collect();
        yield_now().await;
        let start = millis();
        sleep(SECOND).await;
        assert!(!limiter.try_acquire(), "the token is owed to the first in line");
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.take();
        assert_eq!(order, [(0, start + 1000), (1, start + 2000), (2, start + 3000)]);
    });
}

#[test]
fn those_behind_pay_for_large_work() {
    run(async {
        let (limiter, start) = (RateLimiter::new(10, SECOND), millis());
        limiter.acquire_many(25).await;
        assert_eq!(millis() - start, 0);
        limiter.acquire().await;
        assert_eq!(millis() - start, 1600);
    });
}

#[test]
fn a_future_kept_aside_keeps_nobody_out() {
    run(async {
        let limiter = RateLimiter::with_burst(1, SECOND, 1);
        limiter.acquire().await;
        let mut aside = Box::pin(limiter.acquire());
        assert!(futures::poll!(aside.as_mut()).is_pending());
        limiter.acquire().await;
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn without_waiters_there_is_no_timer() {
    run(async {
        let limiter = RateLimiter::with_burst(1, SECOND, 1);
        limiter.acquire().await;
        let mut waiting = Box::pin(limiter.acquire());
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        assert_eq!(running_loop().timer_count(), 1);
        drop(waiting);
        drop(limiter);
        assert_eq!(running_loop().timer_count(), 0);
    });
}

#[test]
fn keys_have_limits_of_their_own_and_unused_ones_are_forgotten() {
    run(async {
        let limits = RateLimits::new(1, SECOND);
        for key in 0..10_000_u32 {
            limits.acquire(&key).await;
            assert!(!limits.try_acquire(&key));
            sleep(Duration::from_millis(100)).await;
            assert!(limits.len() <= 64);
        }
        let by_name: RateLimits<String> = RateLimits::new(1, SECOND);
        assert!(by_name.try_acquire("ann"));
        assert!(!by_name.try_acquire("ann"));
    });
}

proptest! {
    /// In any period no more tasks pass than the bucket held and gained, and every task that is not
    /// cancelled passes as soon as that allows.
    #[test]
    fn no_token_is_lost_and_none_is_made(
        burst in 1_u32..4,
        waits in prop::collection::vec((0_u64..700, prop::option::of(0_u64..1500)), 1..40),
    ) {
        let times = run(async {
            let limiter = Rc::new(RateLimiter::with_burst(5, SECOND, burst));
            let times = Rc::new(RefCell::new(vec![]));
            let mut tasks = vec![];
            for (pause, cancel_after) in waits {
                sleep(Duration::from_millis(pause)).await;
                let (limiter, times) = (limiter.clone(), times.clone());
                let came = millis();
                let task = Rc::new(create_task(async move {
                    limiter.acquire().await;
                    times.borrow_mut().push((came, millis()));
                }));
                tasks.push(task.clone());
                if let Some(millis) = cancel_after {
                    let after = Duration::from_millis(millis);
                    running_loop().call_later(after, move || {
                        task.cancel();
                    });
                }
            }
            while tasks.iter().any(|task| !task.is_done()) {
                sleep(SECOND / 50).await;
            }
            times.take()
        });
        let interval = 200;
        // The model: a task passes once it has arrived, the previous task has passed, and there is
        // a token. Cancelled tasks take no token.
        let (mut empty_at, mut last) = (i64::MIN / 2, 0);
        for (came, through) in times {
            let (came, through) = (i64::try_from(came).unwrap(), i64::try_from(through).unwrap());
            let full = interval * i64::from(burst);
            let earliest = came.max(last).max(empty_at.max(came - full) + interval);
            prop_assert_eq!(through, earliest);
            empty_at = empty_at.max(through - full) + interval;
            last = through;
        }
    }
}
