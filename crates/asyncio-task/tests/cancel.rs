//! Cancelling tasks: which tasks get the request, in what order, and the results.

mod scopes;

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{Context, ExceptionHandler, context_var};
use asyncio_task::*;
use scopes::{Log, OnDrop, ms, now, run, turns};

/// Waits forever, noting its drop.
async fn wait(log: &Log, name: &'static str) {
    let _dropped = OnDrop(log.clone(), name);
    pending().await
}

// C-002
#[test]
fn a_finished_task_cannot_be_cancelled() {
    run(async {
        let mut task = create_task(async { 1 });
        turns(1).await;
        assert!(!task.cancel());
        assert_eq!(task.cancelling(), 0);
        assert_eq!(task.try_result().unwrap().unwrap(), 1);

        let cancelled = create_task(pending::<()>());
        cancelled.cancel();
        turns(1).await;
        assert!(cancelled.is_cancelled() && !cancelled.cancel());
    });
}

// C-003
#[test]
fn a_task_cancelled_before_its_first_poll_runs_nothing() {
    run(async {
        let log = Log::default();
        let body = log.clone();
        let task = create_task(finally(async move { body.add("ran") }, {
            let log = log.clone();
            async move |_| log.add("cleanup")
        }));
        task.cancel_with("too late");
        let error = task.await.unwrap_err();
        assert_eq!(error.to_string(), "task was cancelled: too late");
        assert_eq!(log.take(), [""; 0]);
    });
}

// C-004
#[test]
fn the_promise_that_a_cancelled_task_waits_for_is_cancelled_too() {
    run(async {
        let promise = create_future::<()>();
        let task = create_task(promise.clone());
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(promise.is_cancelled());
    });
}

#[test]
fn the_promise_that_a_foreign_combinator_drops_is_left_alone() {
    run(async {
        let promise = create_future::<()>();
        let waiting = promise.clone();
        create_task(async move {
            let mut waiting = Box::pin(waiting);
            poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_pending())).await;
        })
        .await
        .unwrap();
        assert!(!promise.is_done());
    });
}

// C-005
#[test]
fn a_task_that_cancels_itself_goes_on_to_its_next_wait() {
    run(async {
        let log = Log::default();
        let body = log.clone();
        let task = create_task(async move {
            current_task().unwrap().cancel();
            body.add("goes on");
            pending::<()>().await;
            body.add("never");
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["goes on"]);
    });
}

// C-005
#[test]
fn a_task_that_cancels_itself_catches_that_at_its_next_wait() {
    run(async {
        let task = create_task(async {
            current_task().unwrap().cancel();
            catch_cancel(pending::<()>()).await.is_err()
        });
        assert!(task.await.unwrap());
    });
}

// C-006
#[test]
fn a_task_that_cancels_itself_and_returns_is_cancelled() {
    run(async {
        let task = create_task(async {
            yield_now().await;
            current_task().unwrap().cancel();
            1
        });
        assert!(task.await.unwrap_err().is_cancelled());

        let supervised = create_task(async {
            assert!(catch_cancel(yield_now()).await.is_ok());
            current_task().unwrap().cancel();
            1
        });
        assert!(supervised.await.unwrap_err().is_cancelled());
    });
}

// C-007, G-053
#[test]
fn a_task_that_is_woken_but_not_polled_sees_the_cancel_not_the_value() {
    run(async {
        let promise = create_future();
        let waiting = promise.clone();
        let task = create_task(catch_cancel(async move { waiting.await.unwrap() }));
        turns(1).await;
        promise.set_result(1).unwrap();
        task.cancel();
        assert!(task.await.unwrap().is_err());
        assert_eq!(promise.result().unwrap(), 1);
    });
}

// C-009, C-017
#[test]
fn after_a_caught_cancel_awaits_are_undisturbed() {
    run(async {
        let task = create_task(async {
            let caught = catch_cancel(pending::<()>()).await.is_err();
            sleep(ms(10)).await;
            assert!(catch_cancel(sleep(ms(10))).await.is_ok());
            (caught, now())
        });
        turns(1).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), (true, 20));
    });
}

