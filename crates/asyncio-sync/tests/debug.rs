//! What debug mode reports about locks.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_loop::{EventLoop, TaskOptions};
use asyncio_sync::{Event, Lock};
use common::yield_now;

/// A loop in debug mode, and the messages of its reports.
fn watched() -> (EventLoop, Rc<RefCell<Vec<String>>>) {
    let event_loop = EventLoop::new().expect("a poller");
    event_loop.set_debug(true);
    let reports = Rc::new(RefCell::new(vec![]));
    let sink = reports.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        sink.borrow_mut().push(context.to_string());
    })));
    (event_loop, reports)
}

fn spawn(event_loop: &EventLoop, name: &str, future: impl Future<Output = ()> + 'static) {
    let task = event_loop.spawn(future, TaskOptions::new().name(name));
    drop(task.expect("an open loop"));
}

/// Makes enough turns for all tasks to reach their waits.
fn run(event_loop: &EventLoop) {
    let some_turns = async {
        for _ in 0..20 {
            yield_now().await;
        }
    };
    assert!(event_loop.run_until_complete(some_turns).is_ok());
}

/// Takes one lock, yields, and then waits for the other.
async fn take_both(first: Rc<Lock>, second: Rc<Lock>) {
    let _first = first.acquire().await;
    yield_now().await;
    let _second = second.acquire().await;
}

#[test]
fn two_tasks_that_wait_for_each_other_are_named() {
    let (event_loop, reports) = watched();
    let (left, right) = (Rc::new(Lock::default()), Rc::new(Lock::default()));
    spawn(&event_loop, "ann", take_both(left.clone(), right.clone()));
    spawn(&event_loop, "bob", take_both(right, left));
    run(&event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    let report = &reports[0];
    for word in ["wait for each other's locks", "ann", "bob", file!()] {
        assert!(report.contains(word), "{word} in {report}");
    }
    assert_eq!(report.matches("took one at").count(), 2, "{report}");
}

#[test]
fn a_circle_of_three_is_found() {
    let (event_loop, reports) = watched();
    let locks: Vec<Rc<Lock>> = (0..3).map(|_| Rc::default()).collect();
    for n in 0..3 {
        let task = take_both(locks[n].clone(), locks[(n + 1) % 3].clone());
        spawn(&event_loop, &format!("task-{n}"), task);
    }
    run(&event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!((0..3).all(|n| reports[0].contains(&format!("task-{n}"))), "{reports:?}");
}

#[test]
fn a_lock_taken_twice_by_one_task_is_reported() {
    let (event_loop, reports) = watched();
    let lock = Rc::new(Lock::default());
    spawn(&event_loop, "twice", take_both(lock.clone(), lock));
    run(&event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("holds itself") && reports[0].contains("twice"), "{reports:?}");
}

#[test]
fn a_lock_held_when_its_task_has_ended_is_reported() {
    let (event_loop, reports) = watched();
    let lock: Rc<Lock> = Rc::default();
    let (leaking, waiting) = (lock.clone(), lock);
    let go_on = Rc::new(Event::new());
    let told = go_on.clone();
    spawn(&event_loop, "leaker", async move {
        std::mem::forget(leaking.acquire_owned().await);
        told.wait().await;
    });
    let more = waiting.clone();
    spawn(&event_loop, "waiter", async move { drop(waiting.acquire().await) });
    run(&event_loop);
    assert!(reports.borrow().is_empty(), "its task may yet release it");
    go_on.set();
    run(&event_loop);
    let found = reports.take();
    assert_eq!(found.len(), 1, "{found:?}");
    for word in ["is still held", "leaker", "waiter"] {
        assert!(found[0].contains(word), "{word} in {found:?}");
    }

    spawn(&event_loop, "latecomer", async move { drop(more.acquire().await) });
    run(&event_loop);
    assert!(reports.take().iter().any(|report| report.contains("latecomer")));
}

#[test]
fn a_future_that_is_passed_over_is_reported() {
    let (event_loop, reports) = watched();
    let lock: Rc<Lock> = Rc::new(Lock::default());
    let guard = lock.clone().try_acquire_owned();
    let aside = lock.clone();
    spawn(&event_loop, "forgetful", async move {
        let mut wait = std::pin::pin!(aside.acquire());
        assert!(futures::poll!(wait.as_mut()).is_pending());
        std::future::pending::<()>().await;
    });
    let other = lock.clone();
    spawn(&event_loop, "patient", async move { drop(other.acquire().await) });
    run(&event_loop);
    assert!(event_loop.run_until_complete(async { drop(guard) }).is_ok());
    run(&event_loop);
    let reports = reports.borrow();
    assert_eq!(reports.len(), 1, "{reports:?}");
    assert!(reports[0].contains("passed over") && reports[0].contains("forgetful"), "{reports:?}");
    assert!(!lock.is_locked());
}

#[test]
fn what_goes_well_is_not_reported() {
    let (event_loop, reports) = watched();
    let locks: Vec<Rc<Lock>> = (0..3).map(|_| Rc::default()).collect();
    for n in 0..10 {
        let (first, second) = (locks[n % 2].clone(), locks[2].clone());
        spawn(&event_loop, "orderly", async move {
            for _ in 0..3 {
                take_both(first.clone(), second.clone()).await;
                yield_now().await;
            }
        });
    }
    for _ in 0..20 {
        run(&event_loop);
    }
    assert!(reports.borrow().is_empty(), "{:?}", reports.borrow());
    assert!(locks.iter().all(|lock| !lock.is_locked()));
}

#[test]
fn without_debug_mode_nothing_is_noted() {
    let (event_loop, reports) = watched();
    event_loop.set_debug(false);
    let lock = Rc::new(Lock::default());
    spawn(&event_loop, "twice", take_both(lock.clone(), lock));
    run(&event_loop);
    assert!(reports.borrow().is_empty());
}
