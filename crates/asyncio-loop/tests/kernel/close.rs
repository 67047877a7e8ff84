//! Closing a loop: what destructors may do meanwhile, and which code may close it when.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{EventLoop, LoopRef, LoopWaker, RunError, TaskOptions};

use crate::support::{OnDrop, Tally, event_loop, pending_with, reporting_loop, run_turns, turn};

/// Calls everything that a destructor may call on its loop.
fn pester(event_loop: &LoopRef, tally: &Tally) {
    let counted = || tally.counted();
    event_loop.call_soon({
        let counted = counted();
        move || unreachable!("{}", size_of_val(&counted))
    });
    let timer = event_loop.call_later(Duration::ZERO, {
        let counted = counted();
        move || unreachable!("{}", size_of_val(&counted))
    });
    timer.cancel();
    assert_eq!(event_loop.timer_count(), event_loop.timer_count());
    let callback = event_loop.callback({
        let counted = counted();
        move || unreachable!("{}", size_of_val(&counted))
    });
    callback.schedule();
    callback.cancel();
    assert!(event_loop.spawn(pending_with(counted()), TaskOptions::new()).is_err());
    let eager = TaskOptions::new().eager_start(true);
    assert!(event_loop.spawn(pending_with(counted()), eager).is_err());
    assert!(event_loop.handle().call_soon_threadsafe(|| unreachable!()).is_err());
    event_loop.at_turn_end(Rc::new({
        let counted = counted();
        move || unreachable!("{}", size_of_val(&counted))
    }));
    event_loop.stop();
    assert!(event_loop.run_forever().is_err());
    assert!(event_loop.run_until_complete(pending_with(counted())).is_err());
    let _ = event_loop.close();
    event_loop.all_tasks().iter().for_each(|task| {
        task.wake();
        task.request_cancel();
    });
    assert!(event_loop.is_closed());
}

// L-027, promises 3 and 5
#[test]
fn destructors_may_do_anything_while_the_loop_closes() {
    let (event_loop, reports) = reporting_loop();
    let tally = Tally::new();
    let calls = Rc::new(Cell::new(0));
    let pest = || {
        let (this, calls, tally) = (event_loop.loop_ref(), Rc::clone(&calls), tally.clone());
        let counted = tally.counted();
        OnDrop(move || {
            counted.check();
            calls.set(calls.get() + 1);
            pester(&this, &tally);
        })
    };
    event_loop.spawn(pending_with(pest()), TaskOptions::new()).unwrap();
    event_loop.spawn(pending_with(pest()), TaskOptions::new()).unwrap();
    run_turns(&event_loop, 2);
    event_loop.spawn(pending_with(pest()), TaskOptions::new()).unwrap();
    event_loop.call_soon({
        let pest = pest();
        move || drop(pest)
    });
    event_loop.call_later(Duration::from_secs(1), {
        let pest = pest();
        move || drop(pest)
    });
    event_loop.at_turn_end(Rc::new({
        let pest = pest();
        move || panic!("{}", size_of_val(&pest))
    }));
    event_loop.close().unwrap();
    assert_eq!(calls.get(), 6);
    tally.expect_all_dropped();
    // The first task to be dropped cancels the others, so they are not reported as destroyed.
    reports.expect(&["pending"]);
    assert_eq!(event_loop.timer_count(), 0);
}

// L-027: a timer's callback holds the handle of another timer, and of its own.
#[test]
fn a_timer_that_is_dropped_by_close_may_cancel_timers() {
    let event_loop = event_loop();
    let tally = Tally::new();
    for _ in 0..3 {
        let other = event_loop.call_later(Duration::from_secs(5), || unreachable!());
        let own = Rc::new(RefCell::new(None::<asyncio_loop::TimerHandle>));
        let canceller = OnDrop({
            let (this, own, counted) = (event_loop.loop_ref(), Rc::clone(&own), tally.counted());
            move || {
                counted.check();
                other.cancel();
                let own = own.borrow();
                own.as_ref().unwrap().cancel();
                assert!(this.timer_count() < 10);
            }
        });
        let handle = event_loop.call_later(Duration::from_secs(1), move || drop(canceller));
        *own.borrow_mut() = Some(handle);
    }
    event_loop.close().unwrap();
    tally.expect_all_dropped();
}

