//! The console's commands.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{Signal, Signals, TaskOptions};
use asyncio_monitor::Options;
use asyncio_sync::Lock;
use asyncio_task::{create_task, create_task_with, run, sleep, yield_now};

use crate::common::{say, start};

const LONG: Duration = Duration::from_secs(3600);

// I-028
#[test]
fn ps_lists_the_tasks_in_order() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let lock = Rc::new(Lock::new(()));
        let _guard = lock.acquire().await;
        let second = Rc::clone(&lock);
        let options = TaskOptions::new().name("waiter");
        let task = create_task_with(async move { drop(second.acquire().await) }, options);
        yield_now().await;

        let text = say(address, "ps\n").await;
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "2 tasks", "{text}");
        let columns = ["ID", "State", "Name", "Function", "Created at", "Since", "Waits for"];
        let header: Vec<&str> = lines[1].split("  ").map(str::trim).collect();
        assert_eq!(header.into_iter().filter(|cell| !cell.is_empty()).collect::<Vec<_>>(), columns);
        assert!(lines[2].contains("console::ps_lists_the_tasks_in_order"), "{text}");
        let row = lines[3];
        assert!(row.starts_with(&task.task_ref().id().to_string()), "{text}");
        assert!(row.contains("waiting") && row.contains("waiter"), "{text}");
        assert!(row.contains("console.rs:"), "created there: {text}");
        assert!(row.contains("a lock created at"), "{text}");
        task.cancel();
    });
}

// I-029
#[test]
fn ps_shows_what_the_filter_takes() {
    run(async {
        let (_monitor, address) = start(Options::new());
        for name in ["red-1", "red-2", "blue"] {
            drop(create_task_with(sleep(LONG), TaskOptions::new().name(name)));
        }
        yield_now().await;
        let text = say(address, "ps -f red\n").await;
        assert!(text.starts_with("4 tasks, 2 shown\n"), "{text}");
        assert!(text.contains("red-1") && text.contains("red-2") && !text.contains("blue"));

        let text = say(address, "ps -f red -s name -r -n 1\n").await;
        assert!(text.contains("red-2") && !text.contains("red-1"), "{text}");
        let text = say(address, "ps -s colour\n").await;
        assert!(text.starts_with("there is no column colour"), "{text}");
        let text = say(address, "ps --everything\n").await;
        assert!(text.contains("no option --everything"), "{text}");
    });
}

// I-030
#[test]
fn where_tells_who_made_a_task_and_where_it_waits() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let options = TaskOptions::new().name("parent");
        let parent = create_task_with(
            async {
                let child = create_task_with(sleep(LONG), TaskOptions::new().name("child"));
                drop(child.await);
            },
            options,
        );
        yield_now().await;
        yield_now().await;
        let id = parent.task_ref().id();
        let text = say(address, format!("where {}\n", id + 1)).await;
        let created = text.find("Created by").unwrap();
        let (maker, made) = (text.find("\"parent\"").unwrap(), text.rfind("\"child\"").unwrap());
        assert!(created < maker && maker < made, "oldest first: {text}");
        assert!(text.contains("Stack (most recent call last):"), "{text}");
        assert!(text.contains("Waits for a moment"), "{text}");
        assert!(text.contains(&format!("Awaited by task {id} \"parent\"")), "{text}");

        assert!(say(address, "where 999999999\n").await.starts_with("No task 999999999\n"));
        assert!(say(address, "w nothing\n").await.contains("is not the number of a task"));
        assert!(say(address, "where\n").await.starts_with("usage: where ID"));
    });
}

// I-031
#[test]
fn cancel_waits_until_the_task_is_done() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let task = create_task(sleep(LONG));
        yield_now().await;
        let id = task.task_ref().id();
        let text = say(address, format!("cancel {id}\n")).await;
        assert!(text.starts_with(&format!("Cancelled task {id}\n")), "{text}");
        assert!(task.is_cancelled());
        let reason = task.task_ref().cancel_reason().unwrap();
        assert_eq!(reason.message(), Some("by the monitor"));

        let text = say(address, format!("ca {id}\n")).await;
        assert!(text.contains("invalid or non-existent task ID"), "{text}");
    });
}

// I-032
#[test]
fn signal_goes_to_the_process() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let mut signals = Signals::new([Signal::USR2]).unwrap();
        let text = say(address, "signal SIGUSR2\n").await;
        assert!(text.starts_with("Sent SIGUSR2"), "{text}");
        assert_eq!(signals.next().await, Signal::USR2);
        assert!(say(address, "signal SIGTEA\n").await.starts_with("Unknown signal SIGTEA\n"));
    });
}

// I-033
#[test]
fn stacktrace_is_that_of_the_loops_thread() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let text = say(address, "st\n").await;
        assert!(text.starts_with("loop 1 (thread \"console::stacktrace_is"), "{text}");
        assert!(text.contains("stacktrace_is_that_of_the_loops_thread"), "{text}");
    });
}

// I-027
#[test]
fn an_empty_line_repeats_and_quit_leaves() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let calls = say(address, "where 77777777\n\n\nquit\nwhere 88888888\n").await;
        assert_eq!(calls.matches("No task 77777777").count(), 3, "{calls}");
        assert!(!calls.contains("88888888"), "{calls}");
        for leave in ["q", "exit", "quit"] {
            assert_eq!(say(address, format!("{leave}\nps\n")).await, "");
        }
        assert_eq!(say(address, "\n").await, "help shows the commands\nmonitor> ");
    });
}

