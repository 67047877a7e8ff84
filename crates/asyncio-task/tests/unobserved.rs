//! Outcomes that were not observed.

mod common;

use std::fmt;
use std::future::pending;
use std::io;
use std::rc::Rc;

use asyncio_loop::running_loop;
use asyncio_task::{Promise, Runner, gather, yield_now};
use asyncio_task::{TaskLoopExt, TaskOptions, create_future, create_task, create_task_with};
use common::{Log, Report, new_loop, reports, run};

/// Runs `test`, and returns the reports of its loop.
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
        assert_eq!(reports.take(), [], "another handle exists");
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
        assert_eq!(reports.take(), [], "the handle may still take the outcome");
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

fn error_of(text: &str) -> Report {
    let message = "task error was never retrieved".to_owned();
    Report { message, error: Some(text.to_owned()), panic: None, task: None }
}

/// The reports without the names of their tasks.
fn unnamed(reports: Vec<Report>) -> Vec<Report> {
    reports.into_iter().map(|report| Report { task: None, ..report }).collect()
}

async fn fails(text: &'static str) -> Result<u8, io::Error> {
    Err(io::Error::other(text))
}

#[test]
fn an_error_of_a_task_is_reported_where_the_task_asks_for_it() {
    let after = reported(async |reports| {
        create_task(fails("detached")).report_errors();
        assert_eq!(reports.take(), []);
        yield_now().await;
        assert_eq!(unnamed(reports.take()), [error_of("detached")]);

        let named = TaskOptions::new().name("kept");
        let kept = create_task_with(fails("kept"), named).report_errors();
        yield_now().await;
        assert_eq!(reports.take(), [], "the handle may still take the outcome");
        drop(kept);
    });
    assert_eq!(after, [Report { task: Some("kept".to_owned()), ..error_of("kept") }]);
}

#[test]
fn the_report_names_the_place_where_the_task_was_made() {
    let (seen, line) = run(async {
        let seen = Log::new();
        let log = seen.clone();
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
            log.add(context.to_string());
        })));
        let (task, line) = (create_task(fails("no luck")), line!());
        drop(task.report_errors());
        yield_now().await;
        (seen.take(), line)
    });
    let site = format!("created at {}:{line}:", file!());
    assert!(seen.len() == 1 && seen[0].contains(&site), "{seen:?}");
}

#[test]
fn an_error_of_a_task_that_was_looked_at_is_not_reported_nor_any_other_end() {
    let after = reported(async |_| {
        assert!(create_task(fails("awaited")).report_errors().await.unwrap().is_err());
        let mut taken = create_task(fails("taken")).report_errors();
        let seen = create_task(fails("seen")).report_errors();
        create_task(async { Ok::<_, io::Error>(1) }).report_errors();
        let ended = create_task(async { pending::<Result<u8, io::Error>>().await }).report_errors();
        create_task(fails("nobody asked"));
        yield_now().await;
        assert!(taken.try_result().unwrap().unwrap().is_err());
        assert!(seen.peek().unwrap().unwrap().is_err());
        ended.cancel();
        drop(ended);
        yield_now().await;
        let gathered = gather([create_task(fails("gathered")).report_errors()]).await;
        assert!(gathered[0].as_ref().unwrap().is_err());
    });
    assert_eq!(after, []);
}

#[test]
fn a_loop_looks_for_errors_of_the_types_that_it_was_told() {
    let after = reported(async |reports| {
        create_task(fails("before"));
        running_loop().report_errors::<u8, io::Error>();
        running_loop().report_errors::<(), String>();
        create_task(fails("one"));
        create_task(async { Err::<(), _>("two".to_owned()) });
        create_task(async { Err::<(), _>("of another type") });
        create_task(async { Ok::<(), String>(()) });
        create_task(async { "no result" });
        assert!(create_task(fails("awaited")).await.unwrap().is_err());
        yield_now().await;
        assert_eq!(unnamed(reports.take()), [error_of("one"), error_of("two")]);
        // An eager task may be over before `create_task_with` returns.
        let eager = TaskOptions::new().eager_start(true);
        drop(create_task_with(fails("eager"), eager));
    });
    assert_eq!(unnamed(after), [error_of("eager")]);
}

#[test]
fn a_runner_has_its_loop_look_for_errors() {
    let seen = Log::new();
    let log = seen.clone();
    Runner::builder().virtual_time(true).report_errors::<u8, io::Error>().run(async move {
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
            log.add(context.error().map(ToString::to_string));
        })));
        drop(create_task(fails("no luck")));
        yield_now().await;
    });
    assert_eq!(seen.take(), [Some("no luck".to_owned())]);
}

#[test]
fn an_error_that_panics_when_it_is_shown_is_a_panic_of_its_task() {
    struct Unspeakable;

    impl fmt::Display for Unspeakable {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("for show");
        }
    }

    let after = reported(async |_| {
        drop(create_task(async { Err::<(), _>(Unspeakable) }).report_errors());
        yield_now().await;
        let kept = create_task(async { Err::<(), _>(Unspeakable) }).report_errors();
        yield_now().await;
        drop(kept);
    });
    let panics: Vec<_> = after.iter().map(|report| report.panic.as_deref()).collect();
    assert_eq!(panics, [Some("for show"); 2], "{after:?}");
}
