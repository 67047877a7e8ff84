//! `call_soon` and `Handle`.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{Context, Handle, context_var, running_loop};
use common::{Drops, Log, real_loop, run_ready, virtual_loop, yield_now};

// L-001
#[test]
fn callbacks_run_in_order_and_not_inside_the_call() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    for entry in ["a", "b", "c"] {
        event_loop.call_soon(log.entry(entry));
    }
    assert_eq!(log.take(), [""; 0]);
    run_ready(&event_loop);
    assert_eq!(log.take(), ["a", "b", "c"]);
    run_ready(&event_loop);
    assert_eq!(log.take(), [""; 0], "each callback runs once");
}

// L-002
#[test]
fn what_a_callback_schedules_waits_for_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.call_soon({
        let (event_loop, log) = (event_loop.loop_ref(), log.clone());
        move || {
            log.push("a");
            event_loop.call_soon(log.entry("c"));
            let turn = log.clone();
            event_loop.at_turn_end(Rc::new(move || turn.push("end of the turn")));
        }
    });
    event_loop.call_soon(log.entry("b"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["a", "b", "end of the turn", "c"]);
}

// A real clock makes the loop run many short turns at once; callbacks for the end of a turn are
// called in each of them.
#[test]
fn what_is_asked_for_at_the_end_of_a_turn_comes_before_the_next_one() {
    let event_loop = real_loop();
    let main = async {
        let called = Rc::new(Cell::new(0));
        for turn in 0..1000 {
            let count = Rc::clone(&called);
            let hook = move || count.set(count.get() + 1);
            running_loop().at_turn_end(Rc::new(hook));
            yield_now().await;
            assert_eq!(called.get(), turn + 1);
            yield_now().await;
        }
    };
    event_loop.run_until_complete(main).unwrap();
}

// L-004
#[test]
fn a_callback_cancels_another_one_of_the_same_turn() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let other = Rc::new(RefCell::new(None::<Handle>));
    event_loop.call_soon({
        let (log, other) = (log.clone(), other.clone());
        move || {
            log.push("x");
            other.borrow().as_ref().unwrap().cancel();
        }
    });
    other.replace(Some(event_loop.call_soon(log.entry("y"))));
    event_loop.call_soon(log.entry("z"));
    run_ready(&event_loop);
    assert_eq!(log.take(), ["x", "z"]);
}

// L-005
#[test]
fn cancel_may_come_at_any_time_and_again() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let (before, after) =
        (event_loop.call_soon(log.entry("a")), event_loop.call_soon(log.entry("b")));
    assert!(!before.is_cancelled());
    before.cancel();
    before.cancel();
    assert!(before.is_cancelled() && before.clone().is_cancelled());
    run_ready(&event_loop);
    assert_eq!(log.take(), ["b"]);
    assert!(!after.is_cancelled());
    after.cancel();
    assert!(after.is_cancelled());
    run_ready(&event_loop);
    assert_eq!(log.take(), [""; 0]);
}

// L-005
#[test]
fn a_callback_may_cancel_itself() {
    let event_loop = virtual_loop();
    let own = Rc::new(RefCell::new(None::<Handle>));
    let (ran, drops) = (Rc::new(Cell::new(false)), Drops::default());
    let handle = event_loop.call_soon({
        let (own, ran, guard) = (own.clone(), ran.clone(), drops.guard());
        move || {
            let _captured = &guard;
            own.borrow().as_ref().unwrap().cancel();
            ran.set(true);
        }
    });
    own.replace(Some(handle.clone()));
    run_ready(&event_loop);
    assert!(ran.get() && handle.is_cancelled());
    assert_eq!(drops.count(), 1);
}

// L-006
#[test]
fn cancel_drops_the_captures_at_once() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    let guard = drops.guard();
    let handle = event_loop.call_soon(move || drop(guard));
    assert_eq!(drops.count(), 0);
    handle.cancel();
    assert_eq!(drops.count(), 1);
    run_ready(&event_loop);
    assert_eq!(drops.count(), 1);
}

#[test]
fn captures_that_use_the_loop_while_they_are_dropped() {
    struct CallsSoon(asyncio_loop::LoopRef, Log);
    impl Drop for CallsSoon {
        fn drop(&mut self) {
            self.0.call_soon(self.1.entry("dropped"));
        }
    }
    let (event_loop, log) = (virtual_loop(), Log::default());
    let captured = CallsSoon(event_loop.loop_ref(), log.clone());
    event_loop.call_soon(move || drop(captured)).cancel();
    run_ready(&event_loop);
    assert_eq!(log.take(), ["dropped"]);
}