// L-027: timers that wait in a future that another timer's callback owns.
#[test]
fn a_deadline_inside_a_timers_callback_ends_with_it() {
    let (event_loop, reports) = reporting_loop();
    let waker = Rc::new(RefCell::new(None));
    event_loop
        .run_until_complete(poll_fn(|cx| {
            *waker.borrow_mut() = Some(LoopWaker::from_context(cx));
            Poll::Ready(())
        }))
        .unwrap();
    let waker = waker.take().unwrap();
    let deadline = event_loop.wake_at(event_loop.time() + Duration::from_secs(9), waker);
    event_loop.call_later(Duration::from_secs(1), move || drop(deadline));
    event_loop.close().unwrap();
    assert_eq!(event_loop.timer_count(), 0);
    reports.expect(&[]);
}

// Promise 3: a task that was started outside of a run cannot close its own loop.
#[test]
fn a_task_started_eagerly_outside_of_a_run_cannot_lose_its_future() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let (this, counted) = (event_loop.loop_ref(), tally.counted());
    let closes = async move {
        let closed = this.close();
        counted.check();
        turn().await;
        counted.check();
        closed
    };
    let mut task = event_loop.spawn(closes, TaskOptions::new().eager_start(true)).unwrap();
    run_turns(&event_loop, 3);
    assert!(matches!(task.take(), Some(asyncio_loop::Outcome::Value(Err(_)))));
    tally.expect_all_dropped();
}

// The factory is user code, which may close the loop between the two checks for a closed loop.
#[test]
fn a_factory_that_closes_the_loop_gets_no_task() {
    let event_loop = event_loop();
    let tally = Tally::new();
    event_loop.set_task_factory(Some(Rc::new(|event_loop: &LoopRef, _: &mut TaskOptions| {
        event_loop.close().unwrap();
    })));
    for eager in [false, true] {
        let options = TaskOptions::new().eager_start(eager);
        assert!(event_loop.spawn(pending_with(tally.counted()), options).is_err());
    }
    drop(event_loop);
    tally.expect_all_dropped();
}

// L-024: the loop is dropped inside its own run, and its callbacks refer back to it.
#[test]
fn a_loop_that_is_dropped_inside_its_run_closes_at_the_end_of_it() {
    let tally = Tally::new();
    let event_loop = event_loop();
    let this = event_loop.loop_ref();
    this.call_later(Duration::from_secs(1), {
        let (this, counted) = (this.clone(), tally.counted());
        move || unreachable!("{} {:?}", size_of_val(&counted), this)
    });
    this.spawn(pending_with((this.clone(), tally.counted())), TaskOptions::new()).unwrap();
    this.run_until_complete(async move {
        drop(event_loop);
        turn().await;
    })
    .unwrap();
    assert!(this.is_closed());
    tally.expect_all_dropped();
    assert_eq!(this.run_forever(), Err(RunError::Closed));
}

// L-024, L-025: a callback of one loop closes another loop that is not running.
#[test]
fn a_callback_may_close_another_loop() {
    let (outer, inner) = (event_loop(), event_loop());
    let tally = Tally::new();
    inner.spawn(pending_with(tally.counted()), TaskOptions::new()).unwrap();
    inner.call_soon({
        let counted = tally.counted();
        move || drop(counted)
    });
    outer.run_until_complete(async { inner.close().unwrap() }).unwrap();
    tally.expect_all_dropped();
    assert!(!outer.is_closed());
}

// L-025, L-032: handles of a closed loop can be called, and have no effect.
#[test]
fn handles_of_every_kind_survive_the_loop() {
    let tally = Tally::new();
    let event_loop = event_loop();
    let handle = event_loop.call_soon({
        let counted = tally.counted();
        move || drop(counted)
    });
    let timer = event_loop.call_later(Duration::from_secs(1), {
        let counted = tally.counted();
        move || drop(counted)
    });
    let callback = event_loop.callback({
        let counted = tally.counted();
        move || drop(counted)
    });
    let wakers = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&wakers);
    let mut raw = event_loop
        .spawn(
            pending_with((
                tally.counted(),
                poll_fn(|_| Poll::<()>::Pending), // a future that is never polled
            )),
            TaskOptions::new().name("survivor"),
        )
        .unwrap();
    let task = raw.task().clone();
    event_loop
        .spawn(
            poll_fn(move |cx| {
                kept.borrow_mut().push((LoopWaker::from_context(cx), cx.waker().clone()));
                Poll::<()>::Pending
            }),
            TaskOptions::new(),
        )
        .unwrap();
    run_turns(&event_loop, 1);
    let door = event_loop.handle();
    let this = event_loop.loop_ref();
    let handle2 = event_loop.call_soon(|| unreachable!());
    drop(event_loop);

    for _ in 0..2 {
        handle.cancel();
        handle2.cancel();
        timer.cancel();
        callback.schedule();
        task.wake();
        assert!(!task.request_cancel());
        task.set_name("ghost");
        assert_eq!(&*task.name(), "ghost");
        assert!(task.is_cancelled());
        assert!(task.set_supervisor(None).is_none());
        task.on_done(callback.clone());
        assert_eq!(task.remove_on_done(&callback), 0);
        for (local, waker) in &*wakers.borrow() {
            local.wake_by_ref();
            waker.wake_by_ref();
            let again = LoopWaker::from_waker(waker);
            again.wake_by_ref();
            local.clone().wake();
            assert!(local.task().unwrap().is_done());
        }
        assert!(door.call_soon_threadsafe(|| ()).is_err());
        this.call_soon(|| unreachable!());
        assert!(matches!(raw.peek(), Some(asyncio_loop::Outcome::Cancelled)));
    }
    assert!(matches!(raw.take(), Some(asyncio_loop::Outcome::Cancelled)));
    drop((handle, handle2, timer, callback, raw, task, wakers, this));
    tally.expect_all_dropped();
}

