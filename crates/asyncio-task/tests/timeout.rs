//! Timeouts.

mod scopes;

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use asyncio_task::*;
use scopes::{Log, ms, now, run, turns};

// C-021
#[test]
fn a_body_that_outlives_the_limit_is_cut_off_and_the_task_goes_on() {
    run(async {
        let limit = Timeout::new(ms(10));
        assert_eq!(limit.run(pending::<()>()).await, Err(TimeoutError));
        assert!(limit.is_expired());
        assert_eq!(current_task().unwrap().cancelling(), 0);
        sleep(ms(5)).await;
        assert_eq!(now(), 15);
    });
}

// C-023
#[test]
fn a_body_in_time_gives_its_value_and_no_timer_is_left() {
    run(async {
        let limit = Timeout::new(ms(10));
        let when = running_loop().time() + ms(10);
        let value = limit.run(async {
            sleep(ms(1)).await;
            7
        });
        assert_eq!(value.await, Ok(7));
        assert!(!limit.is_expired());
        assert_eq!(limit.when(), Some(when));
        assert_eq!(running_loop().timer_count(), 0);
    });
}

// C-024
#[test]
fn a_limit_of_zero_ends_the_body_at_its_first_real_wait() {
    run(async {
        let reached = Cell::new(false);
        let body = async {
            reached.set(true);
            yield_now().await;
        };
        assert_eq!(timeout(ms(0), body).await, Err(TimeoutError));
        assert!(reached.get());
        sleep(ms(5)).await;
        let past = asyncio_loop::LoopTime::from_nanos(1);
        assert_eq!(timeout_at(past, yield_now()).await, Err(TimeoutError));
    });
}

// C-025
#[test]
fn a_limit_of_zero_lets_a_body_finish_that_never_waits() {
    run(async {
        let limit = Timeout::new(ms(0));
        let promise = create_future();
        promise.set_result(3).unwrap();
        assert_eq!(limit.run(promise).await.unwrap().unwrap(), 3);
        assert!(!limit.is_expired());
    });
}

// C-026
#[test]
fn an_error_of_the_body_passes_through() {
    run(async {
        let limit = Timeout::new(ms(5));
        let body = async {
            yield_now().await;
            Err::<(), _>("no")
        };
        assert_eq!(limit.run(body).await, Ok(Err("no")));
        assert!(!limit.is_expired());
    });
}

// C-028
#[test]
fn a_body_that_catches_the_limit_and_returns_has_its_value() {
    run(async {
        let limit = Timeout::new(ms(5));
        let body = async {
            let caught = catch_cancel(pending::<()>()).await.unwrap_err();
            drop(caught);
            sleep(ms(5)).await;
            current_task().unwrap().cancelling()
        };
        assert_eq!(limit.run(body).await, Ok(0));
        assert!(limit.is_expired());
        assert_eq!(now(), 10);
    });
}

#[test]
fn the_count_shows_the_timeout_while_it_is_expiring() {
    run(async {
        let counts = Cell::new((0, 0));
        let cleaned = finally(pending::<()>(), async |_| {
            counts.set((current_task().unwrap().cancelling(), 0));
        });
        assert!(timeout(ms(5), cleaned).await.is_err());
        assert_eq!(current_task().unwrap().cancelling(), 0);
        assert_eq!(counts.get().0, 1);
    });
}

#[test]
fn a_resumed_expiry_is_a_timeout() {
    run(async {
        let body = async {
            let caught = catch_cancel(pending::<()>()).await.unwrap_err();
            assert_eq!(caught.message(), Some("timed out"));
            sleep(ms(5)).await;
            caught.resume::<()>().await;
        };
        assert_eq!(timeout(ms(5), body).await, Err(TimeoutError));
        assert_eq!(now(), 10);
    });
}

#[test]
fn the_cleanup_of_the_body_is_waited_for() {
    run(async {
        let done = Cell::new(false);
        let body = finally(pending::<()>(), async |_| {
            sleep(ms(50)).await;
            done.set(true);
        });
        assert_eq!(timeout(ms(5), body).await, Err(TimeoutError));
        assert!(done.get());
        assert_eq!(now(), 55);
    });
}

// C-029
#[test]
fn a_cancel_from_outside_is_no_timeout() {
    run(async {
        let limit = Timeout::new(ms(100));
        let inside = limit.clone();
        let task = create_task(async move { inside.run(pending::<()>()).await });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(!limit.is_expired());
    });
}

// C-030
#[test]
fn a_cancel_from_outside_in_the_same_turn_wins() {
    for with_cleanup in [false, true] {
        run(async {
            let task = create_task(async move {
                let body = async {
                    if with_cleanup {
                        finally(pending::<()>(), async |_| sleep(ms(1)).await).await;
                    }
                    pending::<()>().await;
                };
                timeout(ms(10), body).await
            });
            let target = task.task_ref().clone();
            running_loop().call_later(ms(10), move || {
                target.cancel();
            });
            assert!(task.await.unwrap_err().is_cancelled());
        });
    }
}