// L-040: several callbacks panic, and so do the destructors of their captures.
#[test]
fn the_loop_goes_on_after_panics() {
    struct PanicsOnDrop;
    impl Drop for PanicsOnDrop {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("captured");
            }
        }
    }
    let (event_loop, log) = (virtual_loop(), Log::default());
    let reports = Rc::new(RefCell::new(Vec::new()));
    event_loop.set_exception_handler(Some({
        let reports = reports.clone();
        Rc::new(move |_, context| reports.borrow_mut().push(context.panic().unwrap().to_owned()))
    }));
    event_loop.call_soon(|| panic!("body"));
    let captured = PanicsOnDrop;
    event_loop.call_soon(move || drop(captured));
    let captured = PanicsOnDrop;
    let cancelled = event_loop.call_later(std::time::Duration::MAX, move || drop(captured));
    event_loop.call_soon(log.entry("after"));
    event_loop.run_until_complete(async { cancelled.cancel() }).unwrap();
    assert_eq!(log.take(), ["after"]);
    assert_eq!(*reports.borrow(), ["body", "captured", "captured"], "one report for each panic");
}

// A callback that schedules itself forever does not starve timers and other threads.
#[test]
fn a_busy_loop_starves_nobody() {
    fn again(event_loop: asyncio_loop::LoopRef) {
        let this = event_loop.clone();
        event_loop.call_soon(move || again(this));
    }
    let event_loop = real_loop();
    again(event_loop.loop_ref());
    let (left, from_thread) = (Rc::new(Cell::new(2)), event_loop.handle());
    let done = {
        let (left, event_loop) = (left.clone(), event_loop.loop_ref());
        move || {
            left.set(left.get() - 1);
            if left.get() == 0 {
                event_loop.stop();
            }
        }
    };
    event_loop.call_later(std::time::Duration::from_millis(1), done.clone());
    // A closure from another thread cannot capture the loop's local value; it looks the value up on
    // the loop's thread.
    let arrived = event_loop.local::<Cell<bool>>();
    let thread = std::thread::spawn(move || {
        from_thread.call_soon_threadsafe(|| {
            asyncio_loop::running_loop().local::<Cell<bool>>().set(true);
        })
    });
    event_loop.call_soon(move || wait_for(arrived, done));
    event_loop.run_forever().unwrap();
    thread.join().unwrap().unwrap();
    assert_eq!(left.get(), 0);
}

fn wait_for(arrived: Rc<Cell<bool>>, done: impl FnOnce() + 'static) {
    if arrived.get() {
        done();
    } else {
        asyncio_loop::running_loop().call_soon(move || wait_for(arrived, done));
    }
}

context_var! { static LEVEL: u32 = 0; }

// A-021, for callbacks: each runs in the context of its registration, or in the given one.
#[test]
fn a_callback_runs_in_the_context_of_its_registration() {
    let (event_loop, seen) = (virtual_loop(), Rc::new(RefCell::new(Vec::new())));
    let look = || {
        let seen = seen.clone();
        move || {
            seen.borrow_mut().push(LEVEL.get());
            LEVEL.set(100);
        }
    };
    let given = Context::new();
    given.run(|| LEVEL.set(7));
    Context::new().run(|| {
        LEVEL.set(1);
        event_loop.call_soon(look());
        LEVEL.set(2);
        event_loop.call_soon(look());
        let (given, look) = (given.clone(), look());
        event_loop.call_soon(move || given.run(look));
    });
    run_ready(&event_loop);
    assert_eq!(*seen.borrow(), [1, 2, 7]);
    assert_eq!((LEVEL.get(), given.get(&LEVEL)), (0, Some(100)));
}

#[test]
fn a_turn_runs_what_was_ready_at_its_start() {
    let event_loop = virtual_loop();
    for _ in 0..100 {
        event_loop.call_soon(|| ());
    }
    run_ready(&event_loop);
    assert_eq!(
        event_loop.turns(),
        2,
        "one turn for all that was ready, one for the end of the run"
    );
}

// I-005
#[test]
fn a_handle_shows_its_callback_where_it_was_made_and_how_it_is() {
    fn tick() {}
    let event_loop = virtual_loop();
    let (handle, line) = (event_loop.call_soon(tick), line!());
    let timer = event_loop.call_later(Duration::from_secs(1), tick);
    let shows = |shown: String, state: &str, line: u32| {
        let (name, place) = ("tick", format!("tests/handle.rs:{line}:"));
        let as_expected = [name, &place, state].iter().all(|part| shown.contains(part));
        assert!(as_expected && shown.contains("cancelled") == (state == "cancelled"), "{shown}");
    };
    shows(format!("{handle:?}"), "", line);
    shows(format!("{timer:?}"), "", line + 1);
    handle.cancel();
    shows(format!("{handle:?}"), "cancelled", line);
    timer.cancel();
    shows(format!("{timer:?}"), "cancelled", line + 1);
    let (callback, line) = (event_loop.callback(tick), line!());
    callback.schedule();
    event_loop.run_until_complete(async {}).unwrap();
    shows(format!("{callback:?}"), "done", line);
}
