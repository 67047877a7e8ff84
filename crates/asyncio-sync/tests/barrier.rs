//! Barrier, row by row.

mod common;

use std::cell::Cell;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::Poll;

use asyncio_sync::{Barrier, BrokenBarrier};
use common::{Id, Log, Turns, poll};

type Outcome = Result<usize, BrokenBarrier>;

/// A task that waits once.
fn party(turns: &Turns, barrier: &Rc<Barrier>, log: &Log<Outcome>) -> Id {
    let (barrier, log) = (barrier.clone(), log.clone());
    turns.spawn(async move { log.push(barrier.wait().await) })
}

fn broken(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| outcome.is_err()).count()
}

/// Polls `n` waits once each, so that a test can step through a round.
fn waits(barrier: &Barrier, n: usize) -> Vec<Pin<Box<impl Future<Output = Outcome>>>> {
    let mut waits: Vec<_> = (0..n).map(|_| Box::pin(barrier.wait())).collect();
    for wait in &mut waits {
        let _ = poll(wait.as_mut());
    }
    waits
}

#[test]
fn positions_are_the_order_of_arrival() {
    // Y-044
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    for _ in 0..3 {
        party(&turns, &barrier, &log);
    }
    turns.turn();
    assert_eq!(log.take(), [Ok(2)], "the last one does not suspend");
    turns.run();
    assert_eq!(log.take(), [Ok(0), Ok(1)]);
}

#[test]
fn positions_stay_distinct_after_a_cancellation() {
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    let first = party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    turns.cancel(first);
    party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    assert_eq!(log.take(), [Ok(2), Ok(0), Ok(1)]);
}

#[test]
fn one_party_never_waits() {
    // Y-045
    let barrier = Barrier::new(1);
    for _ in 0..3 {
        assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(0)));
    }
}

#[test]
#[should_panic(expected = "one party at least")]
fn no_party_is_refused() {
    // Y-045
    let _ = Barrier::new(0);
}

#[test]
fn rounds_follow_each_other() {
    // Y-046
    let (turns, barrier, rounds) = (Turns::new(), Rc::new(Barrier::new(3)), Rc::new(Cell::new(0)));
    for _ in 0..3 {
        let (barrier, rounds) = (barrier.clone(), rounds.clone());
        turns.spawn(async move {
            for _ in 0..4 {
                barrier.wait().await.expect("whole");
                rounds.set(rounds.get() + 1);
            }
        });
    }
    turns.run();
    assert_eq!(turns.unfinished(), 0);
    assert_eq!(rounds.get(), 12);
}

#[test]
fn who_comes_while_others_leave_waits_for_the_next_round() {
    // Y-048
    let barrier = Barrier::new(2);
    let mut first = pin!(barrier.wait());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(pin!(barrier.wait())).is_ready());
    let mut again = waits(&barrier, 2);
    assert_eq!(barrier.n_waiting(), 0, "the first party has not left");
    assert!(poll(again[0].as_mut()).is_pending());
    assert_eq!(poll(first), Poll::Ready(Ok(0)));
    assert!(poll(again[0].as_mut()).is_pending());
    assert_eq!(barrier.n_waiting(), 1);
    assert_eq!(poll(again[1].as_mut()), Poll::Ready(Ok(1)));
    assert_eq!(poll(again[0].as_mut()), Poll::Ready(Ok(0)));
}

#[test]
fn cancelling_one_does_not_break_it() {
    // Y-049
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(2)), Log::new());
    let cancelled = party(&turns, &barrier, &log);
    turns.run();
    assert_eq!(barrier.n_waiting(), 1);
    turns.cancel(cancelled);
    assert_eq!(barrier.n_waiting(), 0);
    assert!(!barrier.is_broken());
    party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    assert_eq!(log.take(), [Ok(1), Ok(0)]);
}

#[test]
fn cancelling_one_that_was_released_leaves_the_round_complete() {
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    let released = party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    party(&turns, &barrier, &log);
    turns.turn();
    turns.cancel(released);
    turns.run();
    assert_eq!(log.take(), [Ok(2), Ok(1)]);
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Filling, waiters: 0/3 }");
}

