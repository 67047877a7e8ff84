//! Outcomes that nobody looked at.

mod common;

use std::future::pending;

use asyncio_loop::running_loop;
use asyncio_task::{Promise, yield_now};
use asyncio_task::{TaskLoopExt, TaskOptions, create_future, create_task, create_task_with};
use common::{Log, Report, new_loop, reports, run};

/// Runs `test` with the reports of its loop, and returns them.
fn reported(test: impl AsyncFnOnce(&Log<Report>)) -> Vec<Report> {
    run(async {
        let reports = reports(&running_loop());
        test(&reports).await;
        reports.take()
    })
}

fn failed() -> Promise<()> {
    let promise = create_future();
    promise.set_exception("no luck").unwrap();
    promise
}

// F-045
#[test]
fn an_error_that_nobody_looked_at_is_reported_with_the_last_handle() {
    let after = reported(async |reports| {
        let promise = failed();
        let other = promise.clone();
        drop(promise);
        yield_now().await;
        assert_eq!(reports.take(), [], "there is another handle");
        drop(other);
    });
    let message = "promise exception was never retrieved".to_owned();
    let error = Some("no luck".to_owned());
    assert_eq!(after, [Report { message, error, panic: None, task: None }]);
}

// F-045
#[test]
fn a_panic_that_nobody_looked_at_is_reported_with_the_handle() {
    let after = reported(async |reports| {
        let task = create_task_with(async { panic!("no luck") }, TaskOptions::new().name("it"));
        yield_now().await;
        assert_eq!(reports.take(), [], "the handle may still be asked");
        drop(task);
    });
    let message = "task panic was never retrieved".to_owned();
    let (panic, task) = (Some("no luck".to_owned()), Some("it".to_owned()));
    assert_eq!(after, [Report { message, error: None, panic, task }]);
}

// F-045
#[test]
fn a_panic_of_a_detached_task_is_reported_at_once() {
    let after = reported(async |reports| {
        drop(create_task(async { panic!("no luck") }));
        assert_eq!(reports.take(), []);
        yield_now().await;
    });
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].panic.as_deref(), Some("no luck"));
}

// F-046
#[test]
fn an_error_that_was_looked_at_is_not_reported() {
    let after = reported(async |_| {
        assert!(failed().result().is_err());
        assert!(failed().exception().unwrap().is_some());
        assert!(failed().await.is_err());
        failed().with_result(|result| assert!(result.is_err()));
    });
    assert_eq!(after, []);
}

// F-046
#[test]
fn a_panic_that_was_looked_at_is_not_reported() {
    let after = reported(async |_| {
        assert!(create_task(async { panic!("awaited") }).await.is_err());
        let mut taken = create_task(async { panic!("taken") });
        let seen = create_task(async { panic!("seen") });
        yield_now().await;
        assert!(taken.try_result().unwrap().is_err());
        assert!(seen.peek().unwrap().is_err());
    });
    assert_eq!(after, []);
}

// F-047
#[test]
fn nothing_else_is_reported() {
    let after = reported(async |_| {
        drop(create_future::<()>());
        create_future().set_result("value nobody reads").unwrap();
        assert!(create_future::<()>().cancel());
        drop(create_task(async { "value nobody reads" }));
        create_task(pending::<()>()).cancel();
        yield_now().await;
    });
    assert_eq!(after, []);
}

// F-049
#[test]
fn a_task_destroyed_by_the_end_of_its_loop_is_reported() {
    let event_loop = new_loop();
    let reports = reports(&event_loop);
    let options = TaskOptions::new().name("left behind");
    let left = event_loop.spawn(pending::<()>(), options).unwrap();
    let never_started = event_loop.create_task(async { unreachable!("never polled") }).unwrap();
    never_started.set_name("not started");
    let finished = event_loop.create_task(async {}).unwrap();
    event_loop.run_until_complete(finished).unwrap().unwrap();
    drop(never_started);
    event_loop.close().unwrap();

    let reports = reports.take();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert_eq!(reports[0].message, "task was destroyed but it is pending");
    assert_eq!(reports[0].task.as_deref(), Some("left behind"));
    assert!(left.task().is_cancelled());
}

// F-049
#[test]
fn a_task_that_was_asked_to_end_is_not_news() {
    let event_loop = new_loop();
    let reports = reports(&event_loop);
    event_loop.create_task(pending::<()>()).unwrap().cancel();
    drop(event_loop);
    assert_eq!(reports.take(), []);
}

// F-048
#[test]
fn to_cancel_what_has_failed_says_that_somebody_knows() {
    let after = reported(async |_| {
        let promise = failed();
        assert!(!promise.cancel());
        let task = create_task(async { panic!("no luck") });
        yield_now().await;
        assert!(!task.cancel());
    });
    assert_eq!(after, []);
}

// F-048
#[test]
fn to_cancel_what_fails_later_says_nothing() {
    let after = reported(async |_| {
        let task = create_task(async {
            let cleanup = async |_: asyncio_task::Outcome<'_, ()>| panic!("no luck");
            asyncio_task::finally(pending::<()>(), cleanup).await;
        });
        yield_now().await;
        assert!(task.cancel());
        yield_now().await;
        yield_now().await;
        assert!(task.is_done());
    });
    assert_eq!(after.len(), 1);
}
