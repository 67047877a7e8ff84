//! With asyncio's tasks: cancelled, timed out, and in groups.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::EventLoop;
use asyncio_sync::broadcast::{self, Receiver, RecvError};
use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, watch};
use asyncio_task::{
    JoinError, Task, TaskLoopExt, catch_cancel, create_task, finally, running_loop, scope, sleep,
    task_group, timeout, yield_now,
};

const SECOND: Duration = Duration::from_secs(1);

/// Runs a program on a virtual clock.
fn run<T>(program: impl Future<Output = T>) -> T {
    let event_loop = EventLoop::builder().virtual_time(true).build().expect("a poller");
    event_loop.run_until_complete(program).expect("the loop is not stopped")
}

/// Makes enough turns for all tasks to reach their waits.
async fn settle() {
    for _ in 0..5 {
        yield_now().await;
    }
}

async fn is_cancelled<T: std::fmt::Debug>(task: Task<T>) -> bool {
    task.await.is_err_and(|error| error.is_cancelled())
}

#[test]
fn cancel_and_release_race_for_the_lock() {
    // Y-004, Y-005, Y-007
    run(async {
        let lock = Rc::new(Lock::new(Vec::new()));
        let guard = lock.clone().acquire_owned().await;
        let waiter = |name: &'static str| {
            let lock = lock.clone();
            create_task(async move { lock.acquire().await.push(name) })
        };
        let (b, c, d) = (waiter("b"), waiter("c"), waiter("d"));
        settle().await;
        running_loop().call_soon(move || {
            drop(guard);
            b.cancel();
        });
        assert!(c.await.is_ok() && d.await.is_ok());
        assert_eq!(*lock.try_acquire().expect("free"), ["c", "d"]);
    });
}

#[test]
fn a_limit_that_passes_as_the_lock_is_released() {
    // Y-008
    run(async {
        let lock = Rc::new(Lock::new(()));
        let guard = lock.clone().acquire_owned().await;
        let limited = create_task({
            let lock = lock.clone();
            async move { timeout(SECOND, lock.acquire()).await.is_err() }
        });
        settle().await;
        // This timer is made after the timeout's, so it fires after it in the same turn.
        running_loop().call_later(SECOND, move || drop(guard));
        assert!(limited.await.expect("not cancelled"), "the limit had passed");
        settle().await;
        assert!(lock.try_acquire().is_some());
    });
}

#[test]
fn the_lock_is_released_when_its_holder_is_cancelled() {
    // Y-011
    run(async {
        let lock = Rc::new(Lock::new(()));
        let holder = create_task({
            let lock = lock.clone();
            async move {
                let _guard = lock.acquire().await;
                sleep(SECOND).await;
            }
        });
        settle().await;
        assert!(lock.is_locked());
        holder.cancel();
        assert!(is_cancelled(holder).await);
        assert!(!lock.is_locked());
    });
}

#[test]
fn cleanup_takes_a_lock_although_its_task_is_cancelled() {
    run(async {
        let log = Rc::new(Lock::new(Vec::new()));
        let guard = log.clone().acquire_owned().await;
        let task = create_task({
            let log = log.clone();
            async move {
                finally(sleep(SECOND), async |_| log.acquire().await.push("cleaned up")).await;
            }
        });
        settle().await;
        task.cancel();
        settle().await;
        assert!(!task.is_done(), "its cleanup waits for the lock");
        drop(guard);
        assert!(is_cancelled(task).await);
        assert_eq!(*log.acquire().await, ["cleaned up"]);
    });
}

#[test]
fn a_condition_wait_hands_its_cancellation_out_unchanged() {
    // Y-025, Y-029: before the notification, and after it at the lock
    for notified in [false, true] {
        run(async {
            let condition = Rc::new(Condition::new(()));
            let waiter = create_task({
                let condition = condition.clone();
                async move { drop(condition.wait(condition.acquire().await).await) }
            });
            settle().await;
            let guard = condition.acquire().await;
            if notified {
                condition.notify(&guard, 1);
                settle().await;
            }
            waiter.cancel_with("enough");
            let Err(JoinError::Cancelled(reason)) = waiter.await else {
                panic!("it was cancelled");
            };
            assert!(reason.to_string().contains("enough"), "{reason}");
            drop(guard);
            assert!(condition.try_acquire().is_some());
        });
    }
}

#[test]
fn a_caught_cancellation_leaves_the_task_without_the_lock() {
    // Y-025
    run(async {
        let condition = Rc::new(Condition::new(0));
        let waiter = create_task({
            let condition = condition.clone();
            async move {
                let guard = condition.acquire().await;
                let caught = catch_cancel(condition.wait(guard)).await;
                assert!(caught.is_err());
                drop(caught);
                // The cancelled wait has released its guard, so the lock has to be acquired again.
                *condition.acquire().await += 1;
            }
        });
        settle().await;
        waiter.cancel();
        assert!(waiter.await.is_ok());
        assert_eq!(*condition.try_acquire().expect("free"), 1);
    });
}

