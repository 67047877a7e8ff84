//! The reporting of failures that are not awaited.

mod common;

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io;
use std::process::Command;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use asyncio_loop::{ErrorContext, EventLoop, LoopRef, Outcome, TaskOptions, context_var};
use common::{Log, run_ready, virtual_loop};

thread_local! {
    /// The log records of loops on this thread.
    static RECORDS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static LOGGER_PANICS: Cell<bool> = const { Cell::new(false) };
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        assert!(!LOGGER_PANICS.get(), "the logger panics");
        let line = format!("{} {}: {}", record.level(), record.target(), record.args());
        RECORDS.with_borrow_mut(|records| records.push(line));
    }

    fn flush(&self) {}
}

fn install_logger() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Logger).unwrap();
        log::set_max_level(log::LevelFilter::Info);
    });
}

fn records() -> Vec<String> {
    RECORDS.take()
}

/// A loop whose exception handler keeps its reports.
fn watched_loop() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let (event_loop, reports) = (virtual_loop(), Rc::new(RefCell::new(Vec::new())));
    event_loop.set_exception_handler(Some({
        let reports = reports.clone();
        Rc::new(move |_: &LoopRef, context: &ErrorContext| {
            reports.borrow_mut().push(context.to_string());
        })
    }));
    (event_loop, reports)
}

// L-040
#[test]
fn a_panic_in_a_callback_is_reported_once_and_the_turn_goes_on() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let reports = Rc::new(Cell::new(0));
    event_loop.set_exception_handler(Some({
        let (reports, this) = (reports.clone(), event_loop.loop_ref());
        Rc::new(move |event_loop: &LoopRef, context: &ErrorContext| {
            assert_eq!(*event_loop, this);
            assert_eq!(context.message(), "unhandled panic in a callback");
            assert_eq!(context.panic(), Some("on purpose"));
            assert!(context.callback().unwrap().contains("exception_handler::"));
            reports.set(reports.get() + 1);
        })
    }));
    event_loop.call_soon(log.entry("before"));
    event_loop.call_soon(|| panic!("on {}", "purpose"));
    event_loop.call_soon(log.entry("after"));
    run_ready(&event_loop);
    assert_eq!((log.take(), reports.get()), (vec!["before", "after"], 1));
}

// L-041
#[test]
fn a_custom_handler_takes_the_place_of_the_default_one() {
    install_logger();
    let (event_loop, reports) = watched_loop();
    assert!(event_loop.exception_handler().is_some());
    event_loop.call_soon(|| panic!("first"));
    run_ready(&event_loop);
    assert_eq!((reports.borrow().len(), records().len()), (1, 0));

    event_loop.set_exception_handler(None);
    assert!(event_loop.exception_handler().is_none());
    event_loop.call_soon(|| panic!("second"));
    run_ready(&event_loop);
    assert_eq!(reports.borrow().len(), 1);
    let records = records();
    assert_eq!(records.len(), 1);
    assert!(
        records[0].starts_with("ERROR asyncio: unhandled panic in a callback: panicked: second")
    );
}

#[test]
fn the_default_handler_may_be_called_by_a_custom_one() {
    install_logger();
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(Some(Rc::new(|event_loop, context| {
        event_loop.default_exception_handler(context);
    })));
    event_loop.report(&ErrorContext::new("lost").with_error(io::Error::other("broken")));
    assert_eq!(records(), ["ERROR asyncio: lost: broken"]);
}

// A panic in the exception handler is reported by the default handler.
#[test]
fn a_broken_handler_does_not_stop_the_loop() {
    install_logger();
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.set_exception_handler(Some(Rc::new(|_, _| panic!("handler"))));
    event_loop.call_soon(|| panic!("callback"));
    event_loop.call_soon(log.entry("after"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["after"]);
    let records = records();
    assert_eq!(records.len(), 1);
    for part in
        ["unhandled panic in the exception handler: panicked: handler", "panicked: callback"]
    {
        assert!(records[0].contains(part), "{}", records[0]);
    }
}

#[test]
fn a_handler_may_change_the_handler() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let entries = log.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |event_loop: &LoopRef, _: &_| {
        entries.push("first");
        let entries = entries.clone();
        event_loop.set_exception_handler(Some(Rc::new(move |_, _| entries.push("second"))));
    })));
    event_loop.call_soon(|| panic!("on purpose"));
    event_loop.call_soon(|| panic!("on purpose"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["first", "second"]);
}

// L-043: a child process runs the loop, and the test reads its standard error.
#[test]
fn a_broken_default_handler_leaves_one_line() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_with_a_broken_logger", "--nocapture"])
        .env("CHILD_WITH_A_BROKEN_LOGGER", "1")
        .output()
        .unwrap();
    assert!(output.status.success());
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("asyncio: ")).collect();
    let expected = "asyncio: the logger panicked while reporting: unhandled panic in a callback";
    assert_eq!(lines, [expected], "{stderr}");
}

