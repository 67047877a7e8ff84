//! Tasks, groups, timeouts and cancellation, under many schedules, with tasks that are cancelled,
//! delayed and dropped.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::{
    Runner, all_tasks, as_completed, catch_cancel, create_future, create_task, critical, finally,
    gather, race, shield, sleep, task_group, timeout, yield_now,
};
use asyncio_testing::{Faults, Order, Simulation, droppable, rng};

fn hard_times() -> Simulation {
    let faults = Faults::new().cancel(0.03).drop(0.03).delay(0.02, Duration::from_millis(10));
    Simulation::new().seeds(500).faults(faults)
}

/// Counts work that has begun and was not cleaned up.
#[derive(Clone, Default)]
struct Open(Rc<Cell<i32>>);

impl Open {
    /// Works for some steps, with a cleanup that awaits.
    async fn work(&self, steps: usize) {
        self.0.set(self.0.get() + 1);
        let body = async {
            for _ in 0..steps {
                yield_now().await;
            }
        };
        finally(body, async |_| {
            yield_now().await;
            self.0.set(self.0.get() - 1);
        })
        .await;
    }
}

#[test]
fn each_cleanup_runs_once_in_a_tree_of_tasks() {
    hard_times().run(async || {
        let open = Open::default();
        let tasks: Vec<_> = (0..4)
            .map(|steps| {
                let open = open.clone();
                create_task(async move {
                    let inner = open.clone();
                    let child = create_task(async move { inner.work(steps).await });
                    open.work(steps).await;
                    let _ = child.await;
                })
            })
            .collect();
        for task in tasks {
            let _ = task.await;
        }
        while all_tasks().len() > 1 {
            sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(open.0.get(), 0);
    });
}

#[test]
fn a_group_ends_after_its_children() {
    hard_times().run(async || {
        let open = Open::default();
        let outer = create_task({
            let open = open.clone();
            async move {
                let _ = task_group(async |group| {
                    for steps in 0..4 {
                        let open = &open;
                        group.create_task(async move {
                            open.work(steps).await;
                            if steps == 2 { Err("fails") } else { Ok(()) }
                        });
                    }
                    yield_now().await;
                    Ok(())
                })
                .await;
                assert_eq!(open.0.get(), 0, "a child is left");
            }
        });
        let _ = outer.await;
        assert_eq!(open.0.get(), 0);
    });
}

#[test]
fn a_nested_group_ends_from_inside_out() {
    hard_times().run(async || {
        let open = Open::default();
        let outer = create_task({
            let open = open.clone();
            async move {
                let _ = task_group(async |group| {
                    for depth in 0..2 {
                        let open = &open;
                        group.create_task(async move {
                            let inner = task_group(async |inner| {
                                inner.create_task(async move {
                                    open.work(3).await;
                                    Ok::<(), ()>(())
                                });
                                open.work(depth).await;
                                Ok(())
                            });
                            inner.await.map_err(drop)
                        });
                    }
                    Ok(())
                })
                .await;
            }
        });
        yield_now().await;
        outer.cancel();
        let _ = outer.await;
        assert_eq!(open.0.get(), 0);
    });
}

#[test]
fn a_timeout_waits_for_the_cleanup() {
    hard_times().run(async || {
        let open = Open::default();
        let task = create_task({
            let open = open.clone();
            async move {
                let body = async {
                    open.0.set(open.0.get() + 1);
                    let pause = sleep(Duration::from_millis(rng().next_u64() % 10));
                    finally(pause, async |_| open.0.set(open.0.get() - 1)).await;
                };
                let _ = timeout(Duration::from_millis(5), body).await;
                assert_eq!(open.0.get(), 0);
            }
        });
        let _ = task.await;
        assert_eq!(open.0.get(), 0);
    });
}

#[test]
fn what_is_critical_is_done_as_a_whole() {
    hard_times().run(async || {
        let (one, two) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let transfer = create_task({
            let (one, two) = (Rc::clone(&one), Rc::clone(&two));
            async move {
                for _ in 0..3 {
                    critical(async {
                        one.set(one.get() - 1);
                        yield_now().await;
                        two.set(two.get() + 1);
                    })
                    .await;
                }
            }
        });
        let _ = transfer.await;
        assert_eq!(one.get() + two.get(), 0, "torn");
    });
}

#[test]
fn a_shielded_task_goes_on() {
    // The fault would cancel the inner task itself.
    Simulation::new().seeds(300).run(async || {
        let done = Rc::new(Cell::new(false));
        let inner = create_task({
            let done = Rc::clone(&done);
            async move {
                yield_now().await;
                sleep(Duration::from_millis(1)).await;
                done.set(true);
            }
        });
        let outer = create_task(async move { shield(inner).await });
        yield_now().await;
        outer.cancel();
        let _ = outer.await;
        sleep(Duration::from_secs(1)).await;
        assert!(done.get());
    });
}

#[test]
fn a_race_has_one_winner_and_leaves_nothing() {
    hard_times().run(async || {
        let open = Open::default();
        let racer = create_task({
            let open = open.clone();
            async move {
                let entrants = (0..3).map(|steps| {
                    let open = open.clone();
                    async move {
                        open.work(steps).await;
                        steps
                    }
                });
                race(entrants.collect::<Vec<_>>()).await;
                assert_eq!(open.0.get(), 0, "a loser is left");
            }
        });
        let _ = racer.await;
        assert_eq!(open.0.get(), 0);
    });
}

#[test]
fn gather_and_as_completed_give_each_value_once() {
    let faults = Faults::new().delay(0.05, Duration::from_millis(10));
    Simulation::new().seeds(300).faults(faults).run(async || {
        let works = |number: u64| async move {
            sleep(Duration::from_millis(rng().next_u64() % 5)).await;
            number
        };
        assert_eq!(gather((0..5).map(works)).await, [0, 1, 2, 3, 4]);
        let completed = as_completed((0..5).map(|number| create_task(works(number))));
        let mut seen = BTreeSet::new();
        while let Some(task) = completed.next().await {
            assert!(seen.insert(task.unwrap().await.unwrap()));
        }
        assert_eq!(seen.len(), 5);
    });
}

#[test]
fn a_caught_request_is_one_delivery() {
    Simulation::new().seeds(300).order(Order::Any).run(async || {
        let caught = Rc::new(Cell::new(0));
        let task = create_task({
            let caught = Rc::clone(&caught);
            async move {
                for _ in 0..3 {
                    if catch_cancel(sleep(Duration::from_millis(2))).await.is_err() {
                        caught.set(caught.get() + 1);
                    }
                }
            }
        });
        for _ in 0..2 {
            sleep(Duration::from_millis(1)).await;
            task.cancel();
            yield_now().await;
        }
        let _ = task.await;
        assert!((1..=2).contains(&caught.get()), "{}", caught.get());
    });
}

#[test]
fn a_promise_is_settled_once_and_reaches_all() {
    hard_times().run(async || {
        let promise = create_future();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let promise = promise.clone();
                create_task(async move { droppable(promise).await })
            })
            .collect();
        let settlers: Vec<_> = (0..3)
            .map(|number| {
                let promise = promise.clone();
                create_task(async move {
                    yield_now().await;
                    promise.set_result(number).is_ok()
                })
            })
            .collect();
        let mut settled = 0;
        for settler in settlers {
            settled += usize::from(settler.await.is_ok_and(|first| first));
        }
        // All settlers may have been cancelled, so the test settles the promise.
        let _ = promise.set_result(9);
        assert!(settled <= 1);
        let mut values = BTreeSet::new();
        for waiter in waiters {
            if let Ok(Some(Ok(value))) = waiter.await {
                values.insert(value);
            }
        }
        assert!(values.len() <= 1, "{values:?}");
    });
}

#[test]
fn the_end_of_a_run_cleans_up_whatever_is_left() {
    hard_times().run(async || {
        // The body ends while these tasks work; the end of the run must neither report nor hang.
        for steps in 0..5 {
            let open = Open::default();
            create_task(async move { open.work(steps).await });
        }
        yield_now().await;
    });
    let left = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&left);
    Runner::builder().virtual_time(true).run(async move {
        create_task(finally(std::future::pending::<()>(), async move |_| {
            seen.borrow_mut().push(running_loop().time());
        }));
        yield_now().await;
    });
    assert_eq!(left.borrow().len(), 1);
}
