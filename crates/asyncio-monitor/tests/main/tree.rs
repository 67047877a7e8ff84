//! The await tree.

use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::TaskOptions;
use asyncio_monitor::Options;
use asyncio_sync::Lock;
use asyncio_task::{create_task_with, gather, run, sleep, yield_now};

use crate::common::{request, say, start};

fn named(name: &str) -> TaskOptions {
    TaskOptions::new().name(name)
}

// I-020
#[test]
fn the_tree_shows_what_each_task_awaits() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let parent = create_task_with(
            async {
                let long = Duration::from_secs(3600);
                let one = create_task_with(sleep(long), named("one"));
                let two = create_task_with(sleep(long), named("two"));
                let _ = gather([one, two]).await;
            },
            named("parent"),
        );
        for _ in 0..3 {
            yield_now().await;
        }
        let text = say(address, "pstree\n").await;
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}: {text}"));
        let (parent_at, one, two) = (at("└── (T) parent"), at("└── (T) one"), at("└── (T) two"));
        assert!(parent_at < one && one < two, "{text}");
        let lines: Vec<&str> = text.lines().collect();
        let line = lines.iter().position(|line| line.contains("(T) parent")).unwrap();
        assert!(lines[line + 1].starts_with("    └── "), "{text}");
        assert!(lines[line + 1].contains("tree.rs:"), "its function: {text}");
        // The children of `gather` are tasks, shown side by side.
        assert!(text.contains("            ├── (T) Task-"), "{text}");
        assert!(text.contains("            └── (T) Task-"), "{text}");
        assert!(text.contains("└── wait for a moment at "), "{text}");
        parent.cancel();
    });
}

// I-021
#[test]
fn a_circle_is_named_and_the_table_still_works() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let (a, b) = (Rc::new(Lock::new(())), Rc::new(Lock::new(())));
        let both = |first: &Rc<Lock<()>>, second: &Rc<Lock<()>>, name| {
            let (first, second) = (Rc::clone(first), Rc::clone(second));
            let body = async move {
                let _first = first.acquire().await;
                yield_now().await;
                let _second = second.acquire().await;
            };
            create_task_with(body, named(name))
        };
        let (one, two) = (both(&a, &b, "left"), both(&b, &a, "right"));
        for _ in 0..3 {
            yield_now().await;
        }
        let (left, right) = (one.task_ref().id(), two.task_ref().id());
        let cycle = format!("left ({left}) → right ({right}) → left ({left})");
        let text = say(address, "graph\n").await;
        assert!(text.starts_with("ERROR: tasks wait for each other"), "{text}");
        assert!(text.contains(&format!("cycle: {cycle}\n")), "{text}");
        assert!(text.contains(&format!("left ({left}) waits for a lock created at")), "{text}");
        assert!(say(address, "ps\n").await.starts_with("3 tasks\n"));

        let change = ["X-Asyncio-Monitor: 1"];
        let (status, _) = request(address, "POST /api/command", &change, "graph").await;
        assert_eq!(status, 422);
        let (status, json) = request(address, "GET /api/tree", &[], "").await;
        assert_eq!(status, 200);
        assert!(json.contains(&cycle), "{json}");
        one.cancel();
        two.cancel();
    });
}

#[test]
fn a_long_chain_of_awaits_is_cut_short() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let long = Duration::from_secs(3600);
        let mut last = create_task_with(async move { sleep(long).await }, named("first"));
        for _ in 0..2000 {
            let inner = last;
            last = create_task_with(async move { drop(inner.await) }, TaskOptions::new());
        }
        yield_now().await;
        let text = say(address, "graph\n").await;
        assert!(text.contains("… and what it awaits"), "{} bytes", text.len());
        assert!(text.len() < 1_000_000, "{} bytes", text.len());
    });
}
