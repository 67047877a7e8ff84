//! Running, stopping and closing a loop.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, ready};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{Direction, EventLoop, RunError, Source, TaskOptions, running_loop};
use common::{Drops, Log, real_loop, run_ready, sleep, virtual_loop, yield_now};

const SECOND: Duration = Duration::from_secs(1);

// L-015
#[test]
fn run_until_complete_returns_the_value() {
    let event_loop = virtual_loop();
    assert_eq!(event_loop.run_until_complete(ready(1)), Ok(1), "done at once");
    let late = async {
        sleep(SECOND).await;
        2
    };
    assert_eq!(event_loop.run_until_complete(late), Ok(2));
    let failed: Result<Result<(), &str>, _> =
        event_loop.run_until_complete(async { Err("failed") });
    assert_eq!(failed, Ok(Err("failed")));
}

#[test]
fn the_future_may_borrow() {
    let (event_loop, mut numbers) = (virtual_loop(), vec![1]);
    let appended = event_loop.run_until_complete(async {
        yield_now().await;
        numbers.push(2);
        &numbers
    });
    assert_eq!(appended.unwrap(), &[1, 2]);
}

// L-015: cancellation.
#[test]
fn a_run_whose_task_is_ended_says_so() {
    let event_loop = virtual_loop();
    let result = event_loop.run_until_complete(async {
        running_loop().current_task().unwrap().request_cancel();
        pending::<()>().await;
    });
    assert_eq!(result, Err(RunError::Cancelled));
}

// L-016
#[test]
fn stop_lets_the_batch_finish_and_keeps_what_it_scheduled() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.call_soon({
        let (event_loop, log) = (event_loop.loop_ref(), log.clone());
        move || {
            event_loop.stop();
            event_loop.call_soon(log.entry("scheduled meanwhile"));
        }
    });
    event_loop.call_soon(log.entry("same batch"));
    event_loop.run_forever().unwrap();
    assert_eq!(log.take(), ["same batch"]);
    let stopper = event_loop.loop_ref();
    event_loop.call_soon(move || stopper.stop());
    event_loop.run_forever().unwrap();
    assert_eq!(log.take(), ["scheduled meanwhile"]);
}

// L-016
#[test]
fn stop_before_a_run_ends_it_after_one_turn() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.stop();
    event_loop.call_soon(log.entry("ready"));
    event_loop.call_later(SECOND, log.entry("late"));
    event_loop.run_forever().unwrap();
    assert_eq!(log.take(), ["ready"]);
}

// L-018
#[test]
fn a_stopped_run_leaves_other_tasks_where_they_are() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let entries = log.clone();
    let mut task = event_loop
        .spawn(
            async move {
                entries.push("started");
                sleep(2 * SECOND).await;
                entries.push("done");
                5
            },
            TaskOptions::new(),
        )
        .unwrap();
    let stopper = event_loop.loop_ref();
    event_loop.call_later(SECOND, move || stopper.stop());
    let stopped = event_loop.run_until_complete(std::future::poll_fn(|cx| task.poll_join(cx)));
    assert_eq!(stopped.unwrap_err(), RunError::Stopped);
    assert_eq!(RunError::Stopped.to_string(), "event loop stopped before the future completed");
    assert_eq!(log.take(), ["started"]);
    let resumed = event_loop.run_until_complete(std::future::poll_fn(|cx| task.poll_join(cx)));
    assert!(matches!(resumed.unwrap(), asyncio_loop::Outcome::Value(5)));
    assert_eq!(log.take(), ["done"]);
}

// L-018, L-019: an unfinished future is dropped.
#[test]
fn an_unfinished_future_is_dropped_by_its_run() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    let guard = drops.guard();
    event_loop.stop();
    let stopped = event_loop.run_until_complete(async move {
        let _held = guard;
        pending::<()>().await;
    });
    assert_eq!((stopped, drops.count()), (Err(RunError::Stopped), 1));
    assert_eq!(event_loop.all_tasks(), []);
}

