//! Futures, outputs and closures are dropped once, at the right time, in the right place.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{
    ContextVar, LoopWaker, Outcome, RawTask, RunError, TaskOptions, TaskRef, running_loop,
};

use crate::support::{
    Counted, OnDrop, Tally, event_loop, pending_with, reporting_loop, run_turns, turn,
};

async fn returning(future: Counted, output: Counted) -> Counted {
    turn().await;
    future.check();
    output
}

// Promises 3 and 6
#[test]
fn a_future_and_its_output_are_dropped_once_however_the_task_ends() {
    type End = fn(RawTask<Counted>) -> Option<RawTask<Counted>>;
    let ends: [End; 7] = [
        Some,
        |task| {
            drop(task);
            None
        },
        |mut task| {
            assert!(task.take().is_none());
            Some(task)
        },
        |task| {
            task.task().request_cancel();
            Some(task)
        },
        |task| {
            task.task().request_cancel();
            None
        },
        |task| {
            task.task().request_cancel();
            task.task().withdraw_cancel();
            Some(task)
        },
        |task| {
            (0..10).for_each(|_| task.task().wake());
            Some(task)
        },
    ];
    for end in ends {
        for eager in [false, true] {
            for turns in 0..4 {
                let tally = Tally::new();
                let event_loop = event_loop();
                let future = returning(tally.counted(), tally.counted());
                let options = TaskOptions::new().eager_start(eager);
                let mut task = end(event_loop.spawn(future, options).unwrap());
                run_turns(&event_loop, turns);
                if let Some(task) = &mut task {
                    if let Some(Outcome::Value(value)) = task.peek() {
                        value.check();
                    }
                    if let Some(Outcome::Value(value)) = task.take() {
                        value.check();
                        assert!(task.take().is_none());
                        assert!(task.peek().is_none());
                    }
                }
                drop(event_loop);
                drop(task);
                tally.expect_all_dropped();
            }
        }
    }
}

// Promise 3: an output that was not taken before its loop was dropped.
#[test]
fn an_output_outlives_its_loop_and_is_taken_from_its_cell() {
    let tally = Tally::new();
    let event_loop = event_loop();
    let counted = tally.counted();
    let mut task = event_loop.spawn(async move { counted }, TaskOptions::new()).unwrap();
    run_turns(&event_loop, 1);
    drop(event_loop);
    assert_eq!(tally.dropped(), 0);
    let Some(Outcome::Value(value)) = task.take() else { panic!("no output") };
    value.check();
    drop(task);
    assert_eq!(tally.dropped(), 0);
    drop(value);
    tally.expect_all_dropped();
}

// Promise 2: a task drops its own handle.
#[test]
fn a_task_may_drop_its_own_handle() {
    for finish in [false, true] {
        let tally = Tally::new();
        let event_loop = event_loop();
        let own = Rc::new(RefCell::new(None::<RawTask<Counted>>));
        let (slot, counted) = (Rc::clone(&own), tally.counted());
        let task = event_loop.spawn(
            async move {
                if finish {
                    // The handle is dropped by a destructor of the future, after the future has
                    // returned and before the output is written.
                    let slot = Rc::clone(&slot);
                    turn().await;
                    let _later = OnDrop(move || drop(slot.take()));
                    return counted;
                }
                turn().await;
                drop(slot.take());
                counted.check();
                counted
            },
            TaskOptions::new(),
        );
        *own.borrow_mut() = Some(task.unwrap());
        run_turns(&event_loop, 4);
        assert!(own.borrow().is_none());
        tally.expect_all_dropped();
    }
}

// Promise 2: the output owns the handle of its own task.
#[test]
fn an_output_that_owns_its_own_handle_is_leaked_by_nobody_but_its_owner() {
    struct Knot(
        #[allow(dead_code)] Rc<RefCell<Option<RawTask<Knot>>>>,
        #[allow(dead_code)] Counted,
    );
    let tally = Tally::new();
    let event_loop = event_loop();
    let slot = Rc::new(RefCell::new(None));
    let knot = Knot(Rc::clone(&slot), tally.counted());
    *slot.borrow_mut() = Some(event_loop.spawn(async move { knot }, TaskOptions::new()).unwrap());
    run_turns(&event_loop, 2);
    assert_eq!(tally.dropped(), 0);
    // Emptying the slot breaks the cycle: the task and its output are dropped, and with them the
    // last reference to the slot.
    let task = slot.take();
    drop(task);
    tally.expect_all_dropped();
}

