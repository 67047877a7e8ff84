//! A future that holds a place in line and is never polled again keeps nobody else out.
//!
//! Each test keeps one waiting future aside, as `select!` by reference does, lets its turn come, and
//! shows that the others are served, on an executor that knows nothing about this crate.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_sync::{Lock, Queue, Semaphore};
use common::{Id, Log, Turns};

/// Spawns a task that polls `future` once and keeps it aside for ever.
fn keep_aside(turns: &Turns, future: impl Future + 'static) -> Id {
    turns.spawn(async move {
        let mut future: Pin<Box<_>> = Box::pin(future);
        let mut polled = false;
        std::future::poll_fn(|cx| {
            if !std::mem::replace(&mut polled, true) {
                assert!(future.as_mut().poll(cx).is_pending());
            }
            std::task::Poll::<()>::Pending
        })
        .await;
    })
}

/// Spawns tasks that wait for `wait(n)` in order, and log n.
fn queue_up<F: Future + 'static>(
    turns: &Turns,
    log: &Log<i32>,
    wait: impl Fn(i32) -> F + 'static,
    n: i32,
) {
    for name in 1..=n {
        let (log, future) = (log.clone(), wait(name));
        turns.spawn(async move {
            future.await;
            log.push(name);
        });
    }
}

#[test]
fn lock() {
    let (turns, log, lock) = (Turns::new(), Log::new(), Rc::new(Lock::<()>::default()));
    let guard = lock.clone().try_acquire_owned();
    keep_aside(&turns, lock.clone().acquire_owned());
    let shared = lock.clone();
    queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 3);
    turns.run();
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [1, 2, 3]);
    assert!(!lock.is_locked());
}

/// The repro of RFD 609: a task waits for a lock in a `select!`, by reference, and in the other branch
/// asks for the lock again.
#[test]
fn select_by_reference() {
    use futures::FutureExt;

    let (turns, log, lock) = (Turns::new(), Log::new(), Rc::new(Lock::<()>::default()));
    let guard = lock.clone().try_acquire_owned();
    let (taker, done) = (lock.clone(), log.clone());
    turns.spawn(async move {
        let mut first = std::pin::pin!(taker.acquire().fuse());
        let mut other = std::pin::pin!(common::yield_now().fuse());
        futures::select_biased! {
            _ = first.as_mut() => unreachable!("somebody holds the lock"),
            () = other => {
                drop(taker.acquire().await); // while `first` is alive, and ahead of us
                done.push(1);
            }
        }
    });
    turns.run();
    assert!(log.take().is_empty());
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [1]);
}

#[test]
fn semaphore() {
    let (turns, log, semaphore) = (Turns::new(), Log::new(), Rc::new(Semaphore::new(0)));
    keep_aside(&turns, semaphore.clone().acquire_owned());
    let shared = semaphore.clone();
    queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 4);
    turns.run();
    semaphore.release();
    semaphore.release();
    turns.run();
    assert_eq!(log.take(), [1, 2, 3, 4]);
    assert_eq!(semaphore.available(), 2);
}

#[test]
fn queue_get() {
    let (turns, log, queue) = (Turns::new(), Log::new(), Rc::new(Queue::unbounded()));
    let aside = queue.clone();
    keep_aside(&turns, async move { aside.get().await });
    let shared = queue.clone();
    let get = move |_| {
        let queue = shared.clone();
        async move { assert!(queue.get().await.is_ok()) }
    };
    queue_up(&turns, &log, get, 2);
    turns.run();
    queue.put_nowait("first").expect("open");
    turns.run();
    assert_eq!(log.take(), [1]);
    queue.put_nowait("second").expect("open");
    turns.run();
    assert_eq!(log.take(), [2]);
}

#[test]
fn queue_put() {
    let (turns, log, queue) = (Turns::new(), Log::new(), Rc::new(Queue::bounded(1)));
    queue.put_nowait(0).expect("empty");
    let aside = queue.clone();
    keep_aside(&turns, async move { aside.put(-1).await });
    let shared = queue.clone();
    let put = move |n| {
        let queue = shared.clone();
        async move { assert!(queue.put(n).await.is_ok()) }
    };
    queue_up(&turns, &log, put, 2);
    turns.run();
    for expected in 0..=2 {
        assert_eq!(queue.get_nowait(), Ok(expected));
        turns.run();
    }
    assert_eq!(log.take(), [1, 2]);
}

#[test]
fn a_newcomer_passes_over_one_who_was_called_long_ago() {
    let (turns, log, lock) = (Turns::new(), Log::new(), Rc::new(Lock::<()>::default()));
    let guard = lock.clone().try_acquire_owned();
    keep_aside(&turns, lock.clone().acquire_owned());
    turns.run();
    drop(guard);
    turns.run();
    let shared = lock.clone();
    queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 1);
    turns.run();
    assert_eq!(log.take(), [1]);
}

#[test]
fn who_was_passed_over_and_comes_late_is_served_after_all() {
    use common::poll;

    let (turns, log, lock) = (Turns::new(), Log::new(), Rc::new(Lock::<()>::default()));
    let guard = lock.clone().try_acquire_owned();
    let mut late = Box::pin(lock.clone().acquire_owned());
    assert!(poll(late.as_mut()).is_pending());
    let shared = lock.clone();
    queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 1);
    turns.run();
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [1]);

    let guard = lock.clone().try_acquire_owned();
    assert!(poll(late.as_mut()).is_pending(), "in line anew");
    drop(guard);
    let taken = poll(late.as_mut());
    assert!(taken.is_ready() && lock.is_locked());
}

#[test]
fn dropping_one_who_was_passed_over_passes_nothing_on() {
    use common::poll;

    let (turns, log, semaphore) = (Turns::new(), Log::new(), Rc::new(Semaphore::new(0)));
    let mut aside = Box::pin(semaphore.acquire());
    assert!(poll(aside.as_mut()).is_pending());
    let shared = semaphore.clone();
    let take = move |_| {
        let semaphore = shared.clone();
        async move { semaphore.acquire().await.forget() }
    };
    queue_up(&turns, &log, take, 2);
    turns.run();
    semaphore.release();
    turns.run();
    assert_eq!(log.take(), [1]);
    drop(aside);
    turns.run();
    assert!(log.take().is_empty());
    assert!(semaphore.is_locked());
}
