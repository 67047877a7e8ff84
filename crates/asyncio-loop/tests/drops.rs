//! Futures, outputs and captures are dropped once, at the right moment, and in the right place.

mod common;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{EventLoop, LoopWaker, Outcome, RawTask, TaskOptions, running_loop};
use common::{DropGuard, Drops, run_ready, virtual_loop, yield_now};

/// A loop that ignores reports.
fn quiet_loop() -> EventLoop {
    let event_loop = virtual_loop();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    event_loop
}

fn spawn<F: Future + 'static>(event_loop: &EventLoop, future: F) -> RawTask<F::Output> {
    event_loop.spawn(future, TaskOptions::new()).unwrap()
}

/// Holds a guard, and waits forever.
async fn hold(guard: DropGuard) {
    pending::<()>().await;
    drop(guard);
}

#[test]
fn a_future_goes_when_it_completes_and_its_output_with_whoever_takes_it() {
    let (event_loop, futures, outputs) = (quiet_loop(), Drops::default(), Drops::default());
    let (held, output) = (futures.guard(), outputs.guard());
    let mut task = spawn(&event_loop, async move {
        let _held = held;
        yield_now().await;
        output
    });
    assert!(task.take().is_none());
    run_ready(&event_loop);
    run_ready(&event_loop);
    assert_eq!((futures.count(), outputs.count()), (1, 0));
    let Some(Outcome::Value(output)) = task.take() else { panic!("no value") };
    assert!(task.take().is_none(), "the output is taken once");
    drop(task);
    assert_eq!(outputs.count(), 0);
    drop(output);
    assert_eq!(outputs.count(), 1);
}

#[test]
fn an_output_nobody_takes_goes_with_the_handle() {
    let (event_loop, outputs) = (quiet_loop(), Drops::default());
    let output = outputs.guard();
    let task = spawn(&event_loop, async { output });
    run_ready(&event_loop);
    assert_eq!(outputs.count(), 0);
    let other = task.task().clone();
    drop(task);
    assert_eq!(outputs.count(), 1);
    assert!(other.is_done());
    drop(other);
    assert_eq!(outputs.count(), 1);
}

#[test]
fn an_output_of_a_detached_task_goes_at_once() {
    let (event_loop, outputs) = (quiet_loop(), Drops::default());
    let output = outputs.guard();
    drop(spawn(&event_loop, async { output }));
    run_ready(&event_loop);
    assert_eq!(outputs.count(), 1);
}

#[test]
fn a_panic_drops_the_future_and_keeps_the_payload() {
    let (event_loop, futures, payloads) = (quiet_loop(), Drops::default(), Drops::default());
    let (held, payload) = (futures.guard(), payloads.guard());
    let mut task = spawn(&event_loop, async move {
        let _held = held;
        std::panic::resume_unwind(Box::new(payload));
    });
    run_ready(&event_loop);
    assert_eq!((futures.count(), payloads.count()), (1, 0));
    let Some(Outcome::Panicked(payload)) = task.take() else { panic!("no panic") };
    drop(task);
    assert_eq!(payloads.count(), 0);
    drop(payload);
    assert_eq!(payloads.count(), 1);
}

#[test]
fn a_payload_nobody_takes_goes_with_the_handle() {
    let (event_loop, payloads) = (quiet_loop(), Drops::default());
    for detach_first in [true, false] {
        let payload = payloads.guard();
        let mut task = Some(spawn(&event_loop, async {
            std::panic::resume_unwind(Box::new(payload));
        }));
        if detach_first {
            task = None;
        }
        run_ready(&event_loop);
        drop(task);
    }
    assert_eq!(payloads.count(), 2);
}

#[test]
fn a_task_that_is_ended_drops_its_future_at_its_next_step() {
    let (event_loop, futures) = (quiet_loop(), Drops::default());
    let mut task = spawn(&event_loop, hold(futures.guard()));
    run_ready(&event_loop);
    assert!(task.task().request_cancel());
    assert_eq!(futures.count(), 0);
    run_ready(&event_loop);
    assert_eq!(futures.count(), 1);
    assert!(matches!(task.take(), Some(Outcome::Cancelled)));
    assert!(!task.task().request_cancel(), "the task has ended");
}

#[test]
fn a_task_that_was_never_polled_drops_its_future_too() {
    let (event_loop, futures) = (quiet_loop(), Drops::default());
    let guard = futures.guard();
    let task = spawn(&event_loop, async move { unreachable!("{guard:?}") });
    task.task().request_cancel();
    run_ready(&event_loop);
    assert_eq!(futures.count(), 1);
    assert!(task.task().is_cancelled());
}

#[test]
fn a_destructor_that_panics_makes_a_panic_of_the_outcome() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let (event_loop, outputs) = (quiet_loop(), Drops::default());
    let (output, held) = (outputs.guard(), PanicsOnDrop);
    let mut returns = spawn(&event_loop, {
        let mut held = Some(held);
        let mut output = Some(output);
        poll_fn(move |_| {
            assert!(held.is_some());
            let _keep = &mut held;
            Poll::Ready(output.take())
        })
    });
    let held = PanicsOnDrop;
    let mut ended = spawn(&event_loop, async move {
        let _held = held;
        pending::<()>().await;
    });
    run_ready(&event_loop);
    assert_eq!(outputs.count(), 1, "a panic in the future's destructor drops the output");
    ended.task().request_cancel();
    run_ready(&event_loop);
    for outcome in [returns.take().map(drop_value), ended.take().map(drop_value)] {
        let Some(Outcome::Panicked(payload)) = outcome else { panic!("{outcome:?}") };
        assert_eq!(payload.downcast_ref(), Some(&"destructor"));
    }
}

