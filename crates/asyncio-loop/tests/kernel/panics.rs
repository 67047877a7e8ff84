//! A panic never ends the loop, regardless of the code that panics.

use std::any::Any;
use std::cell::Cell;
use std::future::poll_fn;
use std::panic::panic_any;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use asyncio_loop::machinery::{Supervisor, TaskControl, Verdict};
use asyncio_loop::{ContextVar, ErrorContext, LoopRef, LoopWaker, Outcome, TaskOptions};

use crate::support::{
    Bomb, Cascade, Tally, panic_of, pending_with, reporting_loop, run_turns, turn,
};

// L-040
#[test]
fn callbacks_that_panic_are_reported_and_the_next_ones_run() {
    let (event_loop, reports) = reporting_loop();
    let ran = Rc::new(Cell::new(0));
    for _ in 0..2 {
        event_loop.call_soon(|| panic!("first"));
        let ran = Rc::clone(&ran);
        event_loop.call_soon(move || ran.set(ran.get() + 1));
    }
    run_turns(&event_loop, 1);
    assert_eq!(ran.get(), 2);
    reports.expect(&["first", "first"]);
}

#[test]
fn closures_whose_destructors_panic_are_reported() {
    let (event_loop, reports) = reporting_loop();
    let bomb = Bomb("in a run");
    event_loop.call_soon(move || drop(bomb));
    run_turns(&event_loop, 1);
    let cancels = async {
        let bomb = Bomb("in a cancellation");
        event_loop.call_soon(move || drop(bomb)).cancel();
        let bomb = Bomb("in a timer's cancellation");
        event_loop.call_later(Duration::from_secs(1), move || drop(bomb)).cancel();
    };
    event_loop.run_until_complete(cancels).unwrap();
    let bomb = Bomb("in a close");
    event_loop.call_soon(move || drop(bomb));
    let bomb = Bomb("in a timer at close");
    event_loop.call_later(Duration::from_secs(1), move || drop(bomb));
    event_loop.close().unwrap();
    reports.expect(&[
        "in a run",
        "in a cancellation",
        "in a timer's cancellation",
        "in a close",
        "in a timer at close",
    ]);
}

// Promise 3: what panics in the destructor of a future is the outcome, and the future is gone.
#[test]
fn futures_whose_destructors_panic_end_their_tasks() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    let (bomb, counted) = (Bomb("finished"), tally.counted());
    let future = async move {
        counted.check();
        // Dropped at the end of the block, so the panic happens inside the poll.
        let _bomb = bomb;
    };
    let mut finished = event_loop.spawn(future, TaskOptions::new()).unwrap();
    let bomb = Bomb("cancelled");
    let mut cancelled =
        event_loop.spawn(pending_with((bomb, tally.counted())), TaskOptions::new()).unwrap();
    let bomb = Bomb("unfinished");
    event_loop.spawn(pending_with((bomb, tally.counted())), TaskOptions::new()).unwrap();
    let bomb = Bomb("kept by the future");
    let counted = tally.counted();
    let mut kept = event_loop
        .spawn(
            poll_fn(move |_| {
                let _both = (&bomb, &counted);
                Poll::Ready(())
            }),
            TaskOptions::new(),
        )
        .unwrap();
    run_turns(&event_loop, 1);
    cancelled.task().request_cancel();
    run_turns(&event_loop, 1);
    for (task, text) in [(&mut finished, "finished"), (&mut cancelled, "cancelled")] {
        let Some(Outcome::Panicked(payload)) = task.take() else { panic!("no panic") };
        assert_eq!(panic_of(|| std::panic::resume_unwind(payload)), text);
    }
    assert!(matches!(kept.take(), Some(Outcome::Panicked(_))));
    event_loop.close().unwrap();
    tally.expect_all_dropped();
    reports.expect(&["pending", "unfinished"]);
}

#[test]
fn a_future_that_panics_and_whose_destructor_panics_ends_with_the_first_panic() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    let (bomb, counted) = (Bomb("second"), tally.counted());
    let future = poll_fn(move |_| -> Poll<()> {
        let _both = (&bomb, &counted);
        panic!("first")
    });
    let mut task = event_loop.spawn(future, TaskOptions::new()).unwrap();
    run_turns(&event_loop, 1);
    let Some(Outcome::Panicked(payload)) = task.take() else { panic!("no panic") };
    assert_eq!(panic_of(|| std::panic::resume_unwind(payload)), "first");
    reports.expect(&["second"]);
    tally.expect_all_dropped();
}

