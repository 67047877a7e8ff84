//! Whichever waiting future is dropped, at any time, the permit, item or notification that was
//! meant for it goes to the next waiter.
//!
//! Each scenario has tasks that each wait for one thing, and supplies one thing in each turn. It
//! runs once for every task, every turn, and both orders within the turn: the task is cancelled
//! just before or just after the supply, so also in the turn in which it was woken. At the end no
//! other task still waits, and the cancelled task's share is left over unless the task had received
//! it before.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use asyncio_sync::{Barrier, Condition, Event, Lock, Queue, Semaphore, mixed};
use common::{Id, Turns, yield_now};

const TASKS: usize = 4;
const TURNS: usize = TASKS + 3;

struct Scenario {
    turns: Rc<Turns>,
    tasks: Vec<Id>,
    /// Supplies one thing.
    supply: Box<dyn FnMut()>,
    /// The number of things left over at the end.
    left: Box<dyn Fn() -> usize>,
}

impl Scenario {
    /// Tasks that each want one thing.
    fn new<F: Future<Output = ()> + 'static>(
        want: impl Fn(usize) -> F,
        supply: impl FnMut() + 'static,
        left: impl Fn() -> usize + 'static,
    ) -> Self {
        let turns = Rc::new(Turns::new());
        let tasks = (0..TASKS).map(|n| turns.spawn(want(n))).collect();
        turns.run();
        Self { turns, tasks, supply: Box::new(supply), left: Box::new(left) }
    }

    fn cancel_at(mut self, victim: usize, when: usize, after: bool) {
        let victim = self.tasks[victim];
        let mut lost = false;
        for turn in 0..TURNS {
            for step in [false, true] {
                if turn == when && step == after {
                    lost = !self.turns.is_done(victim);
                    self.turns.cancel(victim);
                }
                if !step && turn < TASKS {
                    (self.supply)();
                }
            }
            self.turns.turn();
        }
        self.turns.run();
        assert_eq!(self.turns.unfinished(), 0, "a task waits forever");
        assert_eq!((self.left)(), usize::from(lost), "a unit is lost");
    }
}

/// Cancels every task at every point.
fn sweep(scenario: impl Fn() -> Scenario) {
    for victim in 0..TASKS {
        for when in 0..TURNS {
            for after in [false, true] {
                scenario().cancel_at(victim, when, after);
            }
        }
    }
}

#[test]
fn semaphore() {
    sweep(|| {
        let semaphore = Rc::new(Semaphore::new(0));
        let (taking, giving) = (semaphore.clone(), semaphore.clone());
        Scenario::new(
            move |_| {
                let semaphore = taking.clone();
                async move { semaphore.acquire().await.forget() }
            },
            move || giving.release(),
            move || semaphore.available(),
        )
    });
}

#[test]
fn lock() {
    // The supply is the release of the lock; each task holds the lock for one turn.
    sweep(|| {
        let lock = Rc::new(Lock::new(0_usize));
        let mut holder = lock.clone().try_acquire_owned();
        let taking = lock.clone();
        Scenario::new(
            move |_| {
                let lock = taking.clone();
                async move {
                    let mut guard = lock.acquire().await;
                    yield_now().await;
                    *guard += 1;
                }
            },
            move || drop(holder.take()),
            move || TASKS - *lock.try_acquire().expect("the lock is free again"),
        )
    });
}

#[test]
fn condition() {
    sweep(|| {
        let condition = Rc::new(Condition::new(0_usize));
        let (eating, growing) = (condition.clone(), condition.clone());
        Scenario::new(
            move |_| {
                let condition = eating.clone();
                async move {
                    *condition.wait_for(condition.acquire().await, |n| *n > 0).await -= 1;
                }
            },
            move || {
                let mut guard = growing.try_acquire().expect("held only within a poll");
                *guard += 1;
                growing.notify(&guard, 1);
            },
            move || *condition.try_acquire().expect("as above"),
        )
    });
}

#[test]
fn event() {
    sweep(|| {
        let event = Rc::new(Event::new());
        let (waiting, setting, passed) = (event.clone(), event, Rc::new(Cell::new(0)));
        let passing = passed.clone();
        Scenario::new(
            move |_| {
                let (event, passed) = (waiting.clone(), passing.clone());
                async move {
                    event.wait().await;
                    passed.set(passed.get() + 1);
                }
            },
            move || {
                setting.set();
                setting.clear();
            },
            move || TASKS - passed.get(),
        )
    });
}

#[test]
fn queue_getters() {
    sweep(|| {
        let queue = Rc::new(Queue::new());
        let (getting, putting) = (queue.clone(), queue.clone());
        Scenario::new(
            move |_| {
                let queue = getting.clone();
                async move { assert!(queue.get().await.is_ok()) }
            },
            move || putting.put_nowait(()).expect("open"),
            move || queue.len(),
        )
    });
}

#[test]
fn queue_putters() {
    sweep(|| {
        let queue = Rc::new(Queue::bounded(1));
        queue.put_nowait(TASKS).expect("room");
        let (putting, getting) = (queue.clone(), queue.clone());
        Scenario::new(
            move |n| {
                let queue = putting.clone();
                async move { assert!(queue.put(n).await.is_ok()) }
            },
            move || assert!(getting.get_nowait().is_ok()),
            move || queue.maxsize().expect("bounded") - queue.len(),
        )
    });
}

#[test]
fn mixed_getters() {
    sweep(|| {
        let queue = mixed::Queue::new();
        let (getting, putting) = (queue.async_side(), queue.sync_side());
        Scenario::new(
            move |_| {
                let side = getting.clone();
                async move { assert!(side.get().await.is_ok()) }
            },
            move || putting.put(()).expect("open"),
            move || queue.sync_side().len(),
        )
    });
}

#[test]
fn mixed_putters() {
    sweep(|| {
        let queue = mixed::Queue::bounded(1);
        queue.sync_side().put(TASKS).expect("room");
        let (putting, getting) = (queue.async_side(), queue.sync_side());
        Scenario::new(
            move |n| {
                let side = putting.clone();
                async move { assert!(side.put(n).await.is_ok()) }
            },
            move || assert!(getting.get_nowait().is_ok()),
            move || usize::from(!queue.sync_side().is_full()),
        )
    });
}

#[test]
fn barrier() {
    // The supply is one more party. A party that was cancelled in time is replaced at the end.
    for victim in 0..TASKS {
        for when in 0..TURNS {
            let (turns, barrier) = (Rc::new(Turns::new()), Rc::new(Barrier::new(TASKS)));
            let party = |turns: &Turns| {
                let barrier = barrier.clone();
                turns.spawn(async move { assert!(barrier.wait().await.is_ok()) })
            };
            let mut tasks = vec![];
            let mut missing = false;
            for turn in 0..TURNS {
                if turn < TASKS {
                    tasks.push(party(&turns));
                }
                if turn == when && victim < tasks.len() {
                    // The last party completes a round in its first poll, which comes after this
                    // cancel.
                    missing = !turns.is_done(tasks[victim]) && turn < TASKS;
                    turns.cancel(tasks[victim]);
                }
                turns.turn();
            }
            if missing {
                party(&turns);
            }
            turns.run();
            assert_eq!(turns.unfinished(), 0, "{victim} cancelled in turn {when}");
            assert_eq!(barrier.n_waiting(), 0);
        }
    }
}