/// The child process of `a_broken_default_handler_leaves_one_line`; does nothing in other runs.
#[test]
fn child_with_a_broken_logger() {
    if std::env::var_os("CHILD_WITH_A_BROKEN_LOGGER").is_none() {
        return;
    }
    install_logger();
    LOGGER_PANICS.set(true);
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.call_soon(|| panic!("callback"));
    event_loop.call_soon(log.entry("after"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["after"]);
}

context_var! { static REQUEST: u32 = 0; }

//
#[test]
fn the_handler_runs_in_the_context_of_what_failed() {
    let (event_loop, seen) = (virtual_loop(), Rc::new(RefCell::new(Vec::new())));
    event_loop.set_exception_handler(Some({
        let seen = seen.clone();
        Rc::new(move |_, _| seen.borrow_mut().push(REQUEST.get()))
    }));
    event_loop.call_soon(|| {
        REQUEST.set(1);
        panic!("callback");
    });
    let task = async {
        REQUEST.set(2);
        panic!("task");
    };
    drop(event_loop.spawn(task, TaskOptions::new()).unwrap());
    run_ready(&event_loop);
    assert_eq!(*seen.borrow(), [1, 2]);
}

#[test]
fn a_task_that_panics_unseen_is_reported_by_name() {
    let (event_loop, reports) = watched_loop();
    let options = TaskOptions::new().name("refill");
    drop(event_loop.spawn(async { panic!("on purpose") }, options).unwrap());
    run_ready(&event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1);
    let expected = "task panic was never retrieved: panicked: on purpose (task: <Task \"refill\"";
    assert!(reports[0].starts_with(expected), "{}", reports[0]);
    assert!(reports[0].contains(file!()), "{}", reports[0]);
}

#[test]
fn what_closes_with_its_loop_is_reported() {
    let (event_loop, reports) = watched_loop();
    let forever = std::future::pending::<()>();
    drop(event_loop.spawn(forever, TaskOptions::new().name("forever")).unwrap());
    event_loop.close().unwrap();
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1);
    assert!(
        reports[0].starts_with("task was destroyed but it is pending (task: <Task \"forever\"")
    );
}

#[test]
fn a_report_shows_all_it_was_given() {
    let mut text = String::new();
    let context = ErrorContext::new("accept failed")
        .with_error(io::Error::other("too many files"))
        .with_panic(&"and more")
        .with_callback("some::closure")
        .field("address", "127.0.0.1:80")
        .field("backoff", 1.5);
    write!(text, "{context}").unwrap();
    let expected = "accept failed: too many files: panicked: and more \
                    (callback: some::closure, address: 127.0.0.1:80, backoff: 1.5)";
    assert_eq!(text, expected);
    assert_eq!(context.error().unwrap().to_string(), "too many files");
    assert_eq!(context.fields().last(), Some(("backoff", "1.5")));
    assert!(context.task().is_none());
}

// I-002
#[test]
fn slow_steps_are_reported_by_name_in_debug_mode() {
    install_logger();
    let event_loop = EventLoop::builder()
        .debug(true)
        .virtual_time(true)
        .slow_callback_duration(Duration::ZERO)
        .build()
        .unwrap();
    assert_eq!(event_loop.slow_callback_duration(), Duration::ZERO);
    event_loop.run_task(async {}, TaskOptions::new().name("busy")).unwrap();
    let records = records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(records[0].starts_with("WARN asyncio: executing <Task \"busy\""), "{}", records[0]);

    let line = line!() + 1;
    drop(event_loop.call_soon(|| ()));
    run_ready(&event_loop);
    let records = RECORDS.take();
    let callbacks: Vec<_> = records.iter().filter(|record| !record.contains("<Task")).collect();
    let place = format!("{}:{line}:", file!());
    assert!(callbacks.iter().any(|record| record.contains(&place)), "{place}: {records:?}");

    event_loop.set_slow_callback_duration(Duration::from_secs(3600));
    run_ready(&event_loop);
    assert_eq!(RECORDS.take(), [""; 0]);

    event_loop.set_slow_callback_duration(Duration::ZERO);
    event_loop.set_debug(false);
    run_ready(&event_loop);
    assert_eq!(RECORDS.take(), [""; 0], "not outside of debug mode");
}

#[test]
fn the_want_of_a_runtime_of_tokio_is_explained_whoever_gets_the_panic() {
    let (event_loop, reports) = watched_loop();
    let fails = async {
        panic!(
            "there is no reactor running, must be called from the context of a Tokio 1.x runtime"
        )
    };
    let mut task = event_loop.spawn(fails, TaskOptions::new()).unwrap();
    run_ready(&event_loop);
    assert!(matches!(task.take(), Some(Outcome::<()>::Panicked(_))), "the handle holds the panic");
    let reports = reports.take();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("`tokio-runtime`"), "{}", reports[0]);
    assert!(reports[0].contains("#[asyncio::main(tokio)]"), "{}", reports[0]);
}