#[test]
fn outputs_whose_destructors_panic_are_reported() {
    let (event_loop, reports) = reporting_loop();
    // The handle is dropped before the task ends, after it has ended, and after the loop has
    // closed.
    event_loop.spawn(async { Bomb("before") }, TaskOptions::new()).unwrap();
    run_turns(&event_loop, 1);
    reports.expect(&["before"]);
    let task = event_loop.spawn(async { Bomb("after") }, TaskOptions::new()).unwrap();
    run_turns(&event_loop, 1);
    event_loop.run_until_complete(async { drop(task) }).unwrap();
    reports.expect(&["after"]);
}

// Promise 3: a payload whose destructor panics must not unwind through the end of a task.
#[test]
fn payloads_whose_destructors_panic_do_not_take_the_loop_down() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    // The payload of a callback's panic, and of a panic in a closure's destructor.
    event_loop.call_soon(|| panic_any(Cascade));
    let cascade = Cascade;
    event_loop.call_soon(move || drop(cascade));
    // The payload of a task without a handle.
    event_loop.spawn(async { panic_any(Cascade) }, TaskOptions::new()).map(drop).unwrap();
    // The payload of a task whose future panics in its destructor too.
    let (cascade, counted) = (Cascade, tally.counted());
    let future = poll_fn(move |_| -> Poll<()> {
        let _both = (&cascade, &counted);
        panic!("first")
    });
    let task = event_loop.spawn(future, TaskOptions::new()).unwrap();
    // The payload of an output's destructor.
    let counted = tally.counted();
    let future = async move {
        counted.check();
        Cascade
    };
    event_loop.spawn(future, TaskOptions::new()).map(drop).unwrap();
    // The payload of a cancelled task's output.
    let counted = tally.counted();
    let joined = event_loop
        .spawn(
            async move {
                counted.check();
                (Cascade, ())
            },
            TaskOptions::new(),
        )
        .unwrap();
    run_turns(&event_loop, 3);
    drop((task, joined));
    event_loop.close().unwrap();
    tally.expect_all_dropped();
    assert!(reports.len() >= 5, "{}", reports.len());
}

struct Rude(fn(Option<bool>) -> Verdict);

impl Supervisor for Rude {
    fn before_poll(self: Rc<Self>) -> Verdict {
        (self.0)(None)
    }

    fn after_poll(self: Rc<Self>, ready: bool) -> Verdict {
        (self.0)(Some(ready))
    }

    fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
        self
    }
}

// Promise 3: a supervisor that panics ends its own task, and no other.
#[test]
fn supervisors_that_panic_end_their_tasks() {
    let rude: [fn(Option<bool>) -> Verdict; 4] = [
        |when| if when.is_none() { panic!("before") } else { Verdict::Continue },
        |when| if when == Some(false) { panic!("pending") } else { Verdict::Continue },
        |when| if when == Some(true) { panic!("ready") } else { Verdict::Continue },
        |when| if when == Some(true) { panic_any(Cascade) } else { Verdict::Continue },
    ];
    for eager in [false, true] {
        for rude in rude {
            let (event_loop, _reports) = reporting_loop();
            let tally = Tally::new();
            let (future, output) = (tally.counted(), tally.counted());
            let mut task = event_loop
                .run_until_complete(async {
                    let future = async move {
                        let this = asyncio_loop::running_loop().current_task().unwrap();
                        this.set_supervisor(Some(Rc::new(Rude(rude))));
                        turn().await;
                        future.check();
                        output
                    };
                    let options = TaskOptions::new().eager_start(eager);
                    asyncio_loop::running_loop().spawn(future, options).unwrap()
                })
                .unwrap();
            run_turns(&event_loop, 4);
            assert!(task.task().is_done());
            let Some(Outcome::Panicked(payload)) = task.take() else { panic!("no panic") };
            // The caller owns the payload now; dropping it would panic here.
            let _ = payload.downcast::<Cascade>().map(std::mem::forget);
            event_loop.close().unwrap();
            drop(task);
            tally.expect_all_dropped();
        }
    }
}

