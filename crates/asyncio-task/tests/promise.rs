//! Promises: states, callbacks, waiting.

mod common;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{
    Promise, PromiseError, TaskLoopExt, create_future, create_task, sleep, yield_now,
};
use common::{Log, new_loop, reports, run};

fn failure() -> io::Error {
    io::Error::other("no luck")
}

// F-001
#[test]
fn a_new_promise_is_pending() {
    run(async {
        let promise = create_future::<u8>();
        assert!(!promise.is_done());
        assert!(!promise.is_cancelled());
        assert!(matches!(promise.result(), Err(PromiseError::Pending)));
        assert!(matches!(promise.exception(), Err(PromiseError::Pending)));
        assert_eq!(promise.result().unwrap_err().to_string(), "result is not set");
        assert_eq!(*promise.event_loop(), running_loop());
    });
}

// F-002
#[test]
fn a_result_is_set_once_and_read_often() {
    run(async {
        let promise = create_future();
        promise.set_result("first").unwrap();
        assert!(promise.is_done());
        assert!(!promise.is_cancelled());
        assert_eq!(promise.result().unwrap(), "first");
        assert_eq!(promise.result().unwrap(), "first");
        assert!(promise.exception().unwrap().is_none());

        assert_eq!(promise.set_result("second").unwrap_err().0, "second");
        assert_eq!(promise.set_exception(failure()).unwrap_err().0.to_string(), "no luck");
        assert!(!promise.cancel());
        assert_eq!(promise.clone().await.unwrap(), "first");
    });
}

// F-003
#[test]
fn an_error_is_set_once() {
    run(async {
        let promise = create_future();
        promise.set_exception(failure()).unwrap();
        assert!(promise.is_done());
        assert!(!promise.is_cancelled());
        let error = promise.exception().unwrap().unwrap();
        assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::Other);
        assert_eq!(promise.result().unwrap_err().to_string(), "no luck");

        assert_eq!(promise.set_result(1).unwrap_err().0, 1);
        assert!(promise.set_exception(failure()).is_err());
        assert!(!promise.cancel());
        assert_eq!(promise.await.unwrap_err().exception().unwrap().to_string(), "no luck");
    });
}

// F-004
#[test]
fn a_cancelled_promise_is_done() {
    run(async {
        let promise = create_future();
        assert!(promise.cancel_with("enough"));
        assert!(promise.is_done());
        assert!(promise.is_cancelled());
        let error = promise.result().unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.to_string(), "promise was cancelled: enough");
        assert!(promise.exception().unwrap_err().is_cancelled());

        assert!(promise.set_result(1).is_err());
        assert!(promise.set_exception(failure()).is_err());
        assert!(!promise.cancel());
        assert!(promise.await.unwrap_err().is_cancelled());
    });
}

/// Adds three callbacks, settles the promise by `settle`, and returns the log.
fn settle_with_callbacks(settle: impl FnOnce(&Promise<()>)) -> Vec<&'static str> {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        for name in ["c1", "c2", "c3"] {
            let log = log.clone();
            promise.add_done_callback(move |promise| {
                assert!(promise.is_done());
                log.add(name);
            });
        }
        running_loop().call_soon(log.adder("before"));
        settle(&promise);
        log.add("settled");
        running_loop().call_soon(log.adder("after"));
        let _ = promise.exception();
        yield_now().await;
        log.take()
    })
}

// F-006
#[test]
fn callbacks_run_in_order_in_the_turn_after() {
    let expected = ["settled", "before", "c1", "c2", "c3", "after"];
    assert_eq!(settle_with_callbacks(|promise| promise.set_result(()).unwrap()), expected);
    assert_eq!(settle_with_callbacks(|promise| promise.set_exception("no").unwrap()), expected);
    assert_eq!(settle_with_callbacks(|promise| assert!(promise.cancel())), expected);
}

// F-007
#[test]
fn a_callback_of_a_done_promise_runs_in_the_next_turn() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        promise.set_result(7).unwrap();
        let seen = log.clone();
        promise.add_done_callback(move |promise| seen.add(promise.result().unwrap()));
        assert_eq!(log.take(), []);
        yield_now().await;
        assert_eq!(log.take(), [7]);
    });
}