// C-010
#[test]
fn a_panic_while_handling_a_cancel_is_the_outcome() {
    run(async {
        let task = create_task(async {
            let _ = catch_cancel(pending::<()>()).await;
            panic!("instead");
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_panicked());
    });
}

// C-011
#[test]
fn two_requests_before_delivery_are_delivered_once() {
    run(async {
        let task = create_task(async {
            let first = catch_cancel(pending::<()>()).await.is_err();
            let second = catch_cancel(sleep(ms(1))).await.is_err();
            (first, second)
        });
        turns(1).await;
        assert!(task.cancel());
        assert!(task.cancel());
        assert_eq!(task.cancelling(), 2);
        assert_eq!(task.await.unwrap(), (true, false));
    });
}

// C-012
#[test]
fn the_reason_says_what_who_and_where() {
    run(async {
        let task = create_task(pending::<()>());
        let inner = create_task(async move {
            task.cancel_with("enough");
            task.await.unwrap_err()
        });
        inner.set_name("boss");
        let JoinError::Cancelled(reason) = inner.await.unwrap() else { panic!("it was cancelled") };
        assert_eq!(reason.message(), Some("enough"));
        assert_eq!(reason.asked_by().as_deref(), Some("boss"));
        assert!(reason.site().unwrap().file().ends_with("cancel.rs"));

        let silent = create_task(pending::<()>());
        silent.cancel();
        let JoinError::Cancelled(reason) = silent.await.unwrap_err() else { panic!() };
        assert_eq!(reason.message(), None);
    });
}

// C-013
#[test]
fn cancelling_a_waiting_task_cancels_what_it_waits_for_first() {
    run(async {
        let log = Log::default();
        let inner = create_task({
            let log = log.clone();
            async move {
                let cleanup = log.clone();
                finally(pending::<()>(), async move |_| {
                    sleep(ms(10)).await;
                    cleanup.add("inner done");
                })
                .await;
            }
        });
        let seen = inner.task_ref().clone();
        let outer = create_task({
            let log = log.clone();
            async move {
                let _dropped = OnDrop(log, "outer dropped");
                inner.await.unwrap();
            }
        });
        turns(1).await;
        outer.cancel_with("stop");
        assert_eq!(seen.cancelling(), 1, "forwarded during the call");
        let error = outer.await.unwrap_err();
        assert_eq!(error.to_string(), "task was cancelled: stop");
        assert!(seen.is_cancelled());
        assert_eq!(log.take(), ["inner done", "outer dropped"]);
    });
}

// C-014
#[test]
fn if_the_awaited_task_absorbs_the_cancel_the_awaiter_gets_its_value() {
    run(async {
        let inner = create_task(async {
            let _ = catch_cancel(pending::<()>()).await;
            sleep(ms(1)).await;
            7
        });
        let outer = create_task(async move {
            let value = inner.await.unwrap();
            sleep(ms(1)).await;
            (value, current_task().unwrap().cancelling())
        });
        turns(1).await;
        outer.cancel();
        assert_eq!(outer.await.unwrap(), (7, 1));
    });
}

#[test]
fn a_panic_of_the_awaited_task_answers_the_request_too() {
    run(async {
        let inner = create_task(async {
            let _ = catch_cancel(pending::<()>()).await;
            panic!("inner");
        });
        let outer = create_task(async move { inner.await.unwrap_err().is_panicked() });
        turns(1).await;
        outer.cancel();
        assert!(outer.await.unwrap());
    });
}

// C-016
#[test]
fn a_task_that_cancels_itself_cancels_what_it_awaits_then() {
    run(async {
        let log = Log::default();
        let outer = create_task({
            let log = log.clone();
            async move {
                let promise = create_future::<()>();
                let blocked = create_task(promise.clone());
                yield_now().await;
                let fresh = log.clone();
                let fresh = create_task(async move { fresh.add("ran") });
                current_task().unwrap().cancel();
                let log = log.clone();
                let both = finally(
                    async {
                        let _ = catch_cancel(blocked).await;
                        let _ = fresh.await;
                    },
                    async move |_| log.add(format!("promise {}", promise.is_cancelled())),
                );
                both.await;
            }
        });
        let _ = outer.await;
        assert_eq!(log.take(), ["ran", "promise true"]);
    });
}

#[test]
fn a_self_cancelled_task_that_awaits_a_fresh_one_runs_none_of_it() {
    run(async {
        let ran = Rc::new(Cell::new(false));
        let inside = ran.clone();
        let outer = create_task(async move {
            let fresh = create_task(async move { inside.set(true) });
            current_task().unwrap().cancel();
            fresh.await.unwrap();
        });
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(!ran.get());
    });
}

#[test]
fn a_chain_of_awaiting_tasks_is_cancelled_without_recursion() {
    run(async {
        let mut last = create_task(pending::<()>());
        for _ in 0..100_000 {
            last = create_task(async move { last.await.unwrap() });
        }
        turns(1).await;
        turns(1).await;
        last.cancel();
        assert!(last.await.unwrap_err().is_cancelled());
        assert_eq!(all_tasks().len(), 1);
    });
}

// C-019
#[test]
fn uncancel_to_zero_withdraws_what_was_not_delivered() {
    run(async {
        let promise = create_future();
        let waiting = promise.clone();
        let task = create_task(async move { waiting.await.unwrap() });
        turns(1).await;
        promise.set_result(5).unwrap();
        task.cancel();
        assert_eq!(task.cancelling(), 1);
        assert_eq!(task.uncancel(), 0);
        assert_eq!(task.uncancel(), 0, "never below");
        assert_eq!(task.await.unwrap(), 5);
    });
}

#[test]
fn uncancel_withdraws_from_a_catch_that_was_asked() {
    run(async {
        let promise = create_future();
        let waiting = promise.clone();
        let task = create_task(catch_cancel(async move { waiting.await.unwrap() }));
        turns(1).await;
        task.cancel();
        task.uncancel();
        turns(3).await;
        promise.set_result(5).unwrap();
        assert_eq!(task.await.unwrap().unwrap(), 5);
    });
}

// C-020
#[test]
fn a_block_may_cancel_its_own_task_and_take_that_back() {
    run(async {
        let task = create_task(async {
            let this = current_task().unwrap();
            let timer = this.clone();
            running_loop().call_later(ms(10), move || {
                timer.cancel();
            });
            assert!(catch_cancel(pending::<()>()).await.is_err());
            assert_eq!(this.cancelling(), 1);
            assert_eq!(this.uncancel(), 0);
            sleep(ms(10)).await;
            (this.cancelling(), now())
        });
        assert_eq!(task.await.unwrap(), (0, 20));
    });
}

#[test]
fn finally_runs_after_a_value_a_panic_and_a_cancel() {
    run(async {
        let value = finally(async { 1 }, async |outcome: Outcome<'_, i32>| {
            yield_now().await;
            assert_eq!(outcome, Outcome::Finished(&1));
        });
        assert_eq!(value.await, 1);

        let log = Log::default();
        let cleanup = log.clone();
        let panics = create_task(async move {
            finally(async { panic!("body") }, async move |outcome: Outcome<'_, ()>| {
                yield_now().await;
                assert_eq!(outcome, Outcome::Panicked);
                cleanup.add("cleanup");
            })
            .await
        });
        assert_eq!(panics.await.unwrap_err().to_string(), "task panicked: body");
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn nested_cleanups_run_from_the_inside_out_before_the_task_ends() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let _task = OnDrop(log.clone(), "task");
                let inner = finally(wait(&log, "body"), async |outcome| {
                    assert!(outcome.is_cancelled());
                    sleep(ms(10)).await;
                    log.add("inner");
                });
                finally(inner, async |_| {
                    sleep(ms(10)).await;
                    log.add("outer");
                })
                .await;
                log.add("never");
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["body", "inner", "outer", "task"]);
        assert_eq!(now(), 20);
    });
}