fn drop_value<T>(outcome: Outcome<T>) -> Outcome<()> {
    match outcome {
        Outcome::Value(_) => Outcome::Value(()),
        Outcome::Panicked(payload) => Outcome::Panicked(payload),
        Outcome::Cancelled => Outcome::Cancelled,
    }
}

/// A task that hands out its wakers at its first poll and counts its polls.
fn wakers(event_loop: &EventLoop) -> (RawTask<()>, Waker, LoopWaker, Rc<Cell<u32>>, Drops) {
    let (polls, drops) = (Rc::new(Cell::new(0)), Drops::default());
    let handed = Rc::new(RefCell::new(None));
    let task = spawn(event_loop, {
        let (polls, handed, guard) = (polls.clone(), handed.clone(), drops.guard());
        poll_fn(move |cx| {
            let _captured = &guard;
            polls.set(polls.get() + 1);
            handed.replace(Some((cx.waker().clone(), LoopWaker::from_context(cx))));
            Poll::Pending
        })
    });
    run_ready(event_loop);
    let (waker, local) = handed.take().unwrap();
    (task, waker, local, polls, drops)
}

#[test]
fn wakes_after_the_end_do_nothing() {
    let event_loop = quiet_loop();
    let (task, waker, local, polls, drops) = wakers(&event_loop);
    task.task().request_cancel();
    run_ready(&event_loop);
    assert_eq!(drops.count(), 1);
    waker.wake_by_ref();
    local.wake_by_ref();
    drop(task);
    run_ready(&event_loop);
    waker.wake();
    local.wake();
    run_ready(&event_loop);
    assert_eq!((polls.get(), drops.count()), (1, 1));
}

#[test]
fn wakes_after_close_do_nothing() {
    let event_loop = quiet_loop();
    let (task, waker, local, polls, drops) = wakers(&event_loop);
    event_loop.close().unwrap();
    assert_eq!(drops.count(), 1);
    waker.wake_by_ref();
    local.wake_by_ref();
    drop(event_loop);
    drop(task);
    let elsewhere = waker.clone();
    std::thread::spawn(move || elsewhere.wake()).join().unwrap();
    local.clone().wake();
    drop(local);
    waker.wake();
    assert_eq!(polls.get(), 1);
}

#[test]
fn the_last_waker_may_go_on_another_thread() {
    let (drops, waker) = {
        let event_loop = quiet_loop();
        let (_task, waker, _local, _polls, drops) = wakers(&event_loop);
        (drops, waker)
    };
    assert_eq!(drops.count(), 1, "the closed loop dropped the future, on its thread");
    std::thread::spawn(move || drop(waker)).join().unwrap();
    assert_eq!(drops.count(), 1);
}

#[test]
fn two_wakes_make_one_poll() {
    let event_loop = quiet_loop();
    let (_task, waker, local, polls, _drops) = wakers(&event_loop);
    waker.wake_by_ref();
    waker.wake();
    local.wake_by_ref();
    local.wake();
    run_ready(&event_loop);
    assert_eq!(polls.get(), 2);
}

/// A future that owns a waker of its own task does not keep the task alive.
#[test]
fn a_task_that_holds_its_own_waker_goes_with_its_loop() {
    let (event_loop, drops) = (quiet_loop(), Drops::default());
    let guard = drops.guard();
    let mut kept = Vec::new();
    drop(spawn(
        &event_loop,
        poll_fn(move |cx| -> Poll<()> {
            let _captured = &guard;
            kept.push((cx.waker().clone(), LoopWaker::from_context(cx)));
            Poll::Pending
        }),
    ));
    run_ready(&event_loop);
    drop(event_loop);
    assert_eq!(drops.count(), 1);
}

/// Many tasks of different sizes, which end in different ways at different times.
#[test]
fn every_future_of_many_is_dropped_once() {
    let (event_loop, drops) = (quiet_loop(), Drops::default());
    let mut tasks = Vec::new();
    for number in 0..1000_usize {
        let guard = drops.guard();
        let task = match number % 5 {
            0 => spawn(&event_loop, hold(guard)),
            1 => spawn(&event_loop, async move { drop(guard) }),
            2 => {
                let block = [number; 100];
                spawn(&event_loop, async move {
                    yield_now().await;
                    assert_eq!(block, [number; 100]);
                    drop(guard);
                })
            }
            3 => spawn(&event_loop, async move {
                let _held = guard;
                yield_now().await;
                std::panic::resume_unwind(Box::new(number));
            }),
            _ => spawn(&event_loop, async move {
                let _held = guard;
                running_loop().current_task().unwrap().request_cancel();
                yield_now().await;
                unreachable!("the task was cancelled");
            }),
        };
        if number % 3 == 0 {
            tasks.push(task);
        }
        if number % 100 == 0 {
            run_ready(&event_loop);
            tasks.truncate(number / 6);
        }
    }
    run_ready(&event_loop);
    run_ready(&event_loop);
    assert_eq!(drops.count(), 800);
    assert_eq!(event_loop.all_tasks().len(), 200);
    drop(event_loop);
    assert_eq!(drops.count(), 1000);
}
