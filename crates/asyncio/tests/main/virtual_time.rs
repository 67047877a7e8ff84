//! The guarantees of docs/TESTING.md about virtual time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[asyncio::testing::test(virtual_time = true)]
async fn a_year_passes_at_once_and_to_the_nanosecond() {
    let real = Instant::now();
    for _ in 0..365 {
        asyncio::sleep(DAY).await;
    }
    asyncio::sleep(Duration::from_nanos(1)).await;
    let expected = u64::try_from((365 * DAY).as_nanos()).unwrap() + 1;
    assert_eq!(asyncio::running_loop().time().as_nanos(), expected);
    assert!(real.elapsed() < Duration::from_secs(60));
}

#[asyncio::testing::test(virtual_time = true)]
async fn time_stands_still_while_something_can_run() {
    for _ in 0..1000 {
        asyncio::yield_now().await;
    }
    assert_eq!(asyncio::running_loop().time().as_nanos(), 0);
}

/// A program with many timers; what it does, and when.
fn trace() -> Vec<(u64, u64)> {
    let log = Rc::new(RefCell::new(Vec::new()));
    asyncio::Runner::builder().virtual_time(true).run(async {
        let tasks: Vec<_> = (0..50_u64)
            .map(|number| {
                let log = Rc::clone(&log);
                asyncio::create_task(async move {
                    for step in 1..4 {
                        asyncio::sleep(Duration::from_millis(number * step % 7)).await;
                        log.borrow_mut().push((asyncio::running_loop().time().as_nanos(), number));
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    log.take()
}

#[test]
fn one_program_has_one_trace() {
    let first = trace();
    assert_eq!(first.len(), 150);
    assert!(first.is_sorted_by_key(|(time, _)| *time));
    assert_eq!(first, trace());
}

#[asyncio::testing::test(virtual_time = true)]
#[should_panic(expected = "no reply")]
async fn a_panic_fails_the_test() {
    asyncio::sleep(DAY).await;
    panic!("no reply");
}