// C-031, C-032
#[test]
fn of_nested_limits_the_outermost_that_has_passed_gives_the_error() {
    for cleanup in [false, true] {
        for (outer_ms, inner_ms) in [(10, 10), (10, 20)] {
            run(async {
                let (outer, inner) = (Timeout::new(ms(outer_ms)), Timeout::new(ms(inner_ms)));
                let result = outer.run(async {
                    let left = inner.run(async {
                        if cleanup {
                            finally(pending::<()>(), async |_| sleep(ms(1)).await).await;
                        }
                        pending::<()>().await;
                    });
                    let _ = left.await;
                    unreachable!("the outer limit comes first");
                });
                assert_eq!(result.await, Err::<(), _>(TimeoutError));
                assert!(outer.is_expired());
                assert_eq!(inner.is_expired(), inner_ms == 10);
                assert_eq!(current_task().unwrap().cancelling(), 0);
            });
        }
    }
}

// C-033
#[test]
fn after_an_inner_limit_the_outer_one_still_holds() {
    run(async {
        let result = timeout(ms(20), async {
            assert!(timeout(ms(10), pending::<()>()).await.is_err());
            sleep(ms(100)).await;
        });
        assert_eq!(result.await, Err(TimeoutError));
        assert_eq!(now(), 20);
    });
}

// C-035
#[test]
fn a_cancel_during_the_cleanup_of_a_limit_propagates_as_a_cancel() {
    run(async {
        let task = create_task(async {
            timeout(ms(10), async {
                let caught = catch_cancel(pending::<()>()).await;
                sleep(ms(10)).await;
                drop(caught);
            })
            .await
        });
        let target = task.task_ref().clone();
        running_loop().call_later(ms(15), move || {
            target.cancel();
        });
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

// C-036
#[test]
fn a_limit_inside_cleanup_works() {
    run(async {
        let log = Log::default();
        let body = finally(pending::<()>(), async |_| {
            log.add(timeout(ms(5), pending::<()>()).await.is_err());
        });
        assert_eq!(timeout(ms(10), body).await, Err(TimeoutError));
        assert_eq!(log.take(), ["true"]);
        assert_eq!(now(), 15);
    });
}

// C-038
#[test]
fn a_limit_can_be_moved() {
    run(async {
        let limit = Timeout::new(ms(10));
        let start = running_loop().time();
        let body = async {
            limit.reschedule(Some(start + ms(30))).unwrap();
            sleep(ms(20)).await;
            limit.reschedule(None).unwrap();
            assert_eq!(limit.when(), None);
            sleep(ms(20)).await;
            limit.reschedule(Some(start + ms(45))).unwrap();
            pending::<()>().await;
        };
        assert_eq!(limit.run(body).await, Err(TimeoutError));
        assert_eq!(now(), 45);
    });
}

#[test]
fn a_limit_can_be_moved_by_others() {
    run(async {
        let limit = Timeout::at(None);
        let other = limit.clone();
        running_loop().call_later(ms(5), move || {
            other.reschedule(Some(running_loop().time() + ms(5))).unwrap();
        });
        assert_eq!(limit.run(pending::<()>()).await, Err(TimeoutError));
        assert_eq!(now(), 10);
    });
}

// C-039
#[test]
fn a_limit_moved_into_the_past_passes_in_the_next_turn() {
    run(async {
        let limit = Timeout::new(ms(10));
        let passed = Cell::new(0);
        let body = async {
            limit.reschedule(Some(running_loop().time())).unwrap();
            for _ in 0..5 {
                yield_now().await;
                passed.set(passed.get() + 1);
            }
        };
        assert_eq!(limit.run(body).await, Err(TimeoutError));
        assert_eq!((passed.get(), now()), (0, 0));
    });
}

// C-040
#[test]
fn a_limit_cannot_be_moved_when_it_is_not_running() {
    run(async {
        let says = |limit: &Timeout| limit.reschedule(None).unwrap_err().to_string();
        let limit = Timeout::new(ms(10));
        assert_eq!(says(&limit), "cannot change a timeout that has not been entered");
        let body = async {
            assert!(catch_cancel(pending::<()>()).await.is_err());
            assert_eq!(says(&limit), "cannot change a timeout that is expiring");
        };
        assert_eq!(limit.run(body).await, Ok(()));
        assert_eq!(says(&limit), "cannot change a timeout that has expired");

        let limit = Timeout::new(ms(10));
        limit.run(async {}).await.unwrap();
        assert_eq!(says(&limit), "cannot change a timeout that is finished");
    });
}

// C-041
#[test]
#[should_panic(expected = "entered twice")]
fn a_limit_is_used_once() {
    run(async {
        let limit = Timeout::new(ms(10));
        limit.run(async {}).await.unwrap();
        limit.run(async {}).await.unwrap();
    });
}

// G-043, G-044
#[test]
fn wait_for_waits_with_and_without_a_limit() {
    run(async {
        assert_eq!(wait_for(async { 1 }, None).await, Ok(1));
        assert_eq!(wait_for(async { 1 }, Some(ms(5))).await, Ok(1));
        let task = create_task(pending::<()>());
        let seen = task.task_ref().clone();
        assert!(wait_for(task, Some(ms(5))).await.is_err());
        assert!(seen.is_cancelled());
    });
}

// G-045
#[test]
fn wait_for_waits_for_a_task_that_takes_its_time_to_end() {
    run(async {
        let task = create_task(async {
            let _ = catch_cancel(pending::<()>()).await;
            sleep(ms(200)).await;
            "late"
        });
        // The task absorbed the request, so `wait_for` returns its value.
        assert_eq!(wait_for(task, Some(ms(100))).await.unwrap().unwrap(), "late");
        assert_eq!(now(), 300);
    });
}

// G-048
#[test]
fn wait_for_with_a_limit_of_zero_takes_what_is_done() {
    run(async {
        let task = create_task(async { 1 });
        turns(1).await;
        assert_eq!(wait_for(task, Some(ms(0))).await.unwrap().unwrap(), 1);
    });
}

// G-051
#[test]
fn a_limit_that_passes_before_the_woken_task_runs_counts() {
    Runner::builder().run(async {
        let promise = create_future();
        let setter = promise.clone();
        running_loop().call_soon(move || {
            setter.set_result(1).unwrap();
            std::thread::sleep(ms(5));
        });
        // A loop whose steps are slow reads the clock after each of them.
        std::thread::sleep(ms(1));
        assert!(wait_for(promise.clone(), Some(ms(1))).await.is_err());
        assert_eq!(promise.result().unwrap(), 1);
    });
}

// G-052
#[test]
fn cancelling_a_task_in_wait_for_cancels_and_awaits_the_inner_one() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let inner = create_task(async move {
            let caught = catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(ms(200)).await;
            inside.add("inner");
            caught.resume::<()>().await;
        });
        let outer = create_task(wait_for(inner, Some(ms(1000))));
        turns(2).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["inner"]);
        assert_eq!(now(), 200);
    });
}