#[test]
fn a_cleanup_is_shielded_and_a_request_during_that_of_a_finished_body_waits() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let value = finally(async { 3 }, async |_: Outcome<'_, i32>| {
                    assert!(catch_cancel(sleep(ms(10))).await.is_ok());
                    log.add("cleanup");
                })
                .await;
                log.add(value);
                catch_cancel(pending::<()>()).await.unwrap_err().resume::<()>().await;
            }
        });
        turns(1).await;
        task.cancel();
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["cleanup", "3"]);
        assert_eq!(now(), 10);
    });
}

#[test]
fn catch_cancel_lets_the_cleanup_inside_it_run_first() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let inner = finally(pending::<()>(), async |_| {
                    sleep(ms(5)).await;
                    log.add("cleanup");
                });
                let caught = catch_cancel(inner).await.is_err();
                log.add("caught");
                caught
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap());
        assert_eq!(log.take(), ["cleanup", "caught"]);
    });
}

#[test]
fn resume_passes_the_request_on_to_what_is_further_out() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let outer = catch_cancel(async {
                    let caught = catch_cancel(pending::<()>()).await.unwrap_err();
                    log.add("inner");
                    caught.resume::<()>().await;
                    log.add("never");
                });
                let caught = outer.await.unwrap_err();
                log.add(caught.message().unwrap_or("nothing").to_owned());
                assert_eq!(current_task().unwrap().cancelling(), 1);
                caught.resume::<()>().await;
            }
        });
        turns(1).await;
        task.cancel_with("please");
        let error = task.await.unwrap_err();
        assert_eq!(error.to_string(), "task was cancelled: please");
        assert_eq!(log.take(), ["inner", "please"]);
    });
}