// L-019
#[test]
fn a_loop_does_not_run_inside_itself() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    let (this, polled) = (event_loop.loop_ref(), Rc::new(Cell::new(false)));
    let (guard, inner) = (drops.guard(), polled.clone());
    let outcome = event_loop.run_until_complete(async {
        let nested = this.run_until_complete(async move {
            let _held = guard;
            inner.set(true);
        });
        assert_eq!(drops.count(), 1, "the future is dropped");
        assert!(matches!(this.run_forever(), Err(RunError::AlreadyRunning { .. })));
        yield_now().await;
        nested
    });
    let error = outcome.unwrap().unwrap_err();
    assert!(error.to_string().contains("already running on this thread, started at "), "{error}");
    assert!(error.to_string().contains(file!()), "{error}");
    assert!(!polled.get());
}

// L-020
#[test]
fn another_loop_does_not_run_inside_a_run() {
    let (outer, inner) = (virtual_loop(), virtual_loop());
    let nested = outer.run_until_complete(async { inner.run_until_complete(ready(())) }).unwrap();
    assert!(matches!(nested, Err(RunError::AlreadyRunning { .. })));
    assert_eq!(inner.run_until_complete(ready(1)), Ok(1), "the spawned task runs by itself");
}

// L-021
#[test]
fn a_panic_out_of_a_run_does_not_stop_the_next_one() {
    let event_loop = virtual_loop();
    let run = || event_loop.run_until_complete(async { panic!("on purpose") });
    let payload = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
    assert!(!event_loop.is_running());
    let later = async {
        sleep(SECOND).await;
        3
    };
    assert_eq!(event_loop.run_until_complete(later), Ok(3));
}

// L-023
#[test]
fn background_tasks_stand_still_between_runs() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let entries = log.clone();
    let background = async move {
        entries.push("started");
        sleep(SECOND).await;
        entries.push("done");
    };
    drop(event_loop.spawn(background, TaskOptions::new()).unwrap());
    run_ready(&event_loop);
    assert_eq!(log.take(), ["started"]);
    assert_eq!(event_loop.all_tasks().len(), 1);
    event_loop.run_until_complete(sleep(2 * SECOND)).unwrap();
    assert_eq!(log.take(), ["done"]);
}

// L-024
#[test]
fn a_running_loop_refuses_to_close() {
    let event_loop = virtual_loop();
    let this = event_loop.loop_ref();
    let error = event_loop.run_until_complete(async { this.close() }).unwrap().unwrap_err();
    assert!(error.to_string().starts_with("cannot close a running event loop"), "{error}");
    assert!(!event_loop.is_closed());
    assert_eq!(event_loop.run_until_complete(ready(1)), Ok(1));
}

// L-025
#[test]
fn close_is_final_and_may_be_repeated() {
    let event_loop = virtual_loop();
    assert!(!event_loop.is_closed());
    event_loop.close().unwrap();
    assert!(event_loop.is_closed());
    event_loop.close().unwrap();
    assert_eq!(event_loop.run_until_complete(ready(1)), Err(RunError::Closed));
    assert_eq!(event_loop.run_forever(), Err(RunError::Closed));
}

// L-027
#[test]
fn close_drops_callbacks_timers_and_tasks_without_running_them() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    let (first, second, third, fourth) =
        (drops.guard(), drops.guard(), drops.guard(), drops.guard());
    let soon = event_loop.call_soon(move || unreachable!("{first:?}"));
    let later = event_loop.call_later(SECOND, move || unreachable!("{second:?}"));
    let pending_task = async move {
        let _held = third;
        pending::<()>().await;
    };
    let unstarted = async move { unreachable!("{fourth:?}") };
    drop(event_loop.spawn(pending_task, TaskOptions::new()).unwrap());
    event_loop.stop();
    let keep = event_loop.spawn(unstarted, TaskOptions::new()).unwrap();
    event_loop.close().unwrap();
    assert_eq!(drops.count(), 4);
    assert!(keep.task().is_cancelled());
    soon.cancel();
    later.cancel();
}

#[test]
fn a_closed_loop_takes_nothing() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    event_loop.close().unwrap();
    let (first, second, third) = (drops.guard(), drops.guard(), drops.guard());
    event_loop.call_soon(move || drop(first));
    event_loop.call_later(SECOND, move || drop(second));
    assert_eq!(drops.count(), 2);
    let refused = event_loop.spawn(async move { drop(third) }, TaskOptions::new());
    assert_eq!(refused.unwrap_err().to_string(), "event loop is closed");
    assert_eq!((drops.count(), event_loop.timer_count()), (3, 0));
}

