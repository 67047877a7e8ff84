//! Lock, row by row.

mod common;

use std::pin::pin;
use std::rc::Rc;

use asyncio_sync::{Guard, Lock, OwnedLockGuard};
use common::{Id, Log, Turns, poll, yield_now};

/// A task that takes the lock, says so, and holds it forever.
fn holder(turns: &Turns, lock: &Rc<Lock>, log: &Log<&'static str>, name: &'static str) -> Id {
    let (lock, log) = (lock.clone(), log.clone());
    turns.spawn(async move {
        let _guard = lock.acquire().await;
        log.push(name);
        std::future::pending::<()>().await;
    })
}

/// A lock that is held.
fn held() -> (Rc<Lock>, OwnedLockGuard) {
    let lock = Rc::new(Lock::default());
    let guard = lock.clone().try_acquire_owned().expect("the lock is free");
    (lock, guard)
}

#[test]
fn serves_one_at_a_time_in_order() {
    // Y-001
    let (turns, log) = (Turns::new(), Log::new());
    let (lock, guard) = held();
    for name in ["a", "b", "c"] {
        let (lock, log) = (lock.clone(), log.clone());
        turns.spawn(async move {
            let _guard = lock.acquire().await;
            log.push(name);
            yield_now().await;
        });
    }
    turns.run();
    assert!(log.take().is_empty());

    drop(guard);
    turns.turn();
    assert_eq!(log.take(), ["a"]);
    turns.run();
    assert_eq!(log.take(), ["b", "c"]);
    assert!(!lock.is_locked());
}

#[test]
fn nobody_overtakes_a_woken_waiter() {
    let (turns, log) = (Turns::new(), Log::new());
    let (lock, guard) = held();
    holder(&turns, &lock, &log, "waiter");
    turns.run();
    holder(&turns, &lock, &log, "newcomer"); // its first poll comes before the waiter's next one
    drop(guard);
    assert!(lock.try_acquire().is_none(), "promised to the waiter");
    turns.run();
    assert_eq!(log.take(), ["waiter"]);
}

#[test]
fn cancelled_waiter_leaves_no_trace() {
    // Y-004
    let (turns, log) = (Turns::new(), Log::new());
    let (lock, guard) = held();
    let waiter = holder(&turns, &lock, &log, "waiter");
    turns.run();
    assert!(format!("{lock:?}").contains("waiters: 1"));
    turns.cancel(waiter);
    assert!(format!("{lock:?}").contains("waiters: 0"));
    drop(guard);
    assert!(lock.try_acquire().is_some());
}

#[test]
fn cancel_and_release_in_one_turn() {
    // Y-005
    for cancel_first in [true, false] {
        let (turns, log) = (Turns::new(), Log::new());
        let (lock, guard) = held();
        let b = holder(&turns, &lock, &log, "b");
        holder(&turns, &lock, &log, "c");
        turns.run();
        if cancel_first {
            turns.cancel(b);
            drop(guard);
        } else {
            drop(guard);
            turns.cancel(b);
        }
        turns.run();
        assert_eq!(log.take(), ["c"]);
    }
}

#[test]
fn exactly_one_of_the_rest_gets_it() {
    // Y-007
    let (turns, log) = (Turns::new(), Log::new());
    let lock = Rc::new(Lock::default());
    let first = holder(&turns, &lock, &log, "first");
    let second = holder(&turns, &lock, &log, "second");
    holder(&turns, &lock, &log, "third");
    holder(&turns, &lock, &log, "fourth");
    turns.run();
    turns.cancel(second);
    turns.cancel(first);
    turns.run();
    assert_eq!(log.take(), ["first", "third"]);
    assert_eq!(turns.unfinished(), 2);
}

#[test]
fn waiter_that_gives_up_after_it_was_woken_leaves_the_lock_free() {
    // Y-008: a timeout around `acquire` drops it
    let (lock, guard) = held();
    let mut limited = Box::pin(lock.acquire());
    assert!(poll(limited.as_mut()).is_pending());
    drop(guard);
    drop(limited);
    assert!(lock.try_acquire().is_some());
}

