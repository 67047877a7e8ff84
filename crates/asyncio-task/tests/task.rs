//! Tasks: how they begin, go on and end.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_loop::running_loop;
use asyncio_task::{
    JoinError, Task, TaskLoopExt, create_future, create_task, current_task, yield_now,
};
use common::{Log, OnDrop, new_loop, run};

// F-016
#[test]
fn a_task_that_awaits_itself_fails() {
    run(async {
        let own = Rc::new(RefCell::new(None::<Task<()>>));
        let handle = Rc::clone(&own);
        let task = create_task(async move {
            let own = handle.take().unwrap();
            own.await.unwrap();
        });
        let this = task.task_ref().clone();
        own.replace(Some(task));
        let reports = common::reports(&running_loop());
        yield_now().await;
        assert!(this.is_done());
        let reports = reports.take();
        assert_eq!(reports.len(), 1);
        assert!(reports[0].panic.as_deref().unwrap().contains("awaits itself"), "{reports:?}");
    });
}

#[test]
fn a_task_without_a_value_is_an_io_error_where_one_is_wanted() {
    run(async {
        let error = io::Error::from(create_task(async { panic!("no luck") }).await.unwrap_err());
        assert_eq!(
            (error.kind(), &*error.to_string()),
            (io::ErrorKind::Other, "task panicked: no luck")
        );
        assert!(error.downcast::<JoinError>().unwrap().is_panicked());
    });
}

// F-019
#[test]
fn a_task_ends_with_a_value_an_error_or_a_panic() {
    run(async {
        assert_eq!(create_task(async { 1 }).await.unwrap(), 1);
        assert_eq!(create_task(async { Err::<(), _>("no") }).await.unwrap(), Err("no"));
        let error = create_task(async { panic!("no luck") }).await.unwrap_err();
        assert!(matches!(&error, JoinError::Panicked(panic) if panic.message() == "no luck"));
    });
}

// F-019
#[test]
fn the_outcome_is_there_once_the_task_has_ended() {
    run(async {
        let mut task = create_task(async { String::from("value") });
        assert!(task.try_result().is_none());
        assert!(task.peek().is_none());
        yield_now().await;
        assert_eq!(task.peek().unwrap().unwrap(), "value");
        assert_eq!(task.try_result().unwrap().unwrap(), "value");
        assert!(task.try_result().is_none(), "it was taken");
    });
}

// F-020
#[test]
#[should_panic(expected = "cannot create a task: no running event loop")]
fn a_task_needs_a_loop() {
    drop(create_task(async { unreachable!("never polled") }));
}

// F-020
#[test]
fn a_closed_loop_takes_no_task() {
    let log = Log::new();
    let held = OnDrop(log.clone(), "dropped");
    let event_loop = new_loop();
    event_loop.close().unwrap();
    let refused = event_loop.create_task(async move {
        let _held = held;
        unreachable!("never polled")
    });
    assert_eq!(refused.unwrap_err().to_string(), "event loop is closed");
    assert_eq!(log.take(), ["dropped"]);
}

fn nested(depth: usize) -> Pin<Box<dyn Future<Output = usize>>> {
    Box::pin(async move { if depth == 0 { 0 } else { nested(depth - 1).await + 1 } })
}

// F-021
#[test]
fn nested_futures_take_no_turn() {
    run(async {
        let log = Log::new();
        let seen = log.clone();
        create_task(async move {
            assert_eq!(nested(100).await, 100);
            seen.add("task");
        });
        running_loop().call_soon(log.adder("callback"));
        yield_now().await;
        assert_eq!(log.take(), ["task", "callback"]);
    });
}