// F-008
#[test]
fn a_removed_callback_does_not_run() {
    run(async {
        let (log, promise, other) = (Log::new(), create_future(), create_future::<()>());
        let add = |name| {
            let log = log.clone();
            promise.add_done_callback(move |_| log.add(name))
        };
        let (_, second, _) = (add("c1"), add("c2"), add("c3"));
        let unknown = other.add_done_callback(|_| {});
        assert_eq!(promise.remove_done_callback(&second), 1);
        assert_eq!(promise.remove_done_callback(&second), 0);
        assert_eq!(promise.remove_done_callback(&unknown), 0);
        promise.set_result(()).unwrap();
        yield_now().await;
        assert_eq!(log.take(), ["c1", "c3"]);
    });
}

// F-008: removing a callback drops its captures.
#[test]
fn a_removed_callback_is_dropped() {
    run(async {
        let (log, promise) = (Log::new(), create_future::<()>());
        let held = common::OnDrop(log.clone(), "dropped");
        let callback = promise.add_done_callback(move |_| drop(held));
        assert_eq!(promise.remove_done_callback(&callback), 1);
        assert_eq!(log.take(), ["dropped"]);
    });
}

/// A promise that is never settled is freed with its last handle, and so are its callbacks.
#[test]
fn an_abandoned_promise_drops_its_callbacks() {
    run(async {
        let (log, promise) = (Log::new(), create_future::<()>());
        let held = common::OnDrop(log.clone(), "dropped");
        promise.add_done_callback(move |_| drop(held));
        drop(promise);
        assert_eq!(log.take(), ["dropped"]);
    });
}

// F-009
#[test]
fn a_callback_is_out_of_reach_once_the_promise_is_done() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        let seen = log.clone();
        let callback = promise.add_done_callback(move |_| seen.add("ran"));
        promise.set_result(()).unwrap();
        assert_eq!(promise.remove_done_callback(&callback), 0);
        yield_now().await;
        assert_eq!(log.take(), ["ran"]);
    });
}

// F-010
#[test]
fn a_callback_that_panics_is_reported_and_the_others_run() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        let reports = reports(&running_loop());
        let seen = log.clone();
        promise.add_done_callback(|_| panic!("bad callback"));
        promise.add_done_callback(move |_| seen.add("ran"));
        promise.set_result(()).unwrap();
        yield_now().await;
        assert_eq!(log.take(), ["ran"]);
        let reports = reports.take();
        assert_eq!(reports.len(), 1);
        assert_eq!(reports[0].panic.as_deref(), Some("bad callback"));
    });
}

// F-012
#[test]
fn awaiting_a_done_promise_does_not_suspend() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        running_loop().call_soon(log.adder("callback"));
        promise.set_result(()).unwrap();
        promise.clone().await.unwrap();
        promise.await.unwrap();
        log.add("went on");
        yield_now().await;
        assert_eq!(log.take(), ["went on", "callback"]);
    });
}

#[test]
fn all_who_wait_get_the_value_in_the_order_of_their_arrival() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        for number in 0..5 {
            let (log, promise) = (log.clone(), promise.clone());
            create_task(async move { log.add((number, promise.await.unwrap())) });
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(log.take(), []);
        promise.set_result("value").unwrap();
        yield_now().await;
        assert_eq!(log.take(), [0, 1, 2, 3, 4].map(|number| (number, "value")));
    });
}

#[test]
fn who_stops_waiting_leaves_the_line() {
    run(async {
        let promise = create_future();
        let mut waits: Vec<_> = (0..3).map(|_| promise.clone()).collect();
        poll_fn(|cx| {
            assert!(waits.iter_mut().all(|wait| Pin::new(wait).poll(cx).is_pending()));
            Poll::Ready(())
        })
        .await;
        drop(waits.drain(..2));
        assert!(!promise.is_done(), "dropping a wait leaves the promise alone");
        promise.set_result(7).unwrap();
        assert_eq!(waits.remove(0).await.unwrap(), 7);
    });
}

// C-004
#[test]
fn cancelling_one_who_waits_cancels_the_promise_for_all() {
    run(async {
        let promise = create_future::<()>();
        let tasks: Vec<_> = (0..3).map(|_| create_task(promise.clone())).collect();
        yield_now().await;
        tasks[0].cancel();
        yield_now().await;
        assert!(promise.is_cancelled());
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.is_err(), number == 0);
        }
    });
}

// F-015
#[test]
fn a_promise_of_another_loop_is_refused() {
    let other = new_loop();
    let foreign = other.create_future::<()>();
    let line = line!() - 1;
    run(async move {
        let error = create_task(foreign).await.unwrap_err();
        let text = error.to_string();
        assert!(error.is_panicked());
        assert!(text.contains("attached to a different loop"), "{text}");
        assert!(text.contains(&format!("{}:{line}:", file!())), "the promise: {text}");
        assert!(text.contains("started at"), "the running loop: {text}");
    });
}