// The same for a future that borrows: all of it must be dropped before the run returns.
#[test]
fn supervisors_that_panic_end_borrowing_futures() {
    for eager in [false, true] {
        let (event_loop, _reports) = reporting_loop();
        let tally = Tally::new();
        let text = panic_of(|| {
            let local = tally.counted();
            let future = async {
                let this = asyncio_loop::running_loop().current_task().unwrap();
                this.set_supervisor(Some(Rc::new(Rude(|_| panic!("rude")))));
                local.check();
                &local
            };
            let options = TaskOptions::new().eager_start(eager);
            let _ = event_loop.run_task(future, options).map(|local| local.check());
        });
        assert_eq!(text, "rude");
        tally.expect_all_dropped();
        run_turns(&event_loop, 2);
        event_loop.close().unwrap();
    }
}

#[test]
fn supervisors_whose_destructors_panic_are_reported() {
    struct Mined(#[allow(dead_code)] Bomb);
    impl Supervisor for Mined {
        fn before_poll(self: Rc<Self>) -> Verdict {
            Verdict::Continue
        }

        fn after_poll(self: Rc<Self>, _: bool) -> Verdict {
            Verdict::Continue
        }

        fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
            self
        }
    }
    let (event_loop, reports) = reporting_loop();
    let task = event_loop.spawn(async { 5 }, TaskOptions::new()).unwrap();
    task.task().set_supervisor(Some(Rc::new(Mined(Bomb("supervisor")))));
    run_turns(&event_loop, 1);
    assert!(matches!(task.peek(), Some(Outcome::Value(5))));
    reports.expect(&["supervisor"]);
}

static MINE: ContextVar<Rc<Bomb>> = ContextVar::local("MINE");

// Promise 2: the context is the last part of a task that is dropped.
#[test]
fn contexts_whose_destructors_panic_are_reported() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    let ran = Rc::new(Cell::new(false));
    event_loop.call_soon(|| {
        MINE.set(Rc::new(Bomb("callback's context")));
    });
    event_loop
        .spawn(
            async {
                MINE.set(Rc::new(Bomb("task's context")));
                turn().await;
            },
            TaskOptions::new(),
        )
        .unwrap();
    let counted = tally.counted();
    event_loop
        .spawn(
            async move {
                MINE.set(Rc::new(Bomb("closed task's context")));
                pending_with(counted).await;
            },
            TaskOptions::new(),
        )
        .unwrap();
    event_loop.call_soon({
        let ran = Rc::clone(&ran);
        move || ran.set(true)
    });
    run_turns(&event_loop, 3);
    assert!(ran.get());
    reports.expect(&["callback's context", "task's context"]);
    event_loop.close().unwrap();
    reports.expect(&["pending", "closed task's context"]);
    tally.expect_all_dropped();
}

// L-043
#[test]
fn exception_handlers_that_panic_or_come_back_do_not_take_the_loop_down() {
    let (event_loop, _reports) = reporting_loop();
    let told = Rc::new(Cell::new(0));
    let handler = |told: &Rc<Cell<u32>>| {
        let told = Rc::clone(told);
        move |event_loop: &LoopRef, context: &ErrorContext| {
            told.set(told.get() + 1);
            assert!(event_loop.close().is_err(), "the callback runs");
            assert!(event_loop.run_forever().is_err());
            event_loop.set_exception_handler(event_loop.exception_handler());
            event_loop.call_soon(|| ());
            event_loop.spawn(async {}, TaskOptions::new()).unwrap();
            if told.get() < 3 {
                event_loop.report(&ErrorContext::new("again"));
            }
            match context.message() {
                "again" => panic_any(Cascade),
                _ => panic!("handler"),
            }
        }
    };
    event_loop.set_exception_handler(Some(Rc::new(handler(&told))));
    event_loop.call_soon(|| panic!("callback"));
    run_turns(&event_loop, 1);
    assert_eq!(told.get(), 3);
    event_loop.spawn(async { panic!("task") }, TaskOptions::new()).map(drop).unwrap();
    run_turns(&event_loop, 1);
    assert_eq!(told.get(), 4);
    event_loop.set_exception_handler(None);
    event_loop.close().unwrap();
}