#[test]
fn notification_of_a_cancelled_task_goes_to_the_next() {
    // Y-027, Y-028: in the turn of the notification, and one later
    for turns in 0..2 {
        run(async {
            let condition = Rc::new(Condition::new(0));
            let eater = || {
                let condition = condition.clone();
                create_task(async move {
                    *condition.wait_for(condition.acquire().await, |n| *n > 0).await -= 1;
                })
            };
            let (first, second) = (eater(), eater());
            settle().await;
            let mut guard = condition.acquire().await;
            *guard = 1;
            condition.notify(&guard, 1);
            for _ in 0..turns {
                yield_now().await;
            }
            first.cancel();
            drop(guard);
            assert!(is_cancelled(first).await);
            assert!(second.await.is_ok());
            assert_eq!(*condition.acquire().await, 0);
        });
    }
}

#[test]
fn permits_and_items_survive_their_takers() {
    // Y-040, Y-041, Q-011, Q-016
    run(async {
        let (semaphore, queue) = (Rc::new(Semaphore::new(0)), Rc::new(Queue::bounded(1)));
        let taker = create_task({
            let semaphore = semaphore.clone();
            async move { semaphore.acquire().await.forget() }
        });
        let getter = create_task({
            let queue = queue.clone();
            async move { queue.get().await }
        });
        settle().await;
        semaphore.release();
        queue.put_nowait(1).expect("empty");
        taker.cancel();
        getter.cancel();
        assert!(is_cancelled(taker).await && is_cancelled(getter).await);
        assert!(semaphore.try_acquire().is_some());
        assert_eq!(queue.len(), 1);

        let putter = |item| {
            let queue = queue.clone();
            create_task(async move { queue.put(item).await })
        };
        let (second, third) = (putter(2), putter(3));
        settle().await;
        assert_eq!(queue.get_nowait(), Ok(1));
        second.cancel();
        assert!(is_cancelled(second).await);
        assert_eq!(third.await.expect("not cancelled"), Ok(()));
        assert_eq!(queue.get_nowait(), Ok(3));
    });
}

#[test]
fn timeouts_end_waits_of_every_kind() {
    run(async {
        let (lock, semaphore, event) = (Lock::new(()), Semaphore::new(0), Event::new());
        let (queue, barrier, condition) =
            (Queue::<i32>::bounded(1), Barrier::new(2), Condition::new(()));
        let guard = lock.acquire().await;
        assert!(timeout(SECOND, lock.acquire()).await.is_err());
        assert!(timeout(SECOND, semaphore.acquire()).await.is_err());
        assert!(timeout(SECOND, event.wait()).await.is_err());
        assert!(timeout(SECOND, queue.get()).await.is_err());
        assert!(timeout(SECOND, barrier.wait()).await.is_err());
        assert!(timeout(SECOND, condition.wait(condition.acquire().await)).await.is_err());
        drop(guard);
        for shown in [
            format!("{lock:?}"),
            format!("{semaphore:?}"),
            format!("{event:?}"),
            format!("{condition:?}"),
        ] {
            assert!(shown.contains("waiters: 0"), "{shown}");
        }
        assert!(format!("{queue:?}").contains("getters: 0"));
        assert_eq!(barrier.n_waiting(), 0);
    });
}

#[test]
fn children_of_a_group_share_primitives_by_reference() {
    run(async {
        let (lock, slots, barrier) = (Lock::new(0), Semaphore::new(2), Barrier::new(5));
        let (users, most) = (Cell::new(0), Cell::new(0));
        scope(async |scope| {
            for _ in 0..5 {
                drop(scope.create_task(async {
                    barrier.wait().await.expect("whole");
                    let _permit = slots.acquire().await;
                    users.set(users.get() + 1);
                    most.set(most.get().max(users.get()));
                    let mut guard = lock.acquire().await;
                    yield_now().await;
                    *guard += 1;
                    users.set(users.get() - 1);
                }));
            }
        })
        .await;
        assert_eq!((lock.into_inner(), most.get()), (5, 2));
    });
}

#[test]
fn a_failing_child_leaves_the_primitives_in_order() {
    run(async {
        let (lock, semaphore) = (Lock::new(()), Semaphore::new(1));
        let outcome = task_group(async |group| {
            for _ in 0..3 {
                drop(group.create_task(async {
                    let _guard = lock.acquire().await;
                    let _permit = semaphore.acquire().await;
                    sleep(SECOND).await;
                    Ok::<_, &str>(())
                }));
            }
            drop(group.create_task(async {
                sleep(SECOND / 2).await;
                Err::<(), _>("failed")
            }));
            Ok(())
        })
        .await;
        assert!(outcome.is_err());
        assert!(lock.try_acquire().is_some());
        assert_eq!(semaphore.available(), 1);
    });
}