// F-011
#[test]
fn tasks_and_callbacks_of_a_promise_are_served_in_one_order() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        for number in 0..3 {
            let (awaits, told) = (log.clone(), log.clone());
            let awaited = promise.clone();
            create_task(async move {
                awaited.await.unwrap();
                awaits.add((number, "task"));
            });
            yield_now().await;
            promise.add_done_callback(move |_: &Promise<()>| told.add((number, "callback")));
        }
        promise.set_result(()).unwrap();
        yield_now().await;
        yield_now().await;
        let expected = [0, 1, 2].map(|number| [(number, "task"), (number, "callback")]);
        assert_eq!(log.take(), expected.concat());
    });
}

/// Callbacks are removed in any order, and the others stay.
#[test]
fn callbacks_are_removed_from_anywhere() {
    run(async {
        let (log, promise) = (Log::new(), create_future());
        let callbacks: Vec<_> = (0..6)
            .map(|number| {
                let log = log.clone();
                promise.add_done_callback(move |_: &Promise<()>| log.add(number))
            })
            .collect();
        for number in [4, 0, 2] {
            assert_eq!(promise.remove_done_callback(&callbacks[number]), 1);
            assert_eq!(promise.remove_done_callback(&callbacks[number]), 0);
        }
        promise.set_result(()).unwrap();
        yield_now().await;
        assert_eq!(log.take(), [1, 3, 5]);
    });
}

// F-017
#[test]
fn cancelling_a_promise_is_an_error_to_who_awaits_it() {
    run(async {
        let promise = create_future::<()>();
        let waiter = create_task(promise.clone());
        yield_now().await;
        promise.cancel();
        yield_now().await;
        assert!(waiter.is_done());
        assert!(!waiter.is_cancelled(), "the task was not cancelled");
        assert!(waiter.await.unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn with_result_shows_a_value_that_cannot_be_cloned() {
    struct Opaque(u8);
    run(async {
        let promise = create_future();
        promise.set_result(Opaque(3)).unwrap_or_else(|_| unreachable!());
        assert_eq!(promise.with_result(|result| result.unwrap().0), 3);
    });
}

#[test]
fn debug_shows_the_state_and_the_place() {
    run(async {
        let promise = create_future::<u8>();
        let line = line!() - 1;
        let place = format!("created at {}:{line}:", file!());
        let text = format!("{promise:?}");
        assert!(text.starts_with("<Promise pending") && text.contains(&place), "{text}");
        promise.cancel();
        assert!(format!("{promise:?}").starts_with("<Promise cancelled"));

        let failed = create_future::<u8>();
        failed.set_exception("no").unwrap();
        assert!(format!("{failed:?}").starts_with("<Promise failed"));
        assert!(failed.result().is_err());

        let finished = create_future::<u8>();
        finished.set_result(1).unwrap();
        assert!(format!("{finished:?}").starts_with("<Promise finished"));
    });
}

#[test]
#[should_panic(expected = "cannot create a future: no running event loop")]
fn a_promise_needs_a_loop() {
    drop(create_future::<()>());
}

#[test]
fn whoever_looks_at_an_outcome_may_do_anything_with_the_promise() {
    run(async {
        for settled in [false, true] {
            let promise = create_future();
            let mut waits = promise.clone();
            let polled =
                std::pin::Pin::new(&mut waits).poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            if settled {
                promise.set_result(1).unwrap();
            }
            let calls = Rc::new(Cell::new(0));
            let callback = {
                let calls = Rc::clone(&calls);
                move |_: &Promise<u8>| calls.set(calls.get() + 1)
            };
            promise.with_result(|outcome| {
                assert_eq!(outcome.is_ok(), settled);
                drop(waits);
                let removed = promise.add_done_callback(|_| unreachable!("removed or cancelled"));
                assert_eq!(promise.remove_done_callback(&removed), usize::from(!settled));
                removed.cancel();
                promise.add_done_callback(callback);
                assert_eq!(promise.set_result(2).is_err(), settled);
                assert!(!promise.cancel());
            });
            assert_eq!(promise.result().unwrap(), if settled { 1 } else { 2 });
            yield_now().await;
            assert_eq!(calls.get(), 1);
        }
    });
}
