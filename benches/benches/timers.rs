//! Deadlines. How late timers are is measured by `src/bin/lateness.rs`.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use asyncio_benches::contest::{Contest, run};
use asyncio_benches::on_both_of_tokio;
use asyncio_benches::runtime::{Runtime, timed, timed_by_hand};

fn main() {
    let contests = vec![
        on_both_of_tokio!(
            Contest::new("sleep_created_polled_dropped", 1).with("floor", deadline_by_hand),
            sleep_dropped
        ),
        on_both_of_tokio!(
            Contest::new("sleep_of_10_s_dropped", 1).with("floor", deadline_by_hand),
            sleep_of_10_s_dropped
        ),
        on_both_of_tokio!(
            Contest::new("sleep_of_1000_s_dropped", 1).with("floor", deadline_by_hand),
            sleep_of_1000_s_dropped
        ),
    ];
    run("timers", contests);
}

/// The life of almost every timeout: created, polled once, dropped before it is due.
fn sleep_dropped<R: Runtime>(times: u64) -> Duration {
    drop_sleeps::<R>(times, far_off)
}

fn sleep_of_10_s_dropped<R: Runtime>(times: u64) -> Duration {
    drop_sleeps::<R>(times, |_| Duration::from_secs(10))
}

fn sleep_of_1000_s_dropped<R: Runtime>(times: u64) -> Duration {
    drop_sleeps::<R>(times, |_| Duration::from_secs(1000))
}

fn drop_sleeps<R: Runtime>(times: u64, length: fn(u64) -> Duration) -> Duration {
    timed::<R>(async move {
        for number in 0..times {
            let mut sleep = pin!(R::sleep(length(number)));
            poll_fn(|context| {
                assert!(sleep.as_mut().poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
    })
}

/// The same by hand: read the clock, put a deadline into an ordered map, take it out again.
fn deadline_by_hand(times: u64) -> Duration {
    let mut deadlines = BTreeMap::new();
    timed_by_hand(|| {
        for number in 0..times {
            let deadline = Instant::now() + far_off(number);
            deadlines.insert((deadline, number), ());
            black_box(deadlines.remove(&(deadline, number)));
        }
    })
}

fn far_off(number: u64) -> Duration {
    Duration::from_millis(1000 + number % 1000)
}
