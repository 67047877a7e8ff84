//! A loop that does not answer.

use std::sync::mpsc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_monitor::Options;
use asyncio_task::{create_task, run, sleep, to_thread, yield_now};

use crate::common::{exchange, say, start};

// I-023
#[test]
fn the_monitor_answers_while_a_task_blocks_the_loop() {
    run(async {
        let limit = Duration::from_millis(20);
        let options = Options::new().address("127.0.0.1:0").answer_timeout(limit);
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        let address = monitor.local_addr().unwrap();
        let (blocked, is_blocked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let client = std::thread::spawn(move || {
            is_blocked.recv().unwrap();
            let texts = ["ps\n", "stats\n", "graph\n", "where 1\n", "cancel 1\n", "st\n"]
                .map(|command| exchange(address, command));
            let help = exchange(address, "help\n");
            let ended = exchange(address, "ps-terminated\n");
            let metrics = exchange(address, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
            go_on.send(()).unwrap();
            (texts, help, ended, metrics)
        });
        // Yields, because the time of a step is measured from its beginning.
        yield_now().await;
        // The name of the task that blocks the loop.
        blocked.send(()).unwrap();
        may_go_on.recv().unwrap();

        let (texts, help, ended, metrics) =
            to_thread(move || client.join().unwrap()).await.unwrap();
        let this = asyncio_task::current_task().unwrap().id();
        // The stack of the loop's thread, taken by the runner's watchdog.
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            let stack = texts.last().unwrap();
            let at = |call: &str| stack.find(call).unwrap_or_else(|| panic!("no {call}: {stack}"));
            at("   0: ");
            at("the_monitor_answers_while_a_task_blocks_the_loop::{{closure}}");
        }
        for text in texts {
            assert!(text.contains("has not answered for 20 ms"), "{text}");
            assert!(text.contains(&format!("it has been in task {this} ")), "{text}");
            assert!(text.contains("the_monitor_answers_while_a_task_blocks_the_loop()"), "{text}");
            assert!(text.contains("created at crates/asyncio-monitor/tests/main/stuck.rs:"));
        }
        // Commands that need no answer from the loop work all the same.
        assert!(ended.starts_with("0 ended tasks\n"), "{ended}");
        assert!(metrics.contains("asyncio_loop_running_step_seconds{loop="), "{metrics}");
        assert!(help.contains("shows the commands"), "{help}");
        drop(monitor);
    });
}

#[test]
fn questions_that_were_given_up_are_not_answered_later() {
    run(async {
        let limit = Duration::from_millis(20);
        let options = Options::new().address("127.0.0.1:0").answer_timeout(limit);
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        let address = monitor.local_addr().unwrap();
        let task = create_task(sleep(Duration::from_secs(3600)));
        yield_now().await;
        let command = format!("cancel {}\n", task.task_ref().id());
        let text = std::thread::spawn(move || exchange(address, &command)).join().unwrap();
        assert!(text.contains("has not answered"), "{text}");
        // If the cancel had been left in the loop's queue, it would have run before this call.
        let (done, future) = asyncio_loop::ThreadPromise::new();
        running_loop().handle().call_soon_threadsafe(|| done.set_result(())).unwrap();
        future.await.unwrap();
        assert!(!task.is_cancelled(), "the client has given up the cancel");
        drop(monitor);
    });
}

#[test]
fn a_snapshot_of_many_tasks_is_whole() {
    run(async {
        let (_monitor, address) = start(Options::new());
        for _ in 0..20_000 {
            drop(create_task(sleep(Duration::from_secs(3600))));
        }
        let text = say(address, "ps -n 3\n").await;
        assert!(text.starts_with("20001 tasks, 3 shown\n"), "{}", &text[..text.len().min(200)]);
    });
}
