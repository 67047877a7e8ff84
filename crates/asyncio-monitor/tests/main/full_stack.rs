//! The full stack of a task, which `where` shows.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::{TaskOptions, WaitsFor, running_loop};
use asyncio_monitor::Options;
use asyncio_sync::Lock;
use asyncio_task::{create_task, create_task_with, run, scope, sleep, to_thread, yield_now};

use crate::common::{exchange, request, say, start};

const LONG: Duration = Duration::from_secs(3600);

/// Whether a stack has the names of functions here; in a release build they may be inlined.
const HAS_NAMES: bool = cfg!(all(target_os = "linux", target_arch = "x86_64", debug_assertions));

async fn order(lock: Rc<Lock<()>>) {
    payment(lock).await;
}

async fn payment(lock: Rc<Lock<()>>) {
    drop(lock.acquire().await);
}

// I-030
#[test]
fn where_shows_the_calls_that_lead_to_the_wait() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let lock = Rc::new(Lock::new(()));
        let guard = lock.acquire().await;
        let task = create_task_with(order(Rc::clone(&lock)), TaskOptions::new().name("order 1"));
        yield_now().await;
        let id = task.task_ref().id();
        let polls = task.task_ref().info().polls;
        // A GET request does nothing to a task, not even a poll.
        let (status, text) = request(address, &format!("GET /api/task?id={id}"), &[], "").await;
        assert!(status == 200 && !text.contains("Full stack"), "{text}");
        assert_eq!(task.task_ref().info().polls, polls);

        let text = say(address, format!("where {id}\n")).await;
        let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("no {what}: {text}"));
        let stack = at("Full stack (most recent call last), found by polling the task once:\n");
        if HAS_NAMES {
            assert!(stack < at("\n  main::full_stack::order"), "{text}");
            assert!(
                at("\n  main::full_stack::order") < at("\n    main::full_stack::payment"),
                "{text}"
            );
        }
        assert!(text[stack..].contains("waits for a lock created at"), "{text}");
        assert_eq!(task.task_ref().info().polls, polls + 1);
        drop(guard);
        task.await.unwrap();
        assert!(lock.try_acquire().is_some(), "the trace has left no waiter behind");
    });
}

#[test]
fn a_task_that_the_poll_ends_says_so() {
    run(async {
        let (_monitor, address) = start(Options::new());
        let mut polls = 0;
        let second_poll = poll_fn(move |cx| {
            polls += 1;
            WaitsFor::Resource.note(cx);
            if polls < 2 { Poll::Pending } else { Poll::Ready(()) }
        });
        let task = create_task(second_poll);
        yield_now().await;
        let text = say(address, format!("where {}\n", task.task_ref().id())).await;
        assert!(text.contains("\n  The task has ended by this poll.\n"), "{text}");
        task.await.unwrap();
    });
}

#[test]
fn a_task_that_nobody_polls_has_no_full_stack() {
    run(async {
        let limit = Duration::from_millis(20);
        let options = Options::new().address("127.0.0.1:0").answer_timeout(limit);
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        let address = monitor.local_addr().unwrap();
        // A future that is polled only once, so that its children are not polled either.
        let mut scoped = pin!(scope(async |group| {
            group.create_task(sleep(LONG));
            pending::<()>().await;
        }));
        poll_fn(|cx| Poll::Ready(scoped.as_mut().poll(cx).is_pending())).await;
        let child = running_loop().all_tasks().into_iter().map(|task| task.id()).max().unwrap();
        let text = say(address, format!("where {child}\n")).await;
        // On a busy machine the loop itself may be late.
        let is_late = text.contains("has not answered");
        let is_not_polled = text.contains("No full stack: the task was not polled for 20 ms");
        assert!(is_late || is_not_polled, "{text}");
        drop(monitor);
    });
}

// I-023
#[test]
fn a_blocked_loop_shows_what_it_is_in_and_what_was_seen_before() {
    run(async {
        let limit = Duration::from_millis(20);
        let options = Options::new().address("127.0.0.1:0").answer_timeout(limit);
        let monitor = asyncio_monitor::start(&running_loop(), options).unwrap();
        let address = monitor.local_addr().unwrap();
        let other = create_task_with(sleep(LONG), TaskOptions::new().name("sleeper"));
        yield_now().await;
        // Fills the monitor's memory of the tasks. On a busy machine the loop may be late to
        // answer, so this repeats.
        while !say(address, "ps\n").await.starts_with("2 tasks\n") {}
        let (other, this) = (other.task_ref().id(), running_loop().current_task().unwrap().id());
        let (blocked, is_blocked) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let client = std::thread::spawn(move || {
            is_blocked.recv().unwrap();
            let texts =
                [this, other, 999_999_999].map(|id| exchange(address, &format!("where {id}\n")));
            go_on.send(()).unwrap();
            texts
        });
        // Yields, because the time of a step is measured from its beginning.
        yield_now().await;
        blocked.send(()).unwrap();
        may_go_on.recv().unwrap();
        let texts = to_thread(move || client.join().unwrap()).await.unwrap();
        for text in &texts {
            assert!(text.contains("has not answered for 20 ms: it has been in task"), "{text}");
        }
        let [blocks, sleeps, unknown] = texts;
        assert!(
            blocks.contains("Stack of the loop's thread (most recent call first):"),
            "{blocks}"
        );
        if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            let name = "a_blocked_loop_shows_what_it_is_in_and_what_was_seen_before::{{closure}}";
            assert!(blocks.contains(name), "{blocks}");
        }
        assert!(sleeps.contains("\nAs it was "), "{sleeps}");
        assert!(sleeps.contains(&format!("Task {other} \"sleeper\": waiting")), "{sleeps}");
        assert!(unknown.contains("\nNo task 999999999\n"), "{unknown}");
        drop(monitor);
    });
}