#[test]
fn workers_end_when_the_queue_is_done() {
    run(async {
        let (queue, done) = (Rc::new(Queue::bounded(2)), Rc::new(RefCell::new(vec![])));
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let (queue, done) = (queue.clone(), done.clone());
                create_task(async move {
                    while let Ok(n) = queue.get().await {
                        sleep(Duration::from_millis(n)).await;
                        done.borrow_mut().push(n);
                        queue.task_done().expect("one was taken");
                    }
                })
            })
            .collect();
        for n in [30, 10, 20, 5] {
            queue.put(n).await.expect("open");
        }
        queue.join().await;
        assert_eq!(*done.borrow(), [10, 5, 20, 30]);
        queue.shutdown();
        for worker in workers {
            assert!(worker.await.is_ok());
        }
    });
}

#[test]
fn a_loop_that_closes_frees_what_its_tasks_held() {
    let lock = Rc::new(Lock::new(()));
    let event_loop = EventLoop::new().expect("a poller");
    let held = lock.clone();
    let task = event_loop.create_task(async move {
        let _guard = held.acquire().await;
        std::future::pending::<()>().await;
    });
    assert!(event_loop.run_until_complete(yield_now()).is_ok());
    assert!(lock.is_locked());
    drop((task, event_loop));
    assert!(!lock.is_locked());
}

/// Logs each value with a name, until the channel is closed.
async fn note_all(mut values: Receiver<u32>, name: &str, seen: &RefCell<Vec<String>>) {
    loop {
        match values.recv().await {
            Ok(value) => seen.borrow_mut().push(format!("{name}{value}")),
            Err(RecvError::Closed) => return,
            Err(RecvError::Lagged(missed)) => panic!("{name} missed {missed}"),
        }
    }
}

#[test]
fn values_reach_tasks_and_children_of_a_group() {
    run(async {
        let (sender, _) = broadcast::channel(4);
        let seen = Rc::new(RefCell::new(Vec::new()));
        let task = |name: &'static str| {
            let (values, seen) = (sender.subscribe(), Rc::clone(&seen));
            create_task(async move { note_all(values, name, &seen).await })
        };
        let (first, last) = (task("a"), task("c"));
        settle().await;
        scope(async |scope| {
            let child = scope.create_task(note_all(sender.subscribe(), "b", &seen));
            settle().await;
            for value in 1..=3 {
                assert_eq!(sender.send(value), Ok(3));
                settle().await;
            }
            // A group polls its children in its own task's step, so `b` may come earlier.
            let of = |name| seen.borrow().iter().filter(|value| value.starts_with(name)).count();
            assert_eq!((of('a'), of('b'), of('c')), (3, 3, 3));
            assert!(seen.borrow().is_sorted_by_key(|value| value[1..].to_owned()));
            drop(sender);
            for task in [first, last] {
                assert!(task.await.is_ok());
            }
            child.await;
        })
        .await;
    });
}

#[test]
fn a_receiver_is_woken_in_the_task_that_it_is_in() {
    run(async {
        let (sender, mut receiver) = watch::channel(0);
        for value in 1..=3 {
            // The timeout drops the wait, which leaves no entry in the channel's list.
            let given_up = timeout(SECOND, receiver.changed()).await;
            assert!(given_up.is_err());
            let task = create_task(async move {
                receiver.changed().await.expect("the sender is alive");
                receiver
            });
            settle().await;
            sender.send(value);
            receiver = task.await.expect("no panic");
            assert_eq!(*receiver.borrow(), value);
        }
    });
}

#[test]
fn a_task_that_waits_again_shows_the_line_of_that_wait() {
    run(async {
        let (values, mut value) = broadcast::channel(1);
        let (states, mut state) = watch::channel(0);
        let lines = [line!() + 4, line!() + 5, line!() + 6, line!() + 7];
        let task = create_task(async move {
            // Each line has one wait, and each receiver waits twice.
            let _ = (
                value.recv().await,
                state.changed().await,
                value.recv().await,
                state.changed().await,
            );
        });
        for (number, line) in lines.into_iter().enumerate() {
            settle().await;
            let at = task.task_ref().info().wait.expect("it waits").at.expect("a line");
            assert_eq!((at.file(), at.line()), (file!(), line));
            if number % 2 == 0 {
                assert_eq!(values.send(line), Ok(1));
            } else {
                states.send(line);
            }
        }
        assert!(task.await.is_ok());
    });
}
