//! Tasks: creation, polls, and completion.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{IntoFuture, pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::running_loop;
use asyncio_task::{
    JoinError, Task, TaskLoopExt, as_completed, create_future, create_task, current_task, gather,
    shield, sleep, timeout, wait, yield_now,
};
use common::{Log, OnDrop, new_loop, run};
use futures::StreamExt;

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
        assert!(task.try_result().is_none(), "the output was taken");
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

/// A pending future that counts its polls and stores its waker.
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
        assert_eq!(polls.get(), 2, "the task was not woken again");

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
        assert!(!task.cancel(), "the task has ended");
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

// F-011, for tasks
#[test]
fn the_awaiter_and_the_callbacks_of_a_task_are_served_in_one_order() {
    run(async {
        for before in 0..=3 {
            let (log, promise) = (Log::new(), create_future::<()>());
            let inner = create_task(promise.clone());
            let this = inner.task_ref().clone();
            let (add, told) = (running_loop(), log.clone());
            let register = |number: usize| {
                let told = told.clone();
                this.on_done(add.callback(move || told.add(number)));
            };
            let removed = add.callback(|| unreachable!("removed"));
            this.on_done(removed.clone());
            (0..before).for_each(register);
            let awaits = log.clone();
            create_task(async move {
                inner.await.unwrap().unwrap();
                awaits.add(100);
            });
            yield_now().await;
            (before..3).for_each(register);
            assert_eq!(this.remove_on_done(&removed), 1);
            promise.set_result(()).unwrap();
            yield_now().await;
            yield_now().await;
            let mut expected: Vec<_> = (0..3).collect();
            expected.insert(before, 100);
            assert_eq!(log.take(), expected);
        }
    });
}

/// Issue 11, item 9.
#[test]
fn a_task_that_is_awaited_twice_panics_with_its_name_and_site() {
    run(async {
        let mut task = create_task(async {});
        let line = line!() - 1;
        task.set_name("worker");
        (&mut task).await.unwrap();
        let error = create_task(task).await.unwrap_err().to_string();
        assert!(error.contains("awaited again"), "{error}");
        assert!(error.contains("worker"), "{error}");
        assert!(error.contains(&format!("{}:{line}:", file!())), "{error}");
    });
}

/// The panic message of a task that awaits `future`.
async fn refusal<T: 'static>(future: impl Future<Output = T> + 'static) -> String {
    let mut task = create_task(future);
    // Virtual time: nothing else happens in this hour. A `timeout` would cancel the other loop's
    // task, and wait for that.
    sleep(Duration::from_secs(3600)).await;
    match task.try_result() {
        Some(Err(error)) => error.to_string(),
        Some(Ok(_)) => panic!("it was accepted"),
        None => panic!("it waits for a task that makes no progress"),
    }
}

//
#[test]
fn a_task_of_another_loop_is_refused() {
    let other = new_loop();
    let foreign = || other.create_task(pending::<()>()).unwrap();
    let line = line!() - 1;
    let inside = |text: String| {
        assert!(text.contains("attached to a different loop"), "{text}");
        assert!(text.contains("EventLoop not running"), "the task's loop: {text}");
        assert!(text.contains("started at"), "the running loop: {text}");
        assert!(text.contains(&format!("{}:{line}:", file!())), "the task: {text}");
    };
    run(async {
        inside(refusal(foreign()).await);
        inside(refusal(shield(foreign())).await);
        let task = foreign();
        inside(refusal(async { gather([task]).await }).await);
        let task = foreign();
        inside(refusal(async { timeout(Duration::from_secs(1), task).await }).await);
        inside(refusal(wait([foreign()]).into_future()).await);
        let task = foreign();
        inside(refusal(async { as_completed([task]).next().await.is_some() }).await);
        // Polled with a waker that is not the task's own.
        let mut all: futures::stream::FuturesUnordered<_> = [foreign()].into_iter().collect();
        inside(refusal(async move { all.next().await.is_some() }).await);
    });
}

//
#[test]
fn the_outcome_of_a_task_of_another_loop_may_be_taken() {
    let other = new_loop();
    let task = other.create_task(async { 7 }).unwrap();
    other.run_until_complete(async {}).unwrap();
    assert_eq!(run(task).unwrap(), 7);
}