thread_local! {
    static KEPT_LOOP: RefCell<Option<EventLoop>> = const { RefCell::new(None) };
    static KEPT: RefCell<Vec<Box<dyn std::any::Any>>> = const { RefCell::new(Vec::new()) };
}

/// A future that stores references to its own task in a thread-local.
async fn keeps_its_wakers() {
    poll_fn(|cx| {
        let wakers = (LoopWaker::from_context(cx), cx.waker().clone());
        let wakes = OnDrop({
            let (local, waker) = (LoopWaker::from_context(cx), cx.waker().clone());
            move || {
                local.wake_by_ref();
                waker.wake_by_ref();
                LoopWaker::from_waker(&waker).wake();
            }
        });
        KEPT.with_borrow_mut(|kept| kept.extend([Box::new(wakers) as _, Box::new(wakes) as _]));
        Poll::<()>::Pending
    })
    .await;
}

fn live_in_thread_locals(touch_first: fn()) {
    let thread = std::thread::spawn(move || {
        touch_first();
        let event_loop = event_loop();
        event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
        let tally = Tally::new();
        let task = event_loop.spawn(keeps_its_wakers(), TaskOptions::new()).unwrap();
        let counted = tally.counted();
        let callback = event_loop.callback(move || drop(counted));
        run_turns(&event_loop, 2);
        let timer = event_loop.call_later(Duration::from_secs(1), || unreachable!());
        let handle = event_loop.call_soon(|| unreachable!());
        let this = event_loop.loop_ref();
        let cancels = OnDrop({
            let (this, callback) = (this.clone(), callback.clone());
            move || {
                callback.cancel();
                let _ = format!("{this:?}");
                this.call_soon(|| unreachable!()).cancel();
                let _ = this.close();
            }
        });
        let things: [Box<dyn std::any::Any>; 7] = [
            Box::new(task),
            Box::new(callback),
            Box::new(timer),
            Box::new(handle),
            Box::new(this),
            Box::new(cancels),
            Box::new(event_loop.handle()),
        ];
        KEPT.with_borrow_mut(|kept| kept.extend(things));
        KEPT_LOOP.set(Some(event_loop));
    });
    thread.join().unwrap();
}

// Promises 1 and 2: the loop and its tasks are destroyed with the thread-locals of a thread, in
// either order.
#[test]
fn a_loop_in_a_thread_local_closes_when_the_thread_ends() {
    live_in_thread_locals(|| ());
    live_in_thread_locals(|| KEPT.with_borrow_mut(Vec::clear));
    live_in_thread_locals(|| drop(KEPT_LOOP.take()));
    live_in_thread_locals(|| {
        KEPT.with_borrow_mut(Vec::clear);
        drop(KEPT_LOOP.take());
    });
    live_in_thread_locals(|| {
        drop(KEPT_LOOP.take());
        KEPT.with_borrow_mut(Vec::clear);
    });
}

// L-027: handles that are never dropped keep only their own memory alive, not the future or
// closure.
#[test]
fn handles_that_are_never_dropped_do_no_harm() {
    let event_loop = event_loop();
    let tally = Tally::new();
    let task = event_loop.spawn(pending_with(tally.counted()), TaskOptions::new()).unwrap();
    let done = event_loop.spawn(async { 1 }, TaskOptions::new()).unwrap();
    let counted = tally.counted();
    let handle = event_loop.call_soon(move || drop(counted));
    let counted = tally.counted();
    let timer = event_loop.call_later(Duration::from_secs(1), move || drop(counted));
    run_turns(&event_loop, 1);
    let forgotten = std::mem::ManuallyDrop::new((task, done, handle, timer));
    drop(event_loop);
    tally.expect_all_dropped();
    // Frees the memory, so that the leak sanitizer does not report it.
    drop(std::mem::ManuallyDrop::into_inner(forgotten));
}