#[test]
fn a_cleanup_cannot_take_back_what_it_is_there_for() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let inner = finally(pending::<()>(), async |_| {
                    let task = current_task().unwrap();
                    task.cancel();
                    while task.uncancel() > 0 {}
                    log.add("inner");
                });
                finally(inner, async |_| log.add("outer")).await;
            }
        });
        turns(1).await;
        task.cancel();
        let ended = timeout(ms(1000), task).await.expect("the task hangs");
        assert!(ended.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["inner", "outer"]);
    });
}

#[test]
fn resume_inside_a_cleanup_ends_that_cleanup_only() {
    run(async {
        let task = create_task(async {
            finally(async { 8 }, async |_: Outcome<'_, i32>| {
                let this = current_task().unwrap();
                let caught = catch_cancel(async {
                    // Requests to the task do not reach code inside a cleanup.
                    this.cancel();
                    yield_now().await;
                });
                assert!(caught.await.is_ok());
                this.uncancel();
            })
            .await
        });
        assert_eq!(task.await.unwrap(), 8);
    });
}

#[test]
fn a_cancelled_that_its_holder_lost_by_a_cancel_is_not_swallowed() {
    run(async {
        let task = create_task(async {
            let inner = catch_cancel(async {
                let caught = catch_cancel(pending::<()>()).await.unwrap_err();
                pending::<()>().await;
                drop(caught);
            });
            let again = inner.await.is_err();
            assert!(again);
            catch_cancel(sleep(ms(1))).await.is_ok()
        });
        turns(1).await;
        task.cancel();
        turns(3).await;
        task.cancel();
        // The second request was answered. The first one was held by a handler that has been
        // dropped, and was not answered.
        assert!(!task.await.unwrap());
    });
}

#[test]
fn a_request_whose_handler_is_dropped_by_a_select_is_delivered_afresh() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                {
                    let cleanup = finally(pending::<()>(), async |_| pending().await);
                    let mut cleanup = pin!(cleanup);
                    let mut timer = pin!(sleep(ms(10)));
                    poll_fn(|cx| {
                        if timer.as_mut().poll(cx).is_ready() {
                            return Poll::Ready(());
                        }
                        let _ = cleanup.as_mut().poll(cx);
                        Poll::Pending
                    })
                    .await;
                }
                log.add("selected");
                let _dropped = OnDrop(log.clone(), "ended");
                pending::<()>().await;
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["selected", "ended"]);
        assert_eq!(now(), 10);
    });
}