// I-038
#[test]
fn a_program_adds_commands_with_typed_arguments() {
    run(async {
        let limit = Rc::new(Cell::new(10));
        let there = Rc::clone(&limit);
        let options = Options::new()
            .command("limit", "sets the limit", async move |new: u32| {
                yield_now().await;
                format!("it was {}", there.replace(new))
            })
            .command("greet", "greets two people", async |one: String, other: String| {
                format!("hello {one} and {other}")
            })
            .command("fail", "fails", async || Err::<(), _>("no luck"))
            .command("panic", "panics", async || -> String { panic!("on purpose") });
        let (_monitor, address) = start(options);
        assert!(say(address, "limit 20\n").await.starts_with("it was 10\n"));
        assert_eq!(limit.get(), 20);
        let text = say(address, "greet 'Ada L' Grace\n").await;
        assert!(text.starts_with("hello Ada L and Grace\n"), "{text}");
        assert!(say(address, "limit many\n").await.contains("\"many\": invalid digit"));
        assert!(say(address, "limit\n").await.starts_with("it takes 1 word, and got 0"));
        assert!(say(address, "fail\n").await.starts_with("no luck\n"));
        assert!(say(address, "panic\n").await.contains("on purpose"));
        assert!(say(address, "nothing\n").await.starts_with("there is no command nothing"));
        assert!(say(address, "greet 'a\n").await.starts_with("a quotation mark has no partner"));
        let help = say(address, "help\n").await;
        assert!(help.contains("sets the limit") && help.contains("ps, p") || help.contains(", p "));
    });
}

#[test]
fn a_command_ends_with_its_client() {
    run(async {
        let (started, ended) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let (begins, ends) = (Rc::clone(&started), Rc::clone(&ended));
        let options = Options::new().command("hang", "never ends", async move || {
            struct Ends(Rc<Cell<u32>>);
            impl Drop for Ends {
                fn drop(&mut self) {
                    self.0.set(self.0.get() + 1);
                }
            }
            let _ends = Ends(Rc::clone(&ends));
            begins.set(begins.get() + 1);
            std::future::pending::<()>().await;
        });
        // The monitor has an IP address of its own, so that no other test gets its port after it
        // has closed.
        let host = if cfg!(target_os = "linux") { "127.0.0.2:0" } else { "127.0.0.1:0" };
        let mut monitor =
            asyncio_monitor::start(&asyncio_loop::running_loop(), options.address(host)).unwrap();
        let address = monitor.local_addr().unwrap();
        // A client that disconnects while its command runs.
        let gone = asyncio_task::to_thread(move || {
            let mut socket = crate::common::connect(address);
            let request = "POST /api/command HTTP/1.1\r\nHost: localhost\r\n\
                           X-Asyncio-Monitor: 1\r\nContent-Length: 4\r\n\r\nhang";
            std::io::Write::write_all(&mut socket, request.as_bytes()).unwrap();
            socket
        });
        let gone = gone.await.unwrap();
        while started.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        drop(gone);
        while ended.get() == 0 {
            sleep(Duration::from_millis(1)).await;
        }

        // A monitor that is closed while a command runs.
        let client = asyncio_task::to_thread(move || {
            let mut socket = crate::common::connect(address);
            std::io::Write::write_all(&mut socket, b"hang\n").unwrap();
            crate::common::read_to_end(&mut socket)
        });
        let client = create_task(client.into_future());
        while started.get() == 1 {
            sleep(Duration::from_millis(1)).await;
        }
        // I-024
        monitor.close();
        monitor.close();
        assert_eq!(monitor.local_addr(), None);
        while ended.get() == 1 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(client.await.unwrap().unwrap(), "");
        assert!(
            std::net::TcpStream::connect(address).is_err(),
            "the closed monitor does not listen"
        );
    });
}

#[test]
fn what_terminals_obey_is_shown_and_not_sent() {
    run(async {
        let (_monitor, address) = start(Options::new());
        drop(create_task_with(sleep(LONG), TaskOptions::new().name("evil\u{1b}[2J\rname")));
        let text = say(address, "ps\n").await;
        assert!(text.contains("evil\\u{1b}[2J\\rname"), "{text}");
        let _ =
            create_task_with(sleep(LONG), TaskOptions::new().name("a\n999 row\u{202e}")).task_ref();
        let text = say(address, "ps\n").await;
        assert!(text.contains("a\\n999 row\\u{202e}"), "{text}");
        assert!(!text.contains('\u{1b}'));
    });
}

#[test]
fn what_nobody_types_is_no_command() {
    run(async {
        let (_monitor, address) = start(Options::new());
        for first in ["\u{16}\u{3}\u{1}", "\0", "a\u{1b}b"] {
            assert_eq!(say(address, format!("{first}\nwhere 1\n")).await, "", "{first:?}");
        }
    });
}

#[test]
fn bad_names_of_commands_are_refused() {
    run(async {
        for name in ["ps", "quit", "two words", ""] {
            let options = Options::new().address("127.0.0.1:0").command(name, "", async || ());
            let error = asyncio_monitor::start(&asyncio_loop::running_loop(), options).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{name:?}");
        }
    });
}

#[test]
fn a_monitor_may_outlive_its_loop() {
    let event_loop = asyncio_loop::EventLoop::new().unwrap();
    let options = Options::new().address("127.0.0.1:0");
    let monitor = asyncio_monitor::start(&event_loop, options).unwrap();
    let address = monitor.local_addr().unwrap();
    drop(event_loop);
    assert!(crate::common::exchange(address, "ps\n").starts_with("0 tasks\n"));
    drop(monitor);
}
