//! Debug mode: tasks that were cancelled and keep running.

mod common;

use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{LoopTime, TaskOptions};
use asyncio_task::{
    Runner, Task, create_task, create_task_with, finally, running_loop, sleep, yield_now,
};
use common::Log;

const SECOND: Duration = Duration::from_secs(1);

/// Runs `test` in virtual time with a log of the reports and their times.
fn run(debug: bool, test: impl AsyncFnOnce(&Log<(LoopTime, String)>)) {
    Runner::builder().virtual_time(true).debug(debug).run(async {
        let log = Log::new();
        let reports = log.clone();
        running_loop().set_exception_handler(Some(Rc::new(move |event_loop, context| {
            reports.add((event_loop.time(), context.to_string()));
        })));
        test(&log).await;
    });
}

/// A task whose cleanup takes a number of seconds.
fn cleans_up(name: &str, seconds: u32) -> Task<()> {
    let future = finally(pending::<()>(), async move |_| sleep(seconds * SECOND).await);
    create_task_with(future, TaskOptions::new().name(name))
}

#[test]
fn a_task_whose_cleanup_takes_long_is_reported_once_with_what_it_does() {
    run(true, async |reports| {
        let task = cleans_up("slow", 20);
        yield_now().await;
        let (began, line) = (running_loop().time(), line!() + 1);
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(running_loop().time() - began, 20 * SECOND);
        let reports = reports.take();
        let [(when, report)] = &reports[..] else { panic!("{reports:#?}") };
        assert_eq!(*when - began, 5 * SECOND);
        let site = format!("{}:{line}:", file!());
        let lacks = |text: &&str| !report.contains(*text);
        let all = [
            "a task was cancelled and has not ended",
            "<Task \"slow\" cancelling, waits for a moment, created at ",
            "after: 5s",
            "cancelled at: ",
            &site,
            "waits for: a moment at ",
        ];
        assert_eq!(all.iter().find(|text| lacks(text)), None, "{report}");
    });
}

#[test]
fn the_limit_can_be_set_and_each_task_has_its_own_time() {
    run(true, async |reports| {
        running_loop().set_slow_cancel_duration(2 * SECOND);
        let (one, other) = (cleans_up("one", 10), cleans_up("other", 10));
        let quick = cleans_up("quick", 1);
        yield_now().await;
        let began = running_loop().time();
        one.cancel();
        sleep(SECOND).await;
        other.cancel();
        quick.cancel();
        // A second request does not restart the time.
        one.cancel();
        sleep(20 * SECOND).await;
        let reports = reports.take();
        let told: Vec<_> = reports
            .iter()
            .map(|(when, text)| {
                (*when - began, text.contains("\"one\""), text.contains("\"other\""))
            })
            .collect();
        assert_eq!(told, [(2 * SECOND, true, false), (3 * SECOND, false, true)], "{reports:#?}");
        drop((one, other, quick));
    });
}

#[test]
fn what_ends_in_time_or_takes_the_request_back_is_not_reported() {
    run(true, async |reports| {
        let quick = cleans_up("quick", 4);
        let parked = create_task(pending::<()>());
        let kept = cleans_up("kept", 30);
        yield_now().await;
        quick.cancel();
        parked.cancel();
        kept.cancel();
        kept.uncancel();
        sleep(60 * SECOND).await;
        assert_eq!(reports.take(), []);
        drop(kept);
    });
}

#[test]
fn without_debug_mode_nothing_is_reported() {
    run(false, async |reports| {
        let task = cleans_up("slow", 20);
        yield_now().await;
        task.cancel();
        let _ = task.await;
        assert_eq!(reports.take(), []);
    });
}

#[test]
fn a_task_that_waits_for_one_that_goes_on_is_reported_too() {
    run(true, async |reports| {
        let inner = cleans_up("inner", 20);
        let outer = create_task_with(
            async move {
                let _ = inner.await;
            },
            TaskOptions::new().name("outer"),
        );
        yield_now().await;
        yield_now().await;
        outer.cancel();
        let _ = outer.await;
        let names: Vec<bool> =
            reports.take().iter().map(|(_, text)| text.contains("<Task \"outer\"")).collect();
        assert_eq!(names.len(), 2);
        assert!(names.contains(&true) && names.contains(&false));
    });
}