#[test]
fn pass_wins_over_absorb() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let absorbs = async {
                    let _ = catch_cancel(pending::<()>()).await;
                    log.add("absorbed");
                    pending::<()>().await;
                };
                let passes = finally(pending::<()>(), async |_| {
                    sleep(ms(5)).await;
                    log.add("passed");
                });
                let (mut absorbs, mut passes) = (pin!(absorbs), pin!(passes));
                poll_fn(|cx| {
                    let _ = absorbs.as_mut().poll(cx);
                    let _ = passes.as_mut().poll(cx);
                    Poll::<()>::Pending
                })
                .await;
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["absorbed", "passed"]);
    });
}

#[test]
fn a_scope_that_nobody_polls_does_not_keep_its_task() {
    run(async {
        let reports = Log::default();
        let seen = reports.clone();
        let handler: ExceptionHandler = Rc::new(move |_, context| seen.add(context));
        running_loop().set_exception_handler(Some(handler));
        let task = create_task(async {
            let mut aside = Box::pin(finally(pending::<()>(), async |_| ()));
            poll_fn(|cx| {
                assert!(aside.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            pending::<()>().await;
            drop(aside);
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(reports.len(), 1);
    });
}

#[test]
fn critical_code_that_nobody_polls_does_not_keep_its_task() {
    run(async {
        let reports = Log::default();
        let seen = reports.clone();
        let handler: ExceptionHandler = Rc::new(move |_, context| seen.add(context));
        running_loop().set_exception_handler(Some(handler));
        let task = create_task(async {
            let mut aside = Box::pin(critical(sleep(ms(1))));
            poll_fn(|cx| {
                assert!(aside.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            pending::<()>().await;
            drop(aside);
        });
        sleep(ms(2)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(reports.len(), 1);
        assert_eq!(now(), 2);
    });
}

#[test]
fn critical_code_is_not_interrupted() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let value = critical(async {
                    sleep(ms(10)).await;
                    5
                })
                .await;
                log.add(value);
                pending::<()>().await;
            }
        });
        turns(1).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["5"]);
        assert_eq!(now(), 10);
    });
}

// G-037, G-038
#[test]
fn a_shield_keeps_the_cancel_from_the_task() {
    run(async {
        let inner = create_task(async {
            sleep(ms(10)).await;
            "done"
        });
        let inner = Rc::new(RefCell::new(Some(inner)));
        let held = inner.clone();
        let outer = create_task(async move {
            let mut task = held.borrow_mut().take().unwrap();
            let _ = catch_cancel(async { shield(&mut task).await.unwrap() }).await;
            *held.borrow_mut() = Some(task);
        });
        turns(1).await;
        outer.cancel();
        outer.await.unwrap();
        assert_eq!(now(), 0);
        let inner = inner.borrow_mut().take().unwrap();
        assert_eq!(shield(inner).await.unwrap(), "done");
        // G-037: of a finished task too.
        let mut finished = create_task(async { 1 });
        turns(1).await;
        assert_eq!(shield(&mut finished).await.unwrap(), 1);
    });
}

// G-039
#[test]
fn cancelling_the_shielded_task_shows() {
    run(async {
        let inner = create_task(pending::<()>());
        inner.cancel();
        assert!(shield(inner).await.unwrap_err().is_cancelled());
    });
}

#[test]
fn destructors_of_a_cancelled_task_see_it_as_the_current_one() {
    struct Checks(Log);
    impl Drop for Checks {
        fn drop(&mut self) {
            self.0.add(current_task().unwrap().name());
        }
    }
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let task = create_task(async move {
            let _checks = Checks(inside);
            pending::<()>().await;
        });
        task.set_name("doomed");
        turns(1).await;
        task.cancel();
        let _ = task.await;
        assert_eq!(log.take(), ["doomed"]);
    });
}