// F-022
#[test]
fn tasks_that_yield_take_turns() {
    run(async {
        let log = Log::new();
        let tasks = ["a", "b"].map(|name| {
            let log = log.clone();
            create_task(async move {
                for _ in 0..3 {
                    log.add(name);
                    yield_now().await;
                }
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(log.take(), ["a", "b", "a", "b", "a", "b"]);
    });
}

/// A future that is pending, counts its polls, and leaves its waker behind.
fn counted(
    polls: &Rc<Cell<u32>>,
    waker: &Rc<RefCell<Option<Waker>>>,
) -> impl Future<Output = ()> + use<> {
    let (polls, waker) = (Rc::clone(polls), Rc::clone(waker));
    poll_fn(move |cx| {
        polls.set(polls.get() + 1);
        waker.replace(Some(cx.waker().clone()));
        if polls.get() < 3 { Poll::Pending } else { Poll::Ready(()) }
    })
}

// F-023
#[test]
fn wakes_in_one_turn_are_one_step_and_wakes_after_the_end_are_none() {
    run(async {
        let (polls, waker) = (Rc::default(), Rc::default());
        let task = create_task(counted(&polls, &waker));
        yield_now().await;
        assert_eq!(polls.get(), 1);

        let woken = waker.borrow().clone().unwrap();
        for _ in 0..3 {
            woken.wake_by_ref();
            task.task_ref().wake();
        }
        yield_now().await;
        assert_eq!(polls.get(), 2);
        yield_now().await;
        assert_eq!(polls.get(), 2, "nobody woke it again");

        woken.wake_by_ref();
        yield_now().await;
        assert!(task.is_done());
        woken.wake_by_ref();
        woken.wake();
        yield_now().await;
        assert_eq!(polls.get(), 3);
    });
}

#[test]
fn a_task_starts_in_the_next_turn() {
    run(async {
        let log = Log::new();
        let seen = log.clone();
        create_task(async move { seen.add("started") });
        assert_eq!(log.take(), [""; 0]);
        yield_now().await;
        assert_eq!(log.take(), ["started"]);
    });
}

#[test]
fn a_task_whose_handle_is_gone_goes_on() {
    run(async {
        let promise = create_future();
        let setter = promise.clone();
        drop(create_task(async move {
            yield_now().await;
            setter.set_result("done").unwrap();
        }));
        assert_eq!(promise.await.unwrap(), "done");
    });
}

#[test]
fn a_task_may_be_awaited_from_another_and_long_after_its_end() {
    run(async {
        let task = create_task(async { 5 });
        yield_now().await;
        yield_now().await;
        assert_eq!(create_task(task).await.unwrap().unwrap(), 5);
    });
}

#[test]
fn cancel_drops_the_future_at_its_next_step() {
    run(async {
        let log = Log::new();
        let held = OnDrop(log.clone(), "dropped");
        let task = create_task(async move {
            let _held = held;
            pending::<()>().await;
        });
        yield_now().await;
        assert!(task.cancel());
        assert!(!task.is_done());
        assert_eq!(log.take(), [""; 0]);
        yield_now().await;
        assert_eq!(log.take(), ["dropped"]);
        assert!(task.is_cancelled());
        assert!(!task.cancel(), "it has ended");
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_cancelled_before_its_first_step_never_runs() {
    run(async {
        let task = create_task(async { unreachable!("never polled") });
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn a_task_is_dropped_with_itself_as_the_current_one() {
    struct Look(Log<String>);
    impl Drop for Look {
        fn drop(&mut self) {
            self.0.add(current_task().unwrap().name().to_string());
        }
    }
    run(async {
        let log = Log::new();
        let look = Look(log.clone());
        let task = create_task(async move {
            let _look = look;
            pending::<()>().await;
        });
        task.set_name("it");
        yield_now().await;
        task.cancel();
        yield_now().await;
        assert_eq!(log.take(), ["it"]);
    });
}

#[test]
fn a_panic_keeps_its_payload() {
    run(async {
        let error = create_task(async { std::panic::panic_any(42_u8) }).await.unwrap_err();
        let JoinError::Panicked(panic) = error else { panic!("it panicked") };
        assert_eq!(panic.message(), "a value that is no text");
        assert_eq!(*panic.into_payload().downcast::<u8>().unwrap(), 42);
    });
}

// F-006, for tasks
#[test]
fn done_callbacks_run_in_order_in_the_turn_after() {
    run(async {
        let log = Log::new();
        let task = create_task({
            let log = log.clone();
            async move { log.add("task".to_owned()) }
        });
        task.set_name("it");
        for number in 1..=2 {
            let log = log.clone();
            task.add_done_callback(move |task| {
                assert!(task.is_done());
                log.add(format!("callback {number} of {}", task.name()));
            });
        }
        yield_now().await;
        assert_eq!(log.take(), ["task"]);
        yield_now().await;
        assert_eq!(log.take(), ["callback 1 of it", "callback 2 of it"]);
    });
}

// F-007, for tasks
#[test]
fn a_done_callback_of_an_ended_task_runs_in_the_next_turn() {
    run(async {
        let log = Log::new();
        let task = create_task(async {});
        yield_now().await;
        let seen = log.clone();
        task.add_done_callback(move |_| seen.add("ran"));
        assert_eq!(log.take(), [""; 0]);
        yield_now().await;
        assert_eq!(log.take(), ["ran"]);
    });
}

// F-008, F-009, for tasks
#[test]
fn done_callbacks_are_removed_while_the_task_goes_on() {
    run(async {
        let log = Log::new();
        let task = create_task(async {});
        let add = |name| {
            let log = log.clone();
            task.add_done_callback(move |_| log.add(name))
        };
        let (removed, kept) = (add("removed"), add("kept"));
        assert_eq!(task.remove_done_callback(&removed), 1);
        assert_eq!(task.remove_done_callback(&removed), 0);
        yield_now().await;
        assert_eq!(task.remove_done_callback(&kept), 0);
        yield_now().await;
        assert_eq!(log.take(), ["kept"]);
    });
}

#[test]
fn a_future_is_dropped_once_when_it_ends_and_its_output_with_the_handle() {
    run(async {
        let log = Log::new();
        let (held, output) = (OnDrop(log.clone(), "future"), OnDrop(log.clone(), "output"));
        let task = create_task(async move {
            let _held = held;
            yield_now().await;
            output
        });
        yield_now().await;
        yield_now().await;
        assert!(task.is_done());
        assert_eq!(log.take(), ["future"]);
        drop(task);
        assert_eq!(log.take(), ["output"]);
    });
}
