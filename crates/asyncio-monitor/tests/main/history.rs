//! Tasks that have ended.

use asyncio_loop::{TaskOptions, running_loop};
use asyncio_monitor::Options;
use asyncio_task::{create_task_with, run, sleep, yield_now};
use std::time::Duration;

use crate::common::{request, say, start};

fn named(name: &str) -> TaskOptions {
    TaskOptions::new().name(name)
}

// I-035
#[test]
fn ended_tasks_are_listed_the_newest_first() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let first = create_task_with(async {}, named("first"));
        first.await.unwrap();
        let second = create_task_with(async { panic!("on purpose") }, named("second"));
        second.await.unwrap_err();
        let text = say(address, "pt\n").await;
        assert!(text.starts_with("2 ended tasks\n"), "{text}");
        let (first, second) = (text.find("first").unwrap(), text.find("second").unwrap());
        assert!(second < first, "{text}");
        assert!(text.contains("finished") && text.contains("panicked"), "{text}");
        assert!(text.contains("tests/main/history.rs:"), "{text}");
        let text = say(address, "ps-terminated -f sec\n").await;
        assert!(text.starts_with("2 ended tasks, 1 shown\n"), "{text}");
        assert!(!text.contains("  first  "), "{text}");
        let (status, json) = request(address, "GET /api/terminated", &[], "").await;
        assert!(status == 200 && json.contains("\"name\":\"second\""), "{json}");
    });
}

// I-036
#[test]
fn who_cancelled_a_task_and_who_cancelled_that_one() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let victim = create_task_with(sleep(Duration::from_secs(3600)), named("victim"));
        let (task, id) = (victim.task_ref().clone(), victim.task_ref().id());
        let killer = async move {
            asyncio_task::TaskRefExt::cancel_with(&task, "too slow");
            std::future::pending::<()>().await;
        };
        let killer = create_task_with(killer, named("killer"));
        let _ = victim.await;
        killer.cancel_with("enough");
        let _ = killer.await;

        let text = say(address, format!("wt {id}\n")).await;
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with(&format!("Task {id} \"victim\": cancelled ")), "{text}");
        let first = "It was cancelled by task \"killer\" at crates/asyncio-monitor/tests/main/";
        assert!(lines[2].starts_with(first) && lines[2].ends_with(": too slow"), "{text}");
        assert_eq!(lines[3], "Task \"killer\" has been cancelled itself:");
        assert!(lines[4].ends_with(": enough"), "{text}");

        let done = create_task_with(async {}, named("done"));
        let id = done.task_ref().id();
        done.await.unwrap();
        let text = say(address, format!("where-terminated {id}\n")).await;
        assert!(text.contains("It ran to completion\n"), "{text}");
        assert!(say(address, "wt 99999999\n").await.starts_with("No ended task 99999999"));
    });
}

#[test]
fn the_flight_recorder_is_switched_and_read() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let get = "GET /api/record";
        assert_eq!(request(address, get, &[], "").await.0, 409);
        assert!(say(address, "record\n").await.contains("is not recorded"));
        assert!(say(address, "record on 1000\n").await.contains(" events of "));
        create_task_with(async {}, named("recorded")).await.unwrap();
        let (_, overview) = request(address, "GET /api/overview", &[], "").await;
        assert!(overview.contains("\"is_recorded\":true"), "{overview}");
        let (status, trace) = request(address, get, &[], "").await;
        assert!(status == 200 && trace.contains("recorded"), "{trace}");
        assert!(serde_json::from_str::<serde_json::Value>(&trace).is_ok(), "{trace}");
        assert!(say(address, "record off\n").await.contains("is not recorded"));
        assert!(say(address, "record on many\n").await.contains("no number of events"));
        assert!(running_loop().recorder().is_none());
    });
}

// I-037
#[test]
fn the_history_is_limited() {
    run(async {
        let (_monitor, address) = start(Options::new().history(3));
        for number in 0..10 {
            drop(create_task_with(async {}, named(&format!("short-{number}"))));
        }
        yield_now().await;
        let text = say(address, "pt\n").await;
        assert!(text.starts_with("3 ended tasks\n"), "{text}");
        assert!(text.contains("short-9") && text.contains("short-7") && !text.contains("short-6"));
        let (_none, address) = start(Options::new().history(0));
        create_task_with(async {}, named("gone")).await.unwrap();
        assert!(say(address, "pt\n").await.starts_with("0 ended tasks\n"));
    });
}

// I-025
#[test]
fn the_loop_is_as_it_was_when_the_monitors_have_gone() {
    run(async {
        let event_loop = running_loop();
        assert!(!event_loop.is_measured());
        let (mut one, _) = start(Options::new());
        let (mut other, _) = start(Options::new());
        assert!(event_loop.is_measured());
        one.close();
        assert!(event_loop.is_measured());
        other.close();
        assert!(!event_loop.is_measured());

        event_loop.measure(true);
        let (mut one, _) = start(Options::new());
        one.close();
        assert!(event_loop.is_measured());
    });
}