#[test]
fn a_scope_may_move_to_another_task() {
    run(async {
        let scope = Rc::new(RefCell::new(Box::pin(catch_cancel(pending::<()>()))));
        let poll_in = |scope: Rc<RefCell<std::pin::Pin<Box<CatchCancel<_>>>>>| {
            create_task(poll_fn(move |cx| scope.borrow_mut().as_mut().poll(cx)))
        };
        let first = poll_in(scope.clone());
        turns(1).await;
        let second = poll_in(scope.clone());
        turns(1).await;
        // The scope belongs to the task that polled it last.
        first.cancel();
        assert!(first.await.unwrap_err().is_cancelled());
        second.cancel();
        assert!(second.await.unwrap().is_err());
    });
}

#[test]
fn a_panicking_destructor_of_a_cancelled_body_is_the_outcome() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("destructor");
        }
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        run(async {
            let task = create_task(async {
                let _panics = Panics;
                pending::<()>().await;
            });
            turns(1).await;
            task.cancel();
            task.await.unwrap_err().is_panicked()
        })
    }));
    assert!(result.unwrap());
}

/// A task ends before the task that it awaits has answered the request: both are freed.
#[test]
fn a_task_that_ends_with_a_request_unanswered_is_freed() {
    context_var! { local static HELD: Rc<OnDrop>; }
    for awaiter_returns in [true, false] {
        let log = Log::default();
        run(async {
            let context = Context::new();
            context.run(|| drop(HELD.set(Rc::new(OnDrop(log.clone(), "freed")))));
            let slow = create_task(finally(pending::<()>(), async |_| sleep(ms(5)).await));
            let left = Cell::new(2);
            let mut slow = Some(slow);
            let awaiter = poll_fn(move |cx| {
                if let Some(slow) = &mut slow {
                    assert!(pin!(slow).poll(cx).is_pending());
                }
                left.set(left.get() - 1);
                if left.get() > 0 {
                    return Poll::Pending;
                }
                slow = None;
                assert!(awaiter_returns, "on purpose");
                Poll::Ready(())
            });
            let task = create_task_with(awaiter, TaskOptions::new().context(&context));
            drop(context);
            turns(2).await;
            task.cancel();
            task.task_ref().wake();
            let _outcome = task.await;
            sleep(ms(10)).await;
        });
        assert_eq!(log.take(), ["freed"]);
    }
}

#[test]
fn a_handle_that_was_lent_to_a_catch_can_be_awaited_again() {
    run(async {
        let task = create_task(async {
            let mut inner = create_task(pending::<()>());
            assert!(catch_cancel(&mut inner).await.is_err());
            assert!(inner.await.unwrap_err().is_cancelled());
            "went on"
        });
        turns(2).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), "went on");
    });
}

/// The new request has not reached the handler that answers just now.
#[test]
fn a_request_made_while_another_is_being_answered_stays() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let task = create_task(async move {
            // The task that the timeout cancels still returns a value. Both timers fire in one
            // turn, the task's first.
            let stubborn = create_task(critical(sleep(ms(5))));
            let asks = async {
                turns(2).await;
                sleep(ms(5)).await;
                current_task().unwrap().cancel();
            };
            let limited = timeout(ms(1), stubborn);
            let ((), limited) = futures::join!(asks, limited);
            assert!(limited.unwrap().is_ok());
            notes.add("went on");
            pending::<()>().await;
        });
        let ended = timeout(ms(100), task).await.expect("the request is not lost");
        assert!(ended.unwrap_err().is_cancelled());
        assert_eq!((log.take(), now()), (vec!["went on".to_owned()], 5));
    });
}

