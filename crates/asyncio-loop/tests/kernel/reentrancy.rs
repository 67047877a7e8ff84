//! Calls from inside calls.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::machinery::{TaskControl, with_running};
use asyncio_loop::{
    Context, LoopWaker, RawTask, RunError, TaskOptions, running_loop, try_running_loop,
};

use crate::support::{OnDrop, Tally, event_loop, pending_with, reporting_loop, run_turns, turn};

fn eager() -> TaskOptions {
    TaskOptions::new().eager_start(true)
}

// L-019, L-020: a run inside a run is refused, however deep it is asked for.
#[test]
fn runs_inside_runs_are_refused_everywhere() {
    let (event_loop, other) = (event_loop(), event_loop());
    let tally = Tally::new();
    let this = event_loop.loop_ref();
    let counted = || tally.counted();
    event_loop
        .run_until_complete(async {
            let nested = || {
                let refused = |result| matches!(result, Err(RunError::AlreadyRunning { .. }));
                assert!(refused(this.run_forever()));
                assert!(refused(other.run_forever()));
                assert!(refused(other.run_until_complete(pending_with(counted()))));
                assert!(this.close().is_err());
            };
            nested();
            with_running(|_| nested()).unwrap();
            Context::new().run(nested);
            turn().await;
            nested();
        })
        .unwrap();
    tally.expect_all_dropped();
}

// Any code may make, close and drop another loop.
#[test]
fn other_loops_come_and_go_inside_a_run() {
    let outer = event_loop();
    let tally = Tally::new();
    let come_and_go = || {
        let inner = event_loop();
        inner.set_exception_handler(Some(Rc::new(|_, _| ())));
        inner.spawn(pending_with(tally.counted()), eager()).map(drop).unwrap();
        let counted = tally.counted();
        inner.call_soon(move || drop(counted));
        drop(inner);
    };
    outer
        .run_until_complete(async {
            come_and_go();
            with_running(|_| come_and_go()).unwrap();
            assert_eq!(running_loop(), *outer);
        })
        .unwrap();
    tally.expect_all_dropped();
}

// Outside of a run, an eager task waits for the first turn, as in Python.
#[test]
fn an_eager_start_waits_for_a_run() {
    let event_loop = event_loop();
    let task = event_loop.spawn(async { running_loop() }, eager()).unwrap();
    assert!(!task.task().is_done());
    run_turns(&event_loop, 1);
    assert!(task.task().is_done());
    let done = event_loop.run_until_complete(async {
        running_loop().spawn(async { running_loop() }, eager()).unwrap().task().is_done()
    });
    assert_eq!(done, Ok(true));
}

#[test]
fn eager_tasks_nest_and_each_sees_itself() {
    fn nest(depth: u32, seen: &Rc<RefCell<Vec<u64>>>) -> RawTask<()> {
        let seen = Rc::clone(seen);
        let future = async move {
            let id = || running_loop().current_task().unwrap().id();
            let before = id();
            if depth > 0 {
                drop(nest(depth - 1, &seen));
            }
            assert_eq!(id(), before);
            seen.borrow_mut().push(before);
            turn().await;
            assert_eq!(id(), before);
        };
        running_loop().spawn(future, eager()).unwrap()
    }
    let event_loop = event_loop();
    let seen = Rc::default();
    event_loop.run_until_complete(async { drop(nest(50, &seen)) }).unwrap();
    assert_eq!(seen.borrow().len(), 51);
    assert!(seen.borrow().is_sorted_by(|a, b| a > b));
    run_turns(&event_loop, 2);
    assert!(event_loop.all_tasks().is_empty());
}

// An eager task wakes itself, ends, or drops its own handle before `spawn` has returned the handle.
#[test]
fn eager_tasks_may_end_themselves_inside_the_call_that_makes_them() {
    let event_loop = event_loop();
    let tally = Tally::new();
    event_loop
        .run_until_complete(async {
            for end in [false, true] {
                let counted = tally.counted();
                let task = running_loop().spawn(
                    poll_fn(move |cx| {
                        counted.check();
                        cx.waker().wake_by_ref();
                        LoopWaker::from_context(cx).wake();
                        let this = running_loop().current_task().unwrap();
                        if end {
                            assert!(this.request_cancel());
                            return Poll::Pending;
                        }
                        Poll::Ready(())
                    }),
                    eager(),
                );
                let task = task.unwrap();
                assert!(task.task().is_done());
                assert_eq!(task.task().is_cancelled(), end);
            }
        })
        .unwrap();
    run_turns(&event_loop, 2);
    tally.expect_all_dropped();
}