thread_local! {
    static PLACES: RefCell<Vec<(Option<u64>, i32)>> = const { RefCell::new(Vec::new()) };
}

static PLACE: ContextVar<i32> = ContextVar::new("PLACE").with_default(|| 0);

fn note_place() {
    let task = running_loop().current_task().map(|task| task.id());
    PLACES.with_borrow_mut(|places| places.push((task, PLACE.get())));
}

// Design, section 5: a future is dropped with its own task and context current, whatever ends it.
#[test]
fn a_future_is_dropped_as_itself() {
    let (event_loop, _reports) = reporting_loop();
    let mut ids = Vec::new();
    for place in 1..=4 {
        let task = event_loop.run_until_complete(async {
            PLACE.set(place);
            let future = async move {
                let _noted = OnDrop(note_place);
                match place {
                    1 => turn().await,
                    2 => {
                        turn().await;
                        panic!("on purpose");
                    }
                    _ => std::future::pending().await,
                }
            };
            running_loop().spawn(future, TaskOptions::new()).unwrap()
        });
        let task = task.unwrap();
        run_turns(&event_loop, 1);
        if place == 3 {
            task.task().request_cancel();
        }
        run_turns(&event_loop, 3);
        ids.push(task.task().id());
    }
    event_loop.close().unwrap();
    let expected: Vec<_> = ids.into_iter().map(Some).zip(1..).collect();
    assert_eq!(PLACES.take(), expected);
}

// L-006: cancelling a callback drops its closure at once, in the callback's context and without a
// current task.
#[test]
fn a_cancelled_callback_is_dropped_at_once_in_its_context() {
    let event_loop = event_loop();
    event_loop
        .run_until_complete(async {
            PLACE.set(9);
            let noted = OnDrop(note_place);
            let handle = running_loop().call_soon(move || drop(noted));
            PLACE.set(10);
            handle.cancel();
            handle.cancel();
        })
        .unwrap();
    assert_eq!(PLACES.take(), [(None, 9)]);
}

// L-004, L-005: a callback that cancels itself, drops its own handle, and cancels the next one.
#[test]
fn callbacks_may_cancel_themselves_and_each_other() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let handles = Rc::new(RefCell::new(Vec::new()));
    for index in 0..4 {
        let (all, counted) = (Rc::clone(&handles), tally.counted());
        let handle = event_loop.call_soon(move || {
            assert!(index % 2 == 0, "cancelled by the previous callback");
            let mine: asyncio_loop::Handle = all.borrow_mut().remove(0);
            mine.cancel();
            counted.check();
            assert!(mine.is_cancelled());
            let next: asyncio_loop::Handle = all.borrow_mut().remove(0);
            next.cancel();
        });
        handles.borrow_mut().push(handle);
    }
    run_turns(&event_loop, 2);
    tally.expect_all_dropped();
}

// A closure that owns its own handle: a cycle that is broken by the run or the cancellation.
#[test]
fn a_callback_may_own_its_own_handle() {
    for cancel in [false, true] {
        let event_loop = event_loop();
        let tally = Tally::new();
        let own = Rc::new(RefCell::new(None));
        let handle = event_loop.call_soon({
            let (own, counted) = (Rc::clone(&own), tally.counted());
            move || drop((own, counted))
        });
        *own.borrow_mut() = Some(handle);
        if cancel {
            let own = own.take().unwrap();
            own.cancel();
        }
        drop(own);
        run_turns(&event_loop, 1);
        tally.expect_all_dropped();
    }
}