/// An error that cannot be shown.
#[derive(Debug)]
struct Mute;

impl std::fmt::Display for Mute {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        panic_any(Cascade)
    }
}

impl std::error::Error for Mute {}

// L-043
#[test]
fn errors_that_cannot_be_shown_do_not_take_the_loop_down() {
    let (event_loop, _reports) = reporting_loop();
    event_loop.set_exception_handler(None);
    event_loop.report(&ErrorContext::new("mute").with_error(Mute));
    event_loop.set_exception_handler(Some(Rc::new(|_, _| panic!("handler"))));
    event_loop.report(&ErrorContext::new("mute").with_error(Mute));
}

/// A foreign waker that panics in every operation.
struct Hostile;

impl Wake for Hostile {
    fn wake(self: Arc<Self>) {
        panic!("woken");
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("waker dropped");
        }
    }
}

fn hostile() -> LoopWaker {
    LoopWaker::from_waker(&Waker::from(Arc::new(Hostile)))
}

#[test]
fn foreign_wakers_that_panic_do_not_take_the_loop_down() {
    let (event_loop, reports) = reporting_loop();
    let ran = Rc::new(Cell::new(0));
    let second = Duration::from_secs(1);
    let deadline = event_loop.wake_at(event_loop.time() + second, hostile());
    for seconds in [1, 2] {
        let ran = Rc::clone(&ran);
        event_loop.call_later(second * seconds, move || ran.set(ran.get() + 1));
    }
    event_loop.call_later(second * 3, {
        let this = event_loop.loop_ref();
        move || this.stop()
    });
    event_loop.run_forever().unwrap();
    assert_eq!(ran.get(), 2);
    assert!(!deadline.is_pending());
    reports.expect(&["woken"]);

    let mut task = event_loop.spawn(async { turn().await }, TaskOptions::new()).unwrap();
    let waker = Waker::from(Arc::new(Hostile));
    assert!(task.poll_join(&Context::from_waker(&waker)).is_pending());
    run_turns(&event_loop, 3);
    assert!(task.task().is_done());
    reports.expect(&["woken"]);
    assert_eq!(panic_of(|| drop(waker)), "waker dropped");
}

#[test]
fn turn_end_hooks_that_panic_are_reported() {
    let (event_loop, reports) = reporting_loop();
    let ran = Rc::new(Cell::new(false));
    event_loop.at_turn_end(Rc::new(|| panic!("hook")));
    let bomb = Bomb("dropped hook");
    event_loop.at_turn_end(Rc::new(move || {
        let _bomb = &bomb;
    }));
    let kept = Rc::clone(&ran);
    event_loop.at_turn_end(Rc::new(move || kept.set(true)));
    run_turns(&event_loop, 1);
    assert!(ran.get());
    reports.expect(&["hook", "dropped hook"]);
    let bomb = Bomb("hook at close");
    event_loop.at_turn_end(Rc::new(move || {
        let _bomb = &bomb;
    }));
    #[derive(Default)]
    struct Local(std::cell::RefCell<Option<Bomb>>);
    *event_loop.local::<Local>().0.borrow_mut() = Some(Bomb("local at close"));
    let tally = Tally::new();
    event_loop.set_task_factory(Some(Rc::new({
        let counted = tally.counted();
        move |_: &LoopRef, _: &mut TaskOptions| counted.check()
    })));
    event_loop.close().unwrap();
    assert!(event_loop.is_closed());
    tally.expect_all_dropped();
    reports.expect(&["hook at close", "local at close"]);
}

// The outcome of a main task that panics goes to the caller, and the loop is as before.
#[test]
fn a_main_task_that_panics_leaves_the_loop_usable() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    let local = tally.counted();
    let text = panic_of(|| {
        event_loop
            .run_until_complete(async {
                local.check();
                turn().await;
                let _counted = tally.counted();
                panic!("main")
            })
            .unwrap();
    });
    assert_eq!(text, "main");
    assert!(!event_loop.is_running());
    drop(local);
    tally.expect_all_dropped();
    run_turns(&event_loop, 1);
    reports.expect(&[]);
}
