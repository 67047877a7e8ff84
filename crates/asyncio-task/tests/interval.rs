//! Intervals: when they tick, and what happens to missed ticks.

mod common;

use std::time::Duration;

use asyncio_loop::{LoopTime, running_loop};
use asyncio_task::{
    Interval, MissedTicks, create_task, interval, interval_at, sleep, timeout, yield_now,
};
use common::{Log, run};

const SECOND: Duration = Duration::from_secs(1);

/// The seconds that have gone by since `start`.
fn since(start: LoopTime) -> f64 {
    (running_loop().time() - start).as_secs_f64()
}

/// The times of the first tick, of the end of 2.5 s of work, and of three more ticks.
async fn late_ticks(mut ticks: Interval) -> Vec<f64> {
    let start = running_loop().time();
    ticks.tick().await;
    sleep(SECOND * 5 / 2).await;
    let mut seen = vec![];
    for _ in 0..4 {
        ticks.tick().await;
        seen.push(since(start));
    }
    seen
}

#[test]
fn ticks_do_not_drift() {
    run(async {
        let start = running_loop().time();
        let mut ticks = interval(SECOND);
        for n in 0..1000 {
            assert_eq!(ticks.tick().await - start, SECOND * n);
            assert_eq!(running_loop().time() - start, SECOND * n);
            sleep(SECOND * (n % 10) / 10).await;
        }
    });
}

#[test]
fn missed_ticks_come_at_once() {
    run(async {
        let ticks = interval(SECOND);
        assert_eq!(late_ticks(ticks).await, [2.5, 2.5, 3.0, 4.0]);
    });
}

#[test]
fn missed_ticks_delay_the_others() {
    run(async {
        let ticks = interval(SECOND).missed_ticks(MissedTicks::Delay);
        assert_eq!(late_ticks(ticks).await, [2.5, 3.5, 4.5, 5.5]);
    });
}

#[test]
fn missed_ticks_are_left_out() {
    run(async {
        let ticks = interval(SECOND).missed_ticks(MissedTicks::Skip);
        assert_eq!(late_ticks(ticks).await, [2.5, 3.0, 4.0, 5.0]);
    });
}

#[test]
fn a_tick_exactly_one_period_late_is_missed_by_nobody() {
    for missed in [MissedTicks::Burst, MissedTicks::Skip] {
        run(async move {
            let start = running_loop().time();
            let mut ticks = interval(SECOND).missed_ticks(missed);
            ticks.tick().await;
            sleep(SECOND).await;
            assert_eq!(ticks.tick().await - start, SECOND);
            assert_eq!(ticks.tick().await - start, SECOND * 2);
        });
    }
}

#[test]
fn a_burst_lets_others_run() {
    run(async {
        let log = Log::new();
        let mut ticks = interval(SECOND);
        ticks.tick().await;
        sleep(SECOND * 3).await;
        let other = create_task({
            let log = log.clone();
            async move {
                for _ in 0..3 {
                    log.add("other");
                    yield_now().await;
                }
            }
        });
        for _ in 0..3 {
            ticks.tick().await;
            log.add("tick");
        }
        other.await.unwrap();
        assert_eq!(log.take(), ["other", "tick", "other", "tick", "other", "tick"]);
    });
}

#[test]
fn a_dropped_wait_takes_no_tick() {
    run(async {
        let start = running_loop().time();
        let mut ticks = interval_at(start + SECOND * 2, SECOND);
        assert!(timeout(SECOND, ticks.tick()).await.is_err());
        assert_eq!(running_loop().timer_count(), 1, "the interval keeps its timer");
        assert_eq!(ticks.tick().await - start, SECOND * 2);
        drop(ticks);
        assert_eq!(running_loop().timer_count(), 0);
    });
}

#[test]
fn a_reset_counts_from_now() {
    run(async {
        let start = running_loop().time();
        let mut ticks = interval(SECOND);
        ticks.tick().await;
        sleep(SECOND / 2).await;
        ticks.reset();
        assert_eq!(ticks.tick().await - start, SECOND * 3 / 2);
        assert_eq!(ticks.period(), SECOND);
    });
}

#[test]
#[should_panic = "an interval needs a period"]
fn a_period_of_zero_is_refused() {
    interval(Duration::ZERO);
}
