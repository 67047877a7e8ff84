//! The numbers of a loop: what is always known, what a measured loop knows, and what other threads
//! see of them.

use std::thread;
use std::time::Duration;

use asyncio_loop::inspect::Statistics;
use asyncio_loop::{EventLoop, TaskOptions, running_loop};

const BLOCK: Duration = Duration::from_millis(20);

/// Yields once.
async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn waits_of_at_least(statistics: &Statistics, duration: Duration) -> u64 {
    let buckets = statistics.lag.buckets();
    buckets.filter(|(bound, _)| bound.is_none_or(|b| b >= duration)).map(|(_, n)| n).sum()
}

#[test]
fn counts_are_known_without_a_measurement() {
    let event_loop = EventLoop::new().unwrap();
    let timer = event_loop.call_later(Duration::from_secs(3600), || unreachable!());
    event_loop.call_soon(|| ());
    // More entries than the ready queue's first allocation.
    let tasks: Vec<_> =
        (0..1000).map(|_| event_loop.spawn(give_way(), TaskOptions::new()).unwrap()).collect();
    let hidden = event_loop.spawn(give_way(), TaskOptions::new().hidden()).unwrap();
    let before = event_loop.statistics();
    assert!(!before.measured);
    assert_eq!((before.turns, before.steps, before.ready), (0, 0, 1002));
    assert_eq!((before.tasks, before.timers), (1000, 1), "a hidden task is nobody's");
    assert_eq!(before.tasks, event_loop.all_tasks().len() as u64);

    // The main task of the run is polled once, the others twice.
    event_loop.run_until_complete(give_way()).unwrap();
    timer.cancel();
    let after = event_loop.statistics();
    assert_eq!((after.turns, after.ready, after.tasks, after.timers), (2, 0, 0, 0));
    assert_eq!(after.steps, 1 + 2 * 1002);
    assert_eq!((after.busy, after.lag.count()), (Duration::ZERO, 0));
    assert_eq!(after.lag.quantile(0.5), None);
    drop((tasks, hidden));
}

#[test]
fn a_measured_loop_knows_how_long_steps_take_and_how_long_others_wait_for_them() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.measure(true);
    assert!(event_loop.is_measured());
    let blocks = event_loop.spawn(async { thread::sleep(BLOCK) }, TaskOptions::new()).unwrap();
    let waits = event_loop.spawn(async {}, TaskOptions::new()).unwrap();
    event_loop.run_until_complete(async {}).unwrap();
    let numbers = event_loop.statistics();
    assert!(numbers.busy >= BLOCK && numbers.longest_step >= BLOCK, "{numbers:?}");
    assert!(numbers.longest_step <= numbers.busy);
    assert_eq!(numbers.lag.count(), 3, "one wait for each step");
    // The second task and the main task waited for the blocking step.
    assert!(waits_of_at_least(&numbers, BLOCK) >= 2, "{numbers:?}");
    assert!(numbers.lag.sum() >= 2 * BLOCK && numbers.lag.mean() >= BLOCK / 2);
    assert!(numbers.lag.quantile(1.0).unwrap() >= BLOCK);
    drop((blocks, waits));

    event_loop.measure(true);
    assert_eq!(event_loop.statistics().lag, numbers.lag, "begun already");
    event_loop.measure(false);
    event_loop.run_until_complete(give_way()).unwrap();
    let numbers = event_loop.statistics();
    assert_eq!((numbers.measured, numbers.lag.count()), (false, 0));
}

#[test]
fn a_timer_that_fell_due_in_a_long_step_has_waited_for_it() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.measure(true);
    let main = async {
        let event_loop = running_loop();
        event_loop.call_later(Duration::from_millis(1), || running_loop().stop());
        thread::sleep(BLOCK);
        std::future::pending::<()>().await;
    };
    event_loop.run_until_complete(main).unwrap_err();
    let numbers = event_loop.statistics();
    assert!(waits_of_at_least(&numbers, BLOCK) >= 1, "{numbers:?}");
}