// `run_until_complete` takes futures and outputs that borrow: both end before it returns.
#[test]
fn a_borrowing_future_ends_before_its_run_returns() {
    let tally = Tally::new();
    let event_loop = event_loop();
    let waker = RefCell::new(None);
    let task = RefCell::new(None);
    {
        let local = [tally.counted(), tally.counted()];
        // Stopped: dropped unfinished.
        let stopped = event_loop.run_until_complete(async {
            let borrowed = &local;
            let owned = tally.counted();
            poll_fn(|cx| {
                *waker.borrow_mut() = Some((cx.waker().clone(), LoopWaker::from_context(cx)));
                Poll::Ready(())
            })
            .await;
            *task.borrow_mut() = running_loop().current_task();
            running_loop().stop();
            std::future::pending::<()>().await;
            owned.check();
            borrowed[0].check();
        });
        assert_eq!(stopped, Err(RunError::Stopped));
        assert_eq!(tally.dropped(), 1);
        // Cancelled.
        let cancelled = event_loop.run_until_complete(async {
            let borrowed = &local;
            running_loop().current_task().unwrap().request_cancel();
            std::future::pending::<()>().await;
            borrowed
        });
        assert!(matches!(cancelled, Err(RunError::Cancelled)));
        // The output borrows.
        let output = event_loop.run_until_complete(async { &local[1] }).unwrap();
        output.check();
        // Eager.
        let options = TaskOptions::new().eager_start(true);
        let output = event_loop.run_task(async { &local[0] }, options).unwrap();
        output.check();
    }
    // All borrowed values are dropped; the wakers and the task still exist.
    let (waker_, local) = waker.take().unwrap();
    waker_.wake();
    local.wake();
    let task: TaskRef = task.take().unwrap();
    task.wake();
    assert!(!task.request_cancel());
    assert!(task.is_cancelled());
    run_turns(&event_loop, 2);
    tally.expect_all_dropped();
}

// Promise 2: the last local reference of a task is dropped while another task is polled.
#[test]
fn references_to_finished_tasks_may_be_dropped_anywhere() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let wakers = Rc::new(RefCell::new(Vec::new()));
    for _ in 0..10 {
        let (wakers, counted) = (Rc::clone(&wakers), tally.counted());
        let task = poll_fn(move |cx| {
            counted.check();
            wakers.borrow_mut().push(LoopWaker::from_context(cx));
            Poll::Ready(())
        });
        event_loop.spawn(task, TaskOptions::new()).unwrap();
    }
    run_turns(&event_loop, 1);
    tally.expect_all_dropped();
    event_loop.call_soon({
        let wakers = Rc::clone(&wakers);
        move || {
            while let Some(waker) = wakers.borrow_mut().pop() {
                waker.wake_by_ref();
                waker.clone().wake();
            }
        }
    });
    run_turns(&event_loop, 2);
    assert_eq!(Rc::strong_count(&wakers), 1);
}

// Destructors of futures that complete, wake, cancel and spawn other tasks, whose destructors do
// the same.
#[test]
fn destructors_of_futures_may_work_on_other_tasks() {
    let (event_loop, _reports) = reporting_loop();
    let tally = Tally::new();
    let all: Rc<RefCell<Vec<RawTask<()>>>> = Rc::default();
    let drops = Rc::new(Cell::new(0));
    for index in 0..20 {
        let (all_, drops) = (Rc::clone(&all), Rc::clone(&drops));
        let (this, tally_) = (event_loop.loop_ref(), tally.clone());
        let guard = OnDrop(move || {
            drops.set(drops.get() + 1);
            let handle = all_.borrow_mut().pop();
            if let Some(task) = &handle {
                task.task().wake();
                task.task().request_cancel();
            }
            drop(handle);
            let _ = this.spawn(pending_with(tally_.counted()), TaskOptions::new());
            let eager = TaskOptions::new().eager_start(true);
            let _ = this.spawn(pending_with(tally_.counted()), eager);
        });
        let counted = tally.counted();
        let future = async move {
            let _guard = guard;
            if index % 3 == 0 {
                turn().await;
            } else {
                pending_with(counted).await;
            }
        };
        let task = event_loop.spawn(future, TaskOptions::new()).unwrap();
        all.borrow_mut().push(task);
    }
    run_turns(&event_loop, 30);
    event_loop.close().unwrap();
    assert_eq!(drops.get(), 20);
    all.borrow_mut().clear();
    tally.expect_all_dropped();
}
