//! A future that is in the queue and is never polled again does not block the others.
//!
//! Each test keeps one waiting future aside, as `select!` by reference does, lets its turn come,
//! and shows that the others are served: on an executor that knows nothing about this crate, and at
//! the end of this file on our own loop.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use asyncio_sync::{Condition, Lock, Queue, Semaphore};
use common::{Id, Log, Turns};

/// Spawns a task that polls `future` once and then neither polls nor drops it.
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

/// Spawns `n` tasks that wait for `wait(number)`, and log their numbers.
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

/// The example of RFD 609: a task waits for a lock in a `select!` by reference, and in the other
/// branch waits for the same lock again.
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
            _ = first.as_mut() => unreachable!("another task holds the lock"),
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
fn condition() {
    let (turns, log, condition) = (Turns::new(), Log::new(), Rc::new(Condition::new(0)));
    let aside = condition.clone();
    keep_aside(&turns, async move { drop(aside.wait(aside.acquire().await).await) });
    let shared = condition.clone();
    let take = move |_| {
        let condition = shared.clone();
        async move { *condition.wait_for(condition.acquire().await, |n| *n > 0).await -= 1 }
    };
    queue_up(&turns, &log, take, 2);
    turns.run();
    for expected in 1..=2 {
        let mut guard = condition.try_acquire().expect("all tasks wait");
        *guard = 1;
        condition.notify(&guard, 1);
        drop(guard);
        turns.run();
        assert_eq!(log.take(), [expected]);
    }
}

/// The future was notified, and is not polled again while it queues for the lock.
#[test]
fn condition_kept_aside_at_its_lock() {
    use common::poll;

    let (turns, log, condition) = (Turns::new(), Log::new(), Rc::new(Condition::new(())));
    let mut aside = Box::pin(condition.wait(condition.try_acquire().expect("free")));
    assert!(poll(aside.as_mut()).is_pending());
    let guard = condition.try_acquire().expect("released");
    condition.notify_all(&guard);
    assert!(poll(aside.as_mut()).is_pending(), "at the lock");
    let shared = condition.clone();
    let lock = move |_| shared.lock().clone().acquire_owned();
    queue_up(&turns, &log, lock, 2);
    turns.run();
    drop(guard);
    turns.run();
    assert_eq!(log.take(), [1, 2]);
}

#[test]
fn queue_get() {
    let (turns, log, queue) = (Turns::new(), Log::new(), Rc::new(Queue::new()));
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
    assert!(poll(late.as_mut()).is_pending(), "the future queues again");
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

/// On this project's loop, any number of neighbouring waiters may be kept unpolled.
mod on_our_loop {
    use std::task::Poll;
    use std::time::Duration;

    use super::*;
    use asyncio_loop::{EventLoop, TaskOptions};

    /// Takes a lock behind `neighbours` waiters that are never polled again. The taking task is
    /// alone, or, if `busy`, waits for other things as well.
    fn get_past(neighbours: usize, busy: bool) {
        let event_loop = EventLoop::new().expect("a poller");
        let lock = Rc::new(Lock::new(0));
        let guard = lock.clone().try_acquire_owned();
        for _ in 0..neighbours {
            let lock = lock.clone();
            spawn(&event_loop, async move {
                let mut aside = std::pin::pin!(lock.acquire());
                assert!(futures::poll!(aside.as_mut()).is_pending());
                std::future::pending::<()>().await;
            });
        }
        let last = lock.clone();
        let mut task = event_loop
            .spawn(async move { *last.acquire().await += 1 }, TaskOptions::new())
            .expect("open");
        spawn(&event_loop, async move {
            common::yield_now().await;
            drop(guard);
            if busy {
                loop {
                    common::yield_now().await;
                }
            }
        });
        let run = event_loop.run_until_complete(std::future::poll_fn(|cx| task.poll_join(cx)));
        assert!(run.is_ok());
        assert_eq!(*lock.try_acquire().expect("free again"), 1);
    }

    fn spawn(event_loop: &EventLoop, future: impl Future<Output = ()> + 'static) {
        drop(event_loop.spawn(future, TaskOptions::new()).expect("open"));
    }

    #[test]
    fn past_one() {
        get_past(1, false);
    }

    #[test]
    fn past_many() {
        get_past(50, false);
    }

    #[test]
    fn while_the_loop_is_busy() {
        get_past(3, true);
    }

    #[test]
    fn a_virtual_clock_stands_still() {
        let event_loop = EventLoop::builder().virtual_time(true).build().expect("a poller");
        let before = event_loop.time();
        let semaphore = Rc::new(Semaphore::new(0));
        let mut aside = Box::pin(semaphore.clone().acquire_owned());
        let taker = semaphore.clone();
        let outcome = event_loop.run_until_complete(std::future::poll_fn(|cx| {
            assert!(aside.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        }));
        assert!(outcome.is_ok());
        semaphore.release();
        let outcome = event_loop.run_until_complete(async { drop(taker.acquire().await) });
        assert!(outcome.is_ok());
        assert_eq!(event_loop.time() - before, Duration::ZERO);
    }

    #[test]
    fn a_line_outlives_the_loop_that_watched_it() {
        let (turns, log, lock) = (Turns::new(), Log::new(), Rc::new(Lock::<()>::default()));
        let guard = lock.clone().try_acquire_owned();
        keep_aside(&turns, lock.clone().acquire_owned());
        let shared = lock.clone();
        queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 2);
        turns.run();
        let event_loop = EventLoop::new().expect("a poller");
        assert!(event_loop.run_until_complete(async { drop(guard) }).is_ok());
        drop(event_loop);
        keep_aside(&turns, lock.clone().acquire_owned()); // a newcomer looks
        turns.run();
        let shared = lock.clone();
        queue_up(&turns, &log, move |_| shared.clone().acquire_owned(), 1);
        turns.run();
        assert_eq!(log.take(), [1, 2, 1]);
    }
}