// G-054
#[test]
fn wait_for_runs_a_future_in_the_caller() {
    run(async {
        let id = current_task().unwrap().id();
        assert_eq!(wait_for(async { current_task().unwrap().id() }, Some(ms(5))).await, Ok(id));
    });
}

// G-055
#[test]
fn wait_for_over_a_shield_leaves_the_task() {
    run(async {
        let mut task = create_task(async {
            sleep(ms(10)).await;
            5
        });
        assert!(wait_for(shield(&mut task), Some(ms(1))).await.is_err());
        assert!(wait_for(shield(&mut task), Some(ms(0))).await.is_err());
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn a_limit_around_a_task_waits_for_it_and_keeps_other_holders_unharmed() {
    run(async {
        let dropped = Rc::new(Cell::new(0));
        let count = dropped.clone();
        let task = create_task(async move {
            finally(pending::<()>(), async |_| {
                sleep(ms(3)).await;
                count.set(count.get() + 1);
            })
            .await;
        });
        assert_eq!(timeout(ms(5), task).await.unwrap_err(), TimeoutError);
        assert_eq!((dropped.get(), now()), (1, 8));
    });
}

#[test]
fn a_limit_that_passes_while_the_task_is_asked_to_end_is_not_forgotten() {
    run(async {
        let task = create_task(async {
            // The first handler takes 10 ms to refuse the request. Meanwhile the timeout expires,
            // and only then a handler inside the timeout exists that has to be asked.
            let stubborn = catch_cancel(finally(pending::<()>(), async |_| sleep(ms(10)).await));
            let limited = timeout(ms(5), async {
                sleep(ms(5)).await;
                let _ = catch_cancel(pending::<()>()).await;
            });
            let (stubborn, limited) = futures::join!(stubborn, limited);
            assert!(stubborn.is_err());
            limited
        });
        turns(2).await;
        task.cancel();
        let result = timeout(ms(100), task).await.expect("the task does not hang");
        assert_eq!(result.unwrap(), Err(TimeoutError));
        assert_eq!(now(), 10);
    });
}

/// The handle answered the timeout's request with its task's cancellation. A later await reports
/// the cancellation again.
#[test]
fn a_handle_that_was_lent_to_a_limit_can_be_awaited_again() {
    run(async {
        let mut task = create_task(pending::<()>());
        assert_eq!(timeout(ms(1), &mut task).await.unwrap_err(), TimeoutError);
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), 1);
    });
}

// C-042: it needs no task.
#[test]
fn a_timeout_may_be_polled_in_a_callback() {
    run(async {
        let outcome = Rc::new(Cell::new(None));
        let tell = Rc::clone(&outcome);
        running_loop().call_soon(move || {
            assert!(current_task().is_none());
            let cx = &mut Context::from_waker(Waker::noop());
            assert!(pin!(timeout(ms(1), pending::<()>())).poll(cx).is_pending());
            tell.set(Some(pin!(timeout(ms(1), async { 7 })).poll(cx)));
        });
        yield_now().await;
        assert_eq!(outcome.get(), Some(Poll::Ready(Ok(7))));
    });
}