#[test]
fn newcomer_does_not_queue_behind_cancelled_waiters() {
    // Y-009
    let (lock, guard) = held();
    let mut waiters = [Box::pin(lock.acquire()), Box::pin(lock.acquire())];
    for waiter in &mut waiters {
        assert!(poll(waiter.as_mut()).is_pending());
    }
    drop(waiters);
    drop(guard);
    assert!(poll(pin!(lock.acquire())).is_ready());
}

#[test]
fn another_task_may_release() {
    // Y-010
    let turns = Turns::new();
    let lock = Rc::new(Lock::<()>::default());
    let (inbox, log) = (Log::new(), Log::new());
    let (taken, taker) = (inbox.clone(), lock.clone());
    turns.spawn(async move { taken.push(taker.acquire_owned().await) });
    turns.run();
    assert!(lock.is_locked());
    let (waiting, done) = (lock.clone(), log.clone());
    turns.spawn(async move {
        drop(waiting.acquire().await);
        done.push("got it");
    });
    turns.run();
    turns.spawn(async move { drop(inbox.take()) });
    turns.run();
    assert_eq!(log.take(), ["got it"]);
}

#[test]
fn every_way_out_releases() {
    // Y-011
    let lock = Rc::new(Lock::<()>::default());
    async fn failing(lock: &Lock) -> Result<(), &'static str> {
        let _guard = lock.acquire().await;
        Err("failed")
    }
    assert!(poll(pin!(failing(&lock))).is_ready());
    assert!(!lock.is_locked(), "an error");

    let turns = Turns::new();
    let cancelled = holder(&turns, &lock, &Log::new(), "");
    turns.run();
    assert!(lock.is_locked());
    turns.cancel(cancelled);
    assert!(!lock.is_locked(), "a cancellation");

    let panicking = std::panic::AssertUnwindSafe(|| {
        let _guard = lock.try_acquire();
        panic!("in the guarded block");
    });
    assert!(std::panic::catch_unwind(panicking).is_err());
    assert!(!lock.is_locked(), "a panic");
}

#[test]
fn guards_reach_the_value_and_the_lock() {
    let lock = Lock::from(String::from("a"));
    let mut guard = lock.try_acquire().expect("free");
    guard.push('b');
    assert_eq!(guard.to_string(), "ab");
    assert_eq!(format!("{guard:?}"), r#"Guard("ab")"#);
    assert!(std::ptr::eq(*Guard::lock(&guard), &lock));
    assert_eq!(format!("{lock:?}"), "Lock { locked: true, waiters: 0, value: None }");
    drop(guard);
    assert_eq!(format!("{lock:?}"), r#"Lock { locked: false, waiters: 0, value: Some("ab") }"#);
}

#[test]
fn an_owned_wait_can_be_cancelled_too() {
    let (lock, guard) = held();
    let mut first = Box::pin(lock.clone().acquire_owned());
    let mut second = Box::pin(lock.clone().acquire_owned());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(second.as_mut()).is_pending());
    drop(guard);
    drop(first);
    let second = poll(second.as_mut());
    assert!(second.is_ready() && lock.is_locked());
}

#[test]
#[should_panic(expected = "the guard of this lock was leaked")]
fn a_leaked_guard_takes_the_value_along() {
    let lock = Lock::new(1);
    std::mem::forget(lock.try_acquire());
    let _ = lock.into_inner();
}

#[test]
fn a_free_lock_is_small() {
    assert!(size_of::<Lock<()>>() <= 64);
    assert!(size_of::<Lock<[u8; 4096]>>() <= 64);
}

#[test]
fn a_value_that_cannot_be_shown_is_not_lost() {
    struct Secret;
    impl std::fmt::Debug for Secret {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("not to be shown")
        }
    }
    let lock = Lock::new(Secret);
    let shown = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| format!("{lock:?}")));
    assert!(shown.is_err());
    assert!(lock.try_acquire().is_some());
}
