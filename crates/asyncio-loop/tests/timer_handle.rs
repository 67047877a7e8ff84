//! `call_later`, `call_at` and `TimerHandle`.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio_loop::{Context, LoopRef, LoopTime, context_var, running_loop};
use common::{Drops, Log, real_loop, run_ready, sleep, virtual_loop};

const SECOND: Duration = Duration::from_secs(1);

// L-008
#[test]
fn call_later_is_never_early_and_never_inside_the_call() {
    let (event_loop, delay) = (real_loop(), Duration::from_micros(1500));
    let (start, ran_at) = (event_loop.time(), Rc::new(Cell::new(None)));
    event_loop.call_later(delay, {
        let (event_loop, ran_at) = (event_loop.loop_ref(), ran_at.clone());
        move || {
            ran_at.set(Some(event_loop.time()));
            event_loop.stop();
        }
    });
    event_loop.run_forever().unwrap();
    assert!(ran_at.get().unwrap() - start >= delay);
}

// L-008, L-010
#[test]
fn a_deadline_that_is_over_runs_in_the_next_turn() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    event_loop.call_later(Duration::ZERO, log.entry("zero"));
    event_loop.call_at(LoopTime::default(), log.entry("past"));
    assert_eq!(log.take(), [""; 0]);
    run_ready(&event_loop);
    assert_eq!(log.take(), ["past", "zero"]);
}

// L-009
#[test]
fn timers_run_by_deadline_and_equal_ones_by_creation() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    event_loop.run_until_complete(sleep(3 * SECOND)).unwrap();
    let now = event_loop.time();
    event_loop.call_at(now - SECOND, log.entry("registered first"));
    event_loop.call_at(now - 2 * SECOND, log.entry("due first"));
    event_loop.call_at(now + SECOND, log.entry("second"));
    event_loop.call_later(SECOND, log.entry("third"));
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    assert_eq!(log.take(), ["due first", "registered first", "second", "third"]);
}

#[test]
fn when_is_the_deadline() {
    let event_loop = virtual_loop();
    let handle = event_loop.call_later(SECOND, || ());
    assert_eq!(handle.when(), event_loop.time() + SECOND);
    assert_eq!(event_loop.call_at(LoopTime::from_nanos(5), || ()).when().as_nanos(), 5);
}

// L-005, L-006
#[test]
fn cancel_takes_the_timer_and_its_captures_out_at_once() {
    let (event_loop, drops) = (virtual_loop(), Drops::default());
    let guard = drops.guard();
    let handle = event_loop.call_later(3600 * SECOND, move || drop(guard));
    assert_eq!((drops.count(), event_loop.timer_count()), (0, 1));
    handle.cancel();
    assert_eq!((drops.count(), event_loop.timer_count()), (1, 0));
    handle.cancel();
    assert!(handle.is_cancelled());
}

#[test]
fn cancelling_a_timer_that_has_run_leaves_others_alone() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let first = event_loop.call_later(SECOND, log.entry("first"));
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    event_loop.call_later(SECOND, log.entry("second"));
    first.cancel();
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    assert_eq!(log.take(), ["first", "second"]);
}

// L-012
#[test]
fn cancelled_timers_are_not_stored() {
    let (event_loop, log) = (virtual_loop(), Log::default());
    let live = event_loop.call_later(SECOND, log.entry("live"));
    let timers: Vec<_> =
        (0..1_000_000).map(|_| event_loop.call_later(3600 * SECOND, || ())).collect();
    assert_eq!(event_loop.timer_count(), 1_000_001);
    timers.iter().for_each(|timer| timer.cancel());
    assert_eq!(event_loop.timer_count(), 1);
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    assert_eq!(log.take(), ["live"]);
    assert!(!live.is_cancelled());
}

/// Runs the loop, which polls until its next timer is due, until another thread stops it.
fn wait_until_stopped(event_loop: &LoopRef) {
    let (sender, receiver) = mpsc::channel();
    event_loop.call_soon(move || sender.send(()).unwrap());
    let handle = event_loop.handle();
    let thread = thread::spawn(move || {
        receiver.recv().unwrap();
        handle.call_soon_threadsafe(|| running_loop().stop()).unwrap();
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap();
}

// L-013
#[test]
fn enormous_delays_are_legal() {
    let event_loop = real_loop();
    let never = event_loop.call_later(Duration::MAX, || unreachable!("the timer never fires"));
    assert_eq!(never.when(), LoopTime::MAX);
    event_loop.call_at(LoopTime::MAX, || unreachable!("the timer never fires"));
    wait_until_stopped(&event_loop);
    let year = event_loop.call_later(365 * 24 * 3600 * SECOND, || unreachable!("a year passed"));
    wait_until_stopped(&event_loop);
    assert!(year.when() < never.when());
    assert_eq!(event_loop.timer_count(), 3);
}

#[test]
fn a_virtual_clock_reaches_any_deadline() {
    let event_loop = virtual_loop();
    let century = 100 * 365 * 24 * 3600 * SECOND;
    event_loop.run_until_complete(sleep(century)).unwrap();
    assert_eq!(event_loop.time() - LoopTime::default(), century);
}

// L-014
#[test]
fn short_sleeps_take_few_turns() {
    let event_loop = real_loop();
    let nanos = [10_000_000, 100_000, 1_000, 10, 0];
    event_loop
        .run_until_complete(async {
            for nanos in nanos {
                sleep(Duration::from_nanos(nanos)).await;
            }
        })
        .unwrap();
    assert!(event_loop.turns() <= 20, "{} turns", event_loop.turns());
}

#[test]
fn a_timer_that_sets_the_next_one_does_not_fall_behind() {
    fn tick(event_loop: asyncio_loop::LoopRef, left: u32) {
        if left == 0 {
            return event_loop.stop();
        }
        let this = event_loop.clone();
        event_loop.call_later(SECOND, move || tick(this, left - 1));
    }
    let event_loop = virtual_loop();
    tick(event_loop.loop_ref(), 1000);
    event_loop.run_forever().unwrap();
    assert_eq!(event_loop.time() - LoopTime::default(), 1000 * SECOND);
}

context_var! { static LEVEL: u32 = 0; }

// A-021, for timers.
#[test]
fn a_timer_runs_in_the_context_of_its_registration() {
    let (event_loop, seen) = (virtual_loop(), Rc::new(Cell::new((0, 0))));
    let given = Context::new();
    given.run(|| LEVEL.set(7));
    Context::new().run(|| {
        LEVEL.set(1);
        let first = seen.clone();
        event_loop.call_later(SECOND, move || first.set((LEVEL.get(), 0)));
        let second = seen.clone();
        let look = move || second.set((second.get().0, LEVEL.get()));
        event_loop.call_later(SECOND, move || given.run(look));
        LEVEL.set(2);
    });
    event_loop.run_until_complete(sleep(SECOND)).unwrap();
    assert_eq!(seen.get(), (1, 7));
}
