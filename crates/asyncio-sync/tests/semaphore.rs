//! Semaphore and BoundedSemaphore, row by row.

mod common;

use std::pin::pin;
use std::rc::Rc;

use asyncio_sync::{BoundedSemaphore, Semaphore};
use common::{Id, Log, Turns, poll, yield_now};

/// A task that takes a permit for good.
fn taker(turns: &Turns, semaphore: &Rc<Semaphore>, log: &Log<i32>, name: i32) -> Id {
    let (semaphore, log) = (semaphore.clone(), log.clone());
    turns.spawn(async move {
        semaphore.acquire().await.forget();
        log.push(name);
    })
}

/// A semaphore of `permits` and tasks 1..=n that want one, polled once.
fn with_takers(permits: usize, n: i32) -> (Turns, Rc<Semaphore>, Log<i32>, Vec<Id>) {
    let (turns, semaphore, log) = (Turns::new(), Rc::new(Semaphore::new(permits)), Log::new());
    let ids = (1..=n).map(|name| taker(&turns, &semaphore, &log, name)).collect();
    turns.turn();
    (turns, semaphore, log, ids)
}

#[test]
fn gives_as_many_as_it_has() {
    // Y-032
    let semaphore = Semaphore::new(2);
    let first = semaphore.try_acquire().expect("one");
    let second = poll(pin!(semaphore.acquire()));
    assert!(second.is_ready());
    assert!(semaphore.is_locked());
    let mut third = pin!(semaphore.acquire());
    assert!(poll(third.as_mut()).is_pending());
    drop(first);
    assert!(poll(third.as_mut()).is_ready());
    assert!(poll(pin!(Semaphore::new(0).acquire())).is_pending());
}

#[test]
fn release_raises_beyond_the_initial_value() {
    // Y-033
    let semaphore = Semaphore::new(1);
    semaphore.release();
    assert_eq!(semaphore.available(), 2);
    assert_eq!(format!("{semaphore:?}"), "Semaphore { available: 2, waiters: 0 }");
}

#[test]
fn bounded_refuses_what_would_exceed() {
    // Y-034
    let semaphore = BoundedSemaphore::new(1);
    assert!(semaphore.release().is_err());
    assert_eq!(semaphore.available(), 1);

    let permit = semaphore.try_acquire().expect("free");
    let error = semaphore.release().expect_err("the permit releases itself");
    assert_eq!(error.to_string(), "semaphore released more often than acquired");
    permit.forget();
    assert!(semaphore.release().is_ok());
    assert!(semaphore.release().is_err());
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn serves_in_order_over_many_rounds() {
    // Y-035
    let (turns, semaphore, log) = (Turns::new(), Rc::new(Semaphore::new(1)), Log::new());
    for name in 1..=3 {
        let (semaphore, log) = (semaphore.clone(), log.clone());
        turns.spawn(async move {
            for _ in 0..2 {
                let _permit = semaphore.acquire().await;
                log.push(name);
                yield_now().await;
            }
        });
    }
    turns.run();
    assert_eq!(log.take(), [1, 2, 3, 1, 2, 3]);
}

#[test]
fn release_skips_the_cancelled() {
    // Y-038
    let (turns, semaphore, log, ids) = with_takers(0, 4);
    turns.cancel(ids[0]);
    turns.cancel(ids[1]);
    semaphore.release();
    turns.run();
    assert_eq!(log.take(), [3]);
    assert_eq!(turns.unfinished(), 1);
}

#[test]
fn cancel_and_release_in_one_turn() {
    // Y-039
    for cancel_first in [true, false] {
        let (turns, semaphore, log, ids) = with_takers(0, 2);
        if cancel_first {
            turns.cancel(ids[0]);
            semaphore.release();
        } else {
            semaphore.release();
            turns.cancel(ids[0]);
        }
        turns.run();
        assert_eq!(log.take(), [2]);
        assert!(semaphore.is_locked());
    }
}

#[test]
fn permit_of_a_cancelled_waiter_goes_on_or_back() {
    // Y-040
    let (turns, semaphore, log, ids) = with_takers(0, 2);
    semaphore.release();
    turns.cancel(ids[0]);
    turns.cancel(ids[1]);
    turns.run();
    assert!(log.take().is_empty());
    assert_eq!(semaphore.available(), 1);
    assert!(semaphore.try_acquire().is_some());
}

#[test]
fn holder_cancels_whom_it_woke() {
    // Y-041
    let (turns, semaphore, log, ids) = with_takers(1, 2);
    assert_eq!(log.take(), [1]);
    let releaser = semaphore.clone();
    semaphore.release();
    turns.cancel(ids[1]);
    let taken = poll(pin!(releaser.acquire()));
    assert!(taken.is_ready());
}

#[test]
fn two_releases_after_a_cancel_serve_two() {
    // Y-042
    let (turns, semaphore, log, ids) = with_takers(0, 3);
    turns.cancel(ids[0]);
    semaphore.release();
    semaphore.release();
    turns.run();
    assert_eq!(log.take(), [2, 3]);
}

#[test]
fn nobody_overtakes_a_woken_waiter() {
    let (turns, semaphore, log, _) = with_takers(0, 1);
    taker(&turns, &semaphore, &log, 2);
    semaphore.release();
    assert!(semaphore.is_locked(), "an acquire would have to wait");
    assert!(semaphore.try_acquire().is_none());
    turns.run();
    assert_eq!(log.take(), [1]);
}

#[test]
fn a_newcomer_comes_after_the_woken_even_if_there_is_enough_for_all() {
    let (turns, semaphore, log, _) = with_takers(0, 1);
    taker(&turns, &semaphore, &log, 2);
    semaphore.release();
    semaphore.release();
    semaphore.release();
    assert!(semaphore.is_locked());
    turns.run();
    assert_eq!(log.take(), [1, 2]);
    assert_eq!(semaphore.available(), 1);
}

#[test]
fn several_permits_serve_several_in_order() {
    let (turns, semaphore, log, _) = with_takers(0, 5);
    for _ in 0..3 {
        semaphore.release();
    }
    turns.turn();
    assert_eq!(log.take(), [1, 2, 3]);
    turns.run();
    assert_eq!(turns.unfinished(), 2);
}

#[test]
fn owned_permits_outlive_the_handle() {
    let semaphore = Rc::new(Semaphore::new(1));
    let permit = semaphore.clone().try_acquire_owned().expect("free");
    assert!(semaphore.clone().try_acquire_owned().is_none());
    let mut waiter = pin!(semaphore.clone().acquire_owned());
    assert!(poll(waiter.as_mut()).is_pending());
    drop(permit);
    assert!(poll(waiter.as_mut()).is_ready());
}

#[test]
fn a_semaphore_is_small() {
    assert!(size_of::<Semaphore>() <= 64);
}