/// While a loop closes, destructors see it as the running loop and may use it.
#[test]
fn destructors_may_use_the_loop_that_closes() {
    struct UsesLoop(Rc<RefCell<Vec<bool>>>);
    impl Drop for UsesLoop {
        fn drop(&mut self) {
            let event_loop = running_loop();
            event_loop.call_soon(|| unreachable!("the loop is closed"));
            event_loop.call_later(SECOND, || unreachable!("the loop is closed"));
            self.0.borrow_mut().push(event_loop.is_closed());
        }
    }
    let closed = Rc::new(RefCell::new(Vec::new()));
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    let (soon, later, in_task) =
        (UsesLoop(closed.clone()), UsesLoop(closed.clone()), UsesLoop(closed.clone()));
    event_loop.call_soon(move || drop(soon));
    event_loop.call_later(SECOND, move || drop(later));
    let task = async move {
        let _held = in_task;
        pending::<()>().await;
    };
    drop(event_loop.spawn(task, TaskOptions::new()).unwrap());
    drop(event_loop);
    assert_eq!(*closed.borrow(), [true; 3]);
}

#[test]
fn dropping_the_loop_closes_it() {
    let drops = Drops::default();
    let (event_loop, guard) = (real_loop(), drops.guard());
    let this = event_loop.loop_ref();
    let handle = event_loop.call_soon(move || drop(guard));
    drop(event_loop);
    assert!(this.is_closed());
    assert_eq!(drops.count(), 1);
    handle.cancel();
}

// I-001
#[test]
fn the_debug_flag_starts_from_the_environment() {
    // A process cannot safely change its own environment, so the test starts itself with the
    // variable set.
    const EXPECTED: &str = "ASYNCIO_TEST_EXPECTED_DEBUG";
    if let Ok(expected) = std::env::var(EXPECTED) {
        let is_debug = EventLoop::new().unwrap().is_debug();
        assert_eq!(is_debug.to_string(), expected);
        let forced = EventLoop::builder().debug(!is_debug).build().unwrap();
        assert_eq!(forced.is_debug(), !is_debug);
        return;
    }
    for (value, expected) in [("1", "true"), ("", "false")] {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_debug_flag_starts_from_the_environment"])
            .env("ASYNCIO_DEBUG", value)
            .env(EXPECTED, expected)
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        assert!(child.status.success() && output.contains("1 passed"), "{value:?}: {output}");
    }
}

// I-001
#[test]
fn the_debug_flag_comes_from_the_builder_or_is_set() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    assert!(event_loop.is_debug());
    event_loop.set_debug(false);
    assert!(!event_loop.is_debug());
}

#[test]
fn a_closed_loop_keeps_no_handler_that_is_set_later() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    let this = event_loop.loop_ref();
    event_loop.close().unwrap();
    let (guard, kept) = (drops.guard(), this.clone());
    this.set_exception_handler(Some(Rc::new(move |_, _| _ = (&guard, &kept))));
    let (guard, kept) = (drops.guard(), this.clone());
    this.set_task_factory(Some(Rc::new(move |_, _| _ = (&guard, &kept))));
    assert_eq!(drops.count(), 2);
    assert!(this.exception_handler().is_none() && this.task_factory().is_none());
}

#[test]
fn a_closed_loop_has_no_poller_whoever_keeps_its_sources() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let event_loop = virtual_loop();
    let source = Source::new(&event_loop, ours);
    source.clear_ready(Direction::Read);
    drop(event_loop);
    let cx = Context::from_waker(Waker::noop());
    let Poll::Ready(Err(error)) = source.poll_ready(&cx, Direction::Read) else {
        panic!("nothing will wake the task");
    };
    assert_eq!(error.to_string(), "event loop is closed");
}

// F-024: hidden tasks do not use up numbers of users' tasks.
#[test]
fn tasks_are_numbered_one_after_the_other() {
    let event_loop = real_loop();
    let number = |options| event_loop.spawn(async {}, options).unwrap().task().id();
    let first = number(TaskOptions::new());
    let hidden = number(TaskOptions::new().hidden());
    assert_eq!(number(TaskOptions::new()), first + 1);
    assert!(hidden > first + 1);
}