#[test]
fn other_threads_see_the_numbers_of_a_loop_that_is_blocked() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.measure(true);
    let handle = event_loop.handle();
    let idle = handle.statistics();
    assert_eq!((idle.running, idle.turns), (None, 0));
    let main = async move {
        let others: Vec<_> =
            (0..5).map(|_| running_loop().spawn(give_way(), TaskOptions::new()).unwrap()).collect();
        give_way().await;
        let turns = running_loop().turns();
        let look = move || {
            thread::sleep(BLOCK);
            handle.statistics()
        };
        let seen = thread::spawn(look).join().unwrap();
        (running_loop().current_task().unwrap().id(), turns, seen, others)
    };
    let (number, turns, seen, others) = event_loop.run_until_complete(main).unwrap();
    event_loop.run_until_complete(give_way()).unwrap();
    let running = seen.running.expect("the step that waits for the thread");
    assert_eq!(running.task, Some(number));
    assert!(running.lasts >= BLOCK, "{running:?}");
    assert_eq!((seen.turns, seen.measured), (turns, true));
    assert_eq!(seen.ready, 5, "the others yield in the same turn, after the first");
    assert_eq!(event_loop.handle().statistics().running, None, "the task has ended");
    drop(others);
}

#[test]
fn callbacks_are_measured_too_and_named_as_such() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.measure(true);
    let handle = event_loop.handle();
    event_loop.call_soon(move || {
        let seen = thread::spawn(move || handle.statistics()).join().unwrap();
        assert_eq!(seen.running.expect("the running callback").task, None);
        running_loop().stop();
    });
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.statistics().lag.count(), 1);
}

#[test]
fn debug_mode_and_a_measurement_go_together() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    event_loop.measure(true);
    event_loop.set_debug(false);
    event_loop.set_debug(true);
    event_loop.run_until_complete(give_way()).unwrap();
    let numbers = event_loop.statistics();
    assert_eq!((numbers.measured, numbers.steps, numbers.lag.count()), (true, 2, 2));
}

/// The samples of a page: names with labels, and values. Checks that each is announced.
fn samples(page: &str) -> Vec<(&str, f64)> {
    let mut announced = "";
    let mut samples = Vec::new();
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            announced = name.split_once(' ').unwrap().0;
        } else if !line.starts_with("# HELP ") {
            assert!(line.starts_with(announced), "{line} after the type of {announced}");
            let (name, value) = line.rsplit_once(' ').unwrap();
            samples.push((name, value.parse().unwrap()));
        }
    }
    samples
}

#[test]
fn the_page_for_prometheus_has_a_type_for_each_sample_and_rising_buckets() {
    let event_loop = EventLoop::new().unwrap();
    let page = event_loop.statistics().to_prometheus("main");
    assert_eq!(samples(&page).len(), 8, "without times: {page}");

    event_loop.measure(true);
    event_loop.run_until_complete(give_way()).unwrap();
    let page = event_loop.statistics().to_prometheus("a \"b\"\\\n");
    assert!(page.ends_with('\n'));
    let samples = samples(&page);
    let label = "{loop=\"a \\\"b\\\"\\\\\\n\"";
    assert!(samples.iter().all(|(name, _)| name.contains(label)), "{page}");
    let value = |start: &str| samples.iter().find(|(name, _)| name.starts_with(start)).unwrap().1;
    assert_eq!(value("asyncio_loop_steps_total"), 2.0);
    let buckets: Vec<f64> = samples
        .iter()
        .filter(|(name, _)| name.starts_with("asyncio_loop_lag_seconds_bucket"))
        .map(|(_, value)| *value)
        .collect();
    assert!(buckets.is_sorted(), "{buckets:?}");
    assert_eq!(buckets.last(), Some(&2.0));
    assert!(page.contains("le=\"0.000001\"} ") && page.contains("le=\"+Inf\"} 2\n"));
    assert_eq!(value("asyncio_loop_lag_seconds_count"), 2.0);
}