// A hook that is added by a hook is called at the end of the next turn, although nothing wakes the
// loop.
#[test]
fn turn_end_hooks_may_add_hooks() {
    let event_loop = event_loop();
    let calls = Rc::new(Cell::new(0));
    fn hook(this: asyncio_loop::LoopRef, calls: Rc<Cell<u32>>) {
        calls.set(calls.get() + 1);
        let again = this.clone();
        if calls.get() == 5 {
            this.stop();
        } else {
            this.at_turn_end(Rc::new(move || hook(again.clone(), Rc::clone(&calls))));
        }
    }
    let (this, kept) = (event_loop.loop_ref(), Rc::clone(&calls));
    event_loop.at_turn_end(Rc::new(move || hook(this.clone(), Rc::clone(&kept))));
    // Nothing is ready and there is no timer: without the hooks, the loop would block forever.
    event_loop.run_forever().unwrap();
    assert_eq!(calls.get(), 5);
}

#[test]
fn loop_locals_may_be_made_while_they_are_made() {
    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }
    struct Nested(u32);
    impl Default for Nested {
        fn default() -> Self {
            let depth = DEPTH.replace(DEPTH.get() + 1);
            if depth < 3 {
                let _inner = running_loop().local::<Nested>();
            }
            Self(depth)
        }
    }
    impl Drop for Nested {
        fn drop(&mut self) {
            if let Ok(event_loop) = try_running_loop() {
                let _other = event_loop.local::<u32>();
            }
        }
    }
    let event_loop = event_loop();
    event_loop
        .run_until_complete(async {
            let first = running_loop().local::<Nested>();
            let second = running_loop().local::<Nested>();
            assert!(Rc::ptr_eq(&first, &second));
            assert_eq!(first.0, 3, "the innermost value was stored first");
        })
        .unwrap();
}

// Done callbacks, factories and handlers that replace themselves while they run.
#[test]
fn what_is_called_may_replace_itself() {
    let (event_loop, reports) = reporting_loop();
    let made = Rc::new(Cell::new(0));
    let kept = Rc::clone(&made);
    event_loop.set_task_factory(Some(Rc::new(move |event_loop, options| {
        kept.set(kept.get() + 1);
        *options = options.clone().name("made");
        event_loop.set_task_factory(None);
    })));
    let task = event_loop.spawn(async {}, TaskOptions::new()).unwrap();
    assert_eq!(&*task.task().name(), "made");
    let again = task.task().clone();
    let this = event_loop.loop_ref();
    let added = Rc::new(Cell::new(false));
    task.task().on_done(event_loop.callback({
        let added = Rc::clone(&added);
        move || again.on_done(this.callback(move || added.set(true)))
    }));
    run_turns(&event_loop, 4);
    assert!(added.get());
    assert_eq!(made.get(), 1);
    reports.expect(&[]);
}

// Promise 5: the waiter that is replaced is dropped after the exchange, and may come back.
#[test]
fn joins_by_many_tasks_and_wakers_may_replace_each_other() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let task = event_loop.spawn(pending_with(tally.counted()), TaskOptions::new()).unwrap();
    let shared = Rc::new(RefCell::new(task));
    for _ in 0..3 {
        let (shared, counted) = (Rc::clone(&shared), tally.counted());
        let future = poll_fn(move |cx| {
            counted.check();
            shared.borrow_mut().poll_join(cx).map(drop)
        });
        let waiter = event_loop.spawn(future, TaskOptions::new()).unwrap();
        run_turns(&event_loop, 1);
        drop(waiter);
    }
    let again = shared.borrow().task().clone();
    let _reads = OnDrop(move || assert!(again.is_done()));
    shared.borrow().task().request_cancel();
    run_turns(&event_loop, 3);
    assert!(shared.borrow().task().is_cancelled());
    drop((event_loop, shared));
    tally.expect_all_dropped();
}
