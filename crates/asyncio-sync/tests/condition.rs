//! Condition, row by row.

mod common;

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use asyncio_sync::{Condition, Lock};
use common::{Id, Log, Turns, poll};

/// A task that waits once, logs its name, and releases the lock.
fn waiter(turns: &Turns, condition: &Rc<Condition>, log: &Log<i32>, name: i32) -> Id {
    let (condition, log) = (condition.clone(), log.clone());
    turns.spawn(async move {
        let guard = condition.acquire().await;
        let _guard = condition.wait(guard).await;
        log.push(name);
    })
}

/// A condition and tasks 1..=n that wait at it.
fn with_waiters(n: i32) -> (Turns, Rc<Condition>, Log<i32>, Vec<Id>) {
    let (turns, condition, log) = (Turns::new(), Rc::new(Condition::default()), Log::new());
    let ids = (1..=n).map(|name| waiter(&turns, &condition, &log, name)).collect();
    turns.run();
    (turns, condition, log, ids)
}

fn notify(condition: &Condition, n: usize) {
    condition.notify(&condition.try_acquire().expect("the lock is free"), n);
}

fn notify_all(condition: &Condition) {
    condition.notify_all(&condition.try_acquire().expect("the lock is free"));
}

#[test]
#[should_panic(expected = "not one of this condition's lock")]
fn notify_without_holding_the_lock() {
    // Y-018: calling `notify` without any guard does not compile
    let (condition, other) = (Condition::default(), Lock::new(()));
    condition.notify(&other.try_acquire().expect("free"), 1);
}

#[test]
#[should_panic(expected = "not one of this condition's lock")]
fn wait_without_holding_the_lock() {
    // Y-018
    let (condition, other) = (Condition::default(), Lock::new(()));
    let _ = poll(pin!(condition.wait(other.try_acquire().expect("free"))));
}

#[test]
fn wait_releases_the_lock_and_has_it_again() {
    // Y-019
    let condition = Condition::new(0);
    let mut wait = pin!(condition.wait(condition.try_acquire().expect("free")));
    assert!(poll(wait.as_mut()).is_pending());
    {
        let mut guard = condition.try_acquire().expect("released");
        *guard = 7;
        condition.notify(&guard, 1);
        assert!(poll(wait.as_mut()).is_pending(), "the lock is still held");
    }
    let std::task::Poll::Ready(guard) = poll(wait) else {
        panic!("notified, and the lock is free")
    };
    assert_eq!(*guard, 7);
    assert!(condition.is_locked());
}

#[test]
fn notify_wakes_so_many_in_order() {
    // Y-021
    let (turns, condition, log, _) = with_waiters(6);
    notify(&condition, 1);
    turns.run();
    assert_eq!(log.take(), [1]);
    notify(&condition, 2);
    turns.run();
    assert_eq!(log.take(), [2, 3]);
    notify(&condition, 100);
    turns.run();
    assert_eq!(log.take(), [4, 5, 6]);
    notify(&condition, 0);

    let (turns, condition, log, _) = with_waiters(3);
    notify_all(&condition);
    turns.run();
    assert_eq!(log.take(), [1, 2, 3]);
}

#[test]
fn wait_for_looks_again_under_the_lock() {
    // Y-023
    let condition = Condition::new(0);
    let ready = poll(pin!(condition.wait_for(condition.try_acquire().expect("free"), |n| *n == 0)));
    assert!(ready.is_ready(), "true from the start");
    drop(ready);

    let looks = Cell::new(0);
    let mut wait = pin!(condition.wait_for(condition.try_acquire().expect("free"), |n| {
        looks.set(looks.get() + 1);
        *n == 2
    }));
    assert!(poll(wait.as_mut()).is_pending());
    for n in 1..=2 {
        let mut guard = condition.try_acquire().expect("the waiter released it");
        *guard = n;
        condition.notify(&guard, 1);
        drop(guard);
        assert_eq!(poll(wait.as_mut()).is_ready(), n == 2);
    }
    assert_eq!(looks.get(), 3);
}

#[test]
fn two_conditions_on_one_lock() {
    // Y-024
    let lock = Rc::new(Lock::new(()));
    let (one, two) = (Condition::with_lock(lock.clone()), Condition::with_lock(lock.clone()));
    let guard = one.try_acquire().expect("free");
    assert!(two.is_locked() && two.try_acquire().is_none());
    let mut wait = pin!(one.wait(guard));
    assert!(poll(wait.as_mut()).is_pending());
    notify(&two, 1);
    assert!(poll(wait.as_mut()).is_pending(), "each condition has its own waiters");
    notify(&one, 1);
    assert!(poll(wait).is_ready());
}

#[test]
fn owned_guards_wait_too() {
    let condition = Condition::new(1);
    let guard = condition.lock().clone().try_acquire_owned().expect("free");
    let mut wait = pin!(condition.wait(guard));
    assert!(poll(wait.as_mut()).is_pending());
    notify(&Condition::default(), 1);
    condition.notify(&condition.try_acquire().expect("released"), 1);
    assert!(poll(wait).is_ready());
}

#[test]
fn cancelled_before_the_notification() {
    // Y-025
    let (turns, condition, log, ids) = with_waiters(2);
    turns.cancel(ids[0]);
    assert!(!condition.is_locked());
    assert!(format!("{condition:?}").contains("waiters: 1"));
    notify(&condition, 1);
    turns.run();
    assert_eq!(log.take(), [2]);
}

#[test]
fn cancelled_while_it_queues_for_the_lock() {
    // Y-026
    let (turns, condition, log, ids) = with_waiters(1);
    let guard = condition.try_acquire().expect("free");
    condition.notify(&guard, 1);
    turns.run();
    assert!(!turns.is_done(ids[0]), "notified, and the lock is held");
    turns.cancel(ids[0]);
    drop(guard);
    assert!(condition.try_acquire().is_some());
    assert!(log.take().is_empty());
}

#[test]
fn notification_of_a_cancelled_waiter_goes_to_the_next() {
    // Y-027
    let (turns, condition, log, ids) = with_waiters(2);
    notify(&condition, 1);
    turns.cancel(ids[0]);
    turns.run();
    assert_eq!(log.take(), [2]);
}

#[test]
fn notification_of_a_waiter_cancelled_at_the_lock_goes_to_the_next() {
    // Y-028
    let (turns, condition, log, ids) = with_waiters(2);
    let guard = condition.try_acquire().expect("free");
    condition.notify(&guard, 1);
    turns.run();
    turns.cancel(ids[0]);
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [2]);
}

#[test]
fn an_extra_wake_up_is_harmless() {
    // Y-031: the predicate is evaluated again, so an extra wake does no harm
    let (turns, condition, log) = (Turns::new(), Rc::new(Condition::new(0)), Log::new());
    for name in 1..=2 {
        let (condition, log) = (condition.clone(), log.clone());
        turns.spawn(async move {
            let mut guard = condition.wait_for(condition.acquire().await, |n| *n > 0).await;
            *guard -= 1;
            log.push(name);
        });
    }
    turns.run();
    let mut guard = condition.try_acquire().expect("free");
    *guard = 1;
    condition.notify_all(&guard);
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [1]);
    assert_eq!(turns.unfinished(), 1);
}

#[test]
fn a_wait_that_was_never_polled_gives_the_lock_back() {
    let condition = Condition::new(());
    drop(condition.wait(condition.try_acquire().expect("free")));
    assert!(!condition.is_locked());
}