#[test]
fn a_request_from_a_destructor_of_what_a_catch_drops_stays() {
    struct CancelSelf;

    impl Drop for CancelSelf {
        fn drop(&mut self) {
            current_task().unwrap().cancel();
        }
    }

    run(async {
        let task = create_task(async {
            let caught = catch_cancel(async {
                let _again = CancelSelf;
                pending::<()>().await;
            });
            drop(caught.await.unwrap_err());
            let _ = catch_cancel(pending::<()>()).await.map_err(drop);
            current_task().unwrap().cancelling()
        });
        turns(1).await;
        task.cancel();
        let caught = timeout(ms(100), task).await.expect("the second request is not lost");
        assert_eq!(caught.unwrap(), 2);
    });
}

/// Two tasks that wait for each other.
async fn a_cycle(second: impl AsyncFnOnce(Task<()>) + 'static) -> (TaskRef, TaskRef) {
    let place = Rc::new(RefCell::new(None));
    let first = Rc::clone(&place);
    let inner = create_task(async move {
        yield_now().await;
        let first = first.take().expect("set before the next turn");
        second(first).await;
    });
    let second = inner.task_ref().clone();
    let outer = create_task(async { inner.await.unwrap() });
    let first = outer.task_ref().clone();
    place.replace(Some(outer));
    turns(3).await;
    assert!(!first.is_done() && !second.is_done());
    (first, second)
}

// A request that comes back to a task that it has visited goes no further.
#[test]
fn tasks_that_await_each_other_can_be_cancelled() {
    run(async {
        let straight = async |first: Task<()>| first.await.unwrap();
        for order in [&[0][..], &[1], &[0, 0, 1], &[1, 1]] {
            let (first, second) = a_cycle(straight).await;
            for &which in order {
                assert!([&first, &second][which].cancel());
            }
            turns(4).await;
            assert!(first.is_cancelled() && second.is_cancelled(), "{order:?}");
        }

        let (first, second) = a_cycle(straight).await;
        first.cancel();
        assert_eq!((first.requests(), second.requests()), (1, 1));
        turns(4).await;
    });
}

// Each of the two tasks answers as if the other one were not there.
#[test]
fn a_request_in_a_circle_can_be_caught() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let (first, second) = a_cycle(async move |mut first| {
            assert!(catch_cancel(&mut first).await.is_err());
            seen.add("caught");
        })
        .await;
        first.cancel();
        turns(4).await;
        assert_eq!(log.take(), ["caught"]);
        assert!(second.is_done() && !second.is_cancelled());
        assert!(first.is_done() && !first.is_cancelled(), "the other task absorbed the request");
    });
}

// Issue: a chain of awaiting tasks at the end of a run took time that grew with its square.
#[test]
fn the_end_of_a_run_asks_each_task_once() {
    fn chain(length: usize) -> Vec<TaskRef> {
        let mut last = create_task(pending::<()>());
        let mut tasks = vec![last.task_ref().clone()];
        for _ in 0..length {
            let awaited = last;
            last = create_task(async move { drop(awaited.await) });
            tasks.push(last.task_ref().clone());
        }
        tasks
    }
    let tasks = run(async {
        let tasks = chain(100);
        turns(200).await;
        tasks
    });
    assert!(tasks.iter().all(TaskRef::is_cancelled));
    // The first task awaits no other one, so it has no node that counts requests.
    let counts: Vec<_> = tasks[1..].iter().map(TaskRef::requests).collect();
    assert_eq!(counts, [1; 100]);
}

#[test]
fn tasks_that_are_cancelled_together_are_waited_for_all_the_same() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let inner = create_task(finally(pending::<()>(), async move |_| {
            sleep(ms(5)).await;
            seen.add("inner");
        }));
        let (inner_ref, seen) = (inner.task_ref().clone(), log.clone());
        let outer = create_task(finally(async move { drop(inner.await) }, async move |_| {
            seen.add("outer");
        }));
        turns(2).await;
        // Cancels the awaited task first, then the one that awaits it.
        let both = [inner_ref, outer.task_ref().clone()];
        asyncio_task::machinery::cancel_all(both, &CancelReason::new("all"));
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["inner", "outer"]);
    });
}