#[test]
fn debug_output_names_the_state() {
    // Y-050
    let barrier = Barrier::new(2);
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Filling, waiters: 0/2 }");
    let waiting = waits(&barrier, 1);
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Filling, waiters: 1/2 }");
    assert!(poll(pin!(barrier.wait())).is_ready());
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Draining, waiters: 0/2 }");
    barrier.reset();
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Resetting, waiters: 0/2 }");
    drop(waiting);
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Filling, waiters: 0/2 }");
    barrier.abort();
    assert_eq!(format!("{barrier:?}"), "Barrier { state: Broken }");
}

#[test]
fn reset_sends_those_who_wait_away() {
    // Y-051
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    barrier.reset();
    turns.run();
    assert_eq!(broken(&log.take()), 2);
    assert!(!barrier.is_broken());
    for _ in 0..3 {
        party(&turns, &barrier, &log);
    }
    turns.run();
    assert_eq!(log.take(), [Ok(2), Ok(0), Ok(1)]);
}

#[test]
fn reset_while_half_have_left() {
    // Y-052
    let barrier = Barrier::new(4);
    let mut round = waits(&barrier, 3);
    assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(3)));
    assert_eq!(poll(round[0].as_mut()), Poll::Ready(Ok(0)));
    barrier.reset();
    for wait in &mut round[1..] {
        assert!(matches!(poll(wait.as_mut()), Poll::Ready(Err(_))));
    }
    let mut next = waits(&barrier, 3);
    assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(3)));
    assert!(next.iter_mut().all(|wait| matches!(poll(wait.as_mut()), Poll::Ready(Ok(_)))));
}

#[test]
fn reset_spares_those_who_queue_for_the_next_round() {
    // Y-053
    let barrier = Barrier::new(3);
    let mut round = waits(&barrier, 2);
    assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(2)));
    let mut queueing = waits(&barrier, 2);
    barrier.reset();
    for wait in &mut round {
        assert!(matches!(poll(wait.as_mut()), Poll::Ready(Err(_))));
    }
    for wait in &mut queueing {
        assert!(poll(wait.as_mut()).is_pending());
    }
    assert_eq!(barrier.n_waiting(), 2);
    assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(2)));
    assert!(queueing.iter_mut().all(|wait| matches!(poll(wait.as_mut()), Poll::Ready(Ok(_)))));
}

#[test]
fn reset_by_the_last_one_to_leave() {
    // Y-054
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    let left = Rc::new(Cell::new(0));
    for _ in 0..3 {
        let (barrier, log, left) = (barrier.clone(), log.clone(), left.clone());
        turns.spawn(async move {
            log.push(barrier.wait().await);
            left.set(left.get() + 1);
            if left.get() == 3 {
                barrier.reset();
            }
            log.push(barrier.wait().await);
        });
    }
    turns.run();
    assert_eq!(turns.unfinished(), 0);
    assert_eq!(broken(&log.take()), 0);
}

#[test]
fn abort_breaks_it_for_all() {
    // Y-055
    let (turns, barrier, log) = (Turns::new(), Rc::new(Barrier::new(3)), Log::new());
    party(&turns, &barrier, &log);
    party(&turns, &barrier, &log);
    turns.run();
    barrier.abort();
    party(&turns, &barrier, &log);
    turns.run();
    let outcomes = log.take();
    assert_eq!((outcomes.len(), broken(&outcomes)), (3, 3));
    assert!(barrier.is_broken());
    assert_eq!(barrier.n_waiting(), 0);
    let error = outcomes[0].expect_err("counted above");
    assert_eq!(error.to_string(), "barrier is broken");

    barrier.reset();
    for _ in 0..3 {
        party(&turns, &barrier, &log);
    }
    turns.run();
    assert_eq!(broken(&log.take()), 0);
}

#[test]
fn abort_breaks_the_next_round_too() {
    // Y-056
    let barrier = Barrier::new(3);
    let mut round = waits(&barrier, 2);
    assert_eq!(poll(pin!(barrier.wait())), Poll::Ready(Ok(2)));
    let mut queueing = waits(&barrier, 2);
    assert_eq!(poll(round[0].as_mut()), Poll::Ready(Ok(0)));
    barrier.abort();
    assert!(matches!(poll(round[1].as_mut()), Poll::Ready(Err(_))));
    for wait in &mut queueing {
        assert!(matches!(poll(wait.as_mut()), Poll::Ready(Err(_))));
    }
    assert!(barrier.is_broken());
}
