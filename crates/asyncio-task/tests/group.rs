//! Task groups.

mod scopes;

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use asyncio_loop::{Context, ContextVar};
use asyncio_task::*;
use scopes::{Log, OnDrop, ms, now, run, turns};

type Unit = Result<(), &'static str>;

fn cancelling() -> usize {
    current_task().unwrap().cancelling()
}

/// Waits forever; when cancelled, logs `name` after `delay`.
async fn cleans_up(log: &Log, name: &'static str, delay: u64) {
    finally(pending::<()>(), async |_| {
        sleep(ms(delay)).await;
        log.add(name);
    })
    .await
}

// C-043
#[test]
fn the_group_waits_for_all_its_children() {
    run(async {
        let log = Log::default();
        let value = task_group(async |group| {
            for (name, delay) in [("slow", 20), ("quick", 10)] {
                let log = &log;
                drop(group.create_task(async move {
                    sleep(ms(delay)).await;
                    log.add(name);
                }));
            }
            log.add("body");
            Ok::<_, ()>(7)
        });
        assert_eq!(value.await, Ok(7));
        assert_eq!(log.take(), ["body", "quick", "slow"]);
        assert_eq!(now(), 20);
    });
}

#[test]
fn children_borrow_and_their_values_come_by_their_handles() {
    run(async {
        let words = [String::from("to"), String::from("be")];
        let seen = Cell::new(0);
        let total = task_group(async |group| {
            let lengths: Vec<_> = words
                .iter()
                .map(|word| {
                    let seen = &seen;
                    group.create_task(async move {
                        seen.set(seen.get() + 1);
                        yield_now().await;
                        Ok::<_, ()>(word.len())
                    })
                })
                .collect();
            let mut total = 0;
            for length in lengths {
                total += length.await;
            }
            Ok(total)
        });
        assert_eq!(total.await, Ok(4));
        assert_eq!(seen.get(), 2);
    });
}

#[test]
fn children_may_borrow_mutably_what_is_disjoint() {
    run(async {
        let mut numbers = [1, 2, 3];
        scope(async |scope| {
            for number in &mut numbers {
                drop(scope.create_task(async move {
                    yield_now().await;
                    *number *= 2;
                }));
            }
        })
        .await;
        assert_eq!(numbers, [2, 4, 6]);
    });
}

// C-044
#[test]
fn children_may_come_late() {
    run(async {
        let count = Cell::new(0);
        scope(async |scope| {
            for _ in 0..3 {
                scope.create_task(async { count.set(count.get() + 1) }).await;
                sleep(ms(10)).await;
            }
        })
        .await;
        assert_eq!((count.get(), now()), (3, 30));
    });
}

// C-045
#[test]
fn children_may_make_siblings_when_the_body_has_ended() {
    run(async {
        let log = Log::default();
        scope(async |scope| {
            let log = &log;
            drop(scope.create_task(async move {
                sleep(ms(10)).await;
                drop(scope.create_task(async move {
                    sleep(ms(10)).await;
                    log.add("grandchild");
                }));
                log.add("child");
            }));
        })
        .await;
        assert_eq!(log.take(), ["child", "grandchild"]);
    });
}

// C-046
#[test]
fn cancelling_one_child_is_no_failure() {
    run(async {
        let value = task_group(async |group| {
            let doomed = group.create_task(pending::<Unit>());
            let fine = group.create_task(async {
                sleep(ms(10)).await;
                Ok(3)
            });
            let own = group.create_task(async {
                current_task().unwrap().cancel();
                pending::<Unit>().await
            });
            yield_now().await;
            doomed.cancel();
            assert!(matches!(doomed.outcome().await, Err(ChildError::Cancelled(_))));
            assert!(matches!(own.outcome().await, Err(ChildError::Cancelled(_))));
            Ok(fine.await)
        });
        assert_eq!(value.await, Ok(3));
    });
}

// C-049, C-054
#[test]
fn the_first_failure_cancels_the_others_and_is_returned() {
    run(async {
        let log = Log::default();
        let error = task_group(async |group| {
            let sibling = group.create_task(cleans_up(&log, "sibling", 10));
            drop(sibling);
            drop(group.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("failed")
            }));
            pending::<()>().await;
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["failed"]);
        assert_eq!(log.take(), ["sibling"]);
        assert_eq!((now(), cancelling()), (15, 0));
        assert!(catch_cancel(sleep(ms(1))).await.is_ok());
    });
}

#[test]
fn a_group_of_errors_is_an_error_whatever_they_are() {
    async fn boxed() -> Result<(), Box<dyn Error>> {
        let child = async { Err::<u8, Box<dyn Error>>("boxed".into()) };
        task_group(async |group| Ok(group.create_task(child).await)).await?;
        Ok(())
    }
    async fn text() -> Result<(), Box<dyn Error>> {
        let child = async { Err::<u8, _>(String::from("text")) };
        task_group(async |group| Ok(group.create_task(child).await)).await?;
        Ok(())
    }
    async fn of_io() -> io::Result<()> {
        task_group(async |group| {
            group.create_task(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
            Err(io::ErrorKind::TimedOut.into())
        })
        .await
        .map_err(Into::into)
    }
    run(async {
        let error = boxed().await.unwrap_err();
        assert_eq!(error.to_string(), "1 error in a task group: boxed");
        assert!(error.is::<ExceptionGroup<Box<dyn Error>>>());
        assert_eq!(text().await.unwrap_err().to_string(), "1 error in a task group: text");

        let error = of_io().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let group = error.into_inner().unwrap().downcast::<ExceptionGroup<io::Error>>().unwrap();
        assert_eq!(group.errors().len(), 2);
        assert_eq!(io::Error::from(cancelled_group().await).kind(), io::ErrorKind::Other);
    });
}

/// The result of a group that was cancelled: it has no errors.
async fn cancelled_group() -> ExceptionGroup<io::Error> {
    let group = task_group(async |group| {
        group.cancel();
        pending::<io::Result<()>>().await
    });
    group.await.unwrap_err()
}

// C-051
#[test]
fn a_body_that_never_waits_runs_to_its_end() {
    run(async {
        let log = Log::default();
        let error = task_group(async |group| {
            drop(group.create_task(async { Err::<(), _>("failed") }));
            log.add("body");
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["failed"]);
        assert_eq!(log.take(), ["body"]);
        assert_eq!(cancelling(), 0);
    });
}

// C-052
#[test]
fn errors_of_cleanup_are_collected_in_order_and_the_bodys_comes_last() {
    run(async {
        let error = task_group(async |group| {
            for (name, delay) in [("second", 2), ("first", 1)] {
                drop(group.create_task(async move {
                    let _ = catch_cancel(pending::<()>()).await;
                    sleep(ms(delay)).await;
                    Err::<(), _>(name)
                }));
            }
            drop(group.create_task(async { Err::<(), _>("cause") }));
            drop(group.create_task(pending::<Unit>()));
            let _ = catch_cancel(pending::<()>()).await;
            Err::<(), _>("body")
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["cause", "first", "second", "body"]);
    });
}

// C-053
#[test]
fn an_error_of_the_body_cancels_the_children() {
    run(async {
        let log = Log::default();
        let error = task_group(async |group| {
            drop(group.create_task(cleans_up(&log, "child", 5)));
            yield_now().await;
            Err::<(), _>("body")
        });
        let error = error.await.unwrap_err();
        assert_eq!(error.to_string(), "1 error in a task group: body");
        assert_eq!(log.take(), ["child"]);
    });
}

// C-055
#[test]
fn a_body_that_catches_the_groups_cancel_may_add_an_error() {
    run(async {
        let error = task_group(async |group| {
            drop(group.create_task(async { Err::<(), _>("child") }));
            let caught = catch_cancel(pending::<()>()).await;
            assert!(caught.is_err());
            Err::<(), _>("body")
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["child", "body"]);
        assert_eq!(cancelling(), 0);
    });
}

// C-056
#[test]
fn a_group_that_is_ending_refuses_children() {
    run(async {
        let log = Log::default();
        let error = task_group(async |group| {
            drop(group.create_task(async { Err::<(), _>("cause") }));
            let _ = catch_cancel(pending::<()>()).await;
            assert!(group.is_ending());
            let unpolled = OnDrop(log.clone(), "dropped");
            let log = &log;
            let child = group.create_task(async move {
                let _unpolled = unpolled;
                log.add("polled");
            });
            assert_eq!(log.take(), ["dropped"]);
            assert!(child.is_done() && child.is_cancelled());
            assert_eq!(child.outcome().await, Err::<(), _>(ChildError::Refused));
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["cause"]);
    });
}

// C-057: the group cannot be named before or after its run. Only a destructor can use it when it is
// over.
#[test]
fn a_group_that_is_over_refuses_children() {
    struct Late<'scope, 'env> {
        group: &'scope TaskGroup<'scope, 'env, &'static str>,
        log: Log,
    }
    impl Drop for Late<'_, '_> {
        fn drop(&mut self) {
            let (unpolled, log) = (OnDrop(self.log.clone(), "dropped"), self.log.clone());
            let late = self.group.create_task(async move {
                let _unpolled = unpolled;
                log.add("polled");
            });
            assert!(self.group.is_ending() && late.is_done() && late.task_ref().is_none());
        }
    }
    run(async {
        let (log, reports) = (Log::default(), Log::default());
        let seen = reports.clone();
        running_loop().set_exception_handler(Some(Rc::new(move |_, context| seen.add(context))));
        let abandoned = timeout(ms(1), async {
            let mut group = std::pin::pin!(task_group(async |group| {
                let late = Late { group, log: log.clone() };
                drop(group.create_task(async move {
                    let _late = late;
                    pending::<()>().await;
                }));
                Ok(())
            }));
            std::future::poll_fn(|cx| {
                assert!(group.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
        });
        abandoned.await.unwrap();
        turns(2).await;
        assert_eq!((log.take(), reports.take()), (vec!["dropped".to_owned()], vec![]));
    });
}

// C-060: a group is a future: it is entered once, and any task may poll it.
#[test]
fn a_group_runs_in_a_callback_too() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        running_loop().call_soon(move || {
            let group = scope(async |scope| {
                let child = scope.create_task(async { current_task().unwrap().name() });
                assert!(current_task().is_none());
                child.await
            });
            let mut group = std::pin::pin!(group);
            let mut cx = std::task::Context::from_waker(Waker::noop());
            // The child runs after the body in the first poll, and the body takes its value in the
            // second.
            assert!(group.as_mut().poll(&mut cx).is_pending());
            match group.as_mut().poll(&mut cx) {
                Poll::Ready(name) => seen.add(name),
                Poll::Pending => unreachable!("no child waits"),
            }
        });
        turns(1).await;
        assert!(log.take()[0].starts_with("Task-"));
    });
}

#[test]
fn whoever_awaits_a_child_without_a_value_ends() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                scope(async |scope| {
                    let _dropped = OnDrop(log, "body");
                    let child = scope.create_task(pending::<()>());
                    child.cancel();
                    child.await;
                })
                .await;
            }
        });
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["body"]);

        // In a group that is ending, awaiting a cancelled child ends the body.
        let error = task_group(async |group| {
            let child = group.create_task(async { Err::<(), _>("child") });
            let _ = catch_cancel(pending::<()>()).await;
            child.await;
            unreachable!();
        });
        assert_eq!(error.await, Err(error_of(["child"])));
        assert!(catch_cancel(sleep(ms(1))).await.is_ok());
    });
}

// C-013, for children
#[test]
fn cancelling_the_parent_cancels_what_its_children_await() {
    async fn cleans_up(log: Log) {
        finally(pending::<()>(), async move |_| {
            sleep(ms(5)).await;
            log.add("cleaned up");
        })
        .await;
    }
    type Parent = fn(Task<()>) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;
    let parents: [Parent; 6] = [
        |task| Box::pin(scope(async |scope| drop(scope.create_task(task)))),
        |task| Box::pin(async { drop(scope(async |scope| scope.create_task(task).await).await) }),
        |task| Box::pin(async { drop(gather((task, async {})).await) }),
        |task| Box::pin(async { drop(race([task]).await) }),
        |task| {
            Box::pin(scope(async |outer| {
                drop(outer.create_task(scope(async |inner| drop(inner.create_task(task)))));
            }))
        },
        |task| {
            let eager = TaskOptions::new().eager_start(true);
            Box::pin(scope(async |scope| drop(scope.create_task_with(task, eager))))
        },
    ];
    for (number, parent) in parents.into_iter().enumerate() {
        run(async {
            let log = Log::default();
            let parent = create_task(parent(create_task(cleans_up(log.clone()))));
            turns(3).await;
            parent.cancel();
            assert!(parent.await.unwrap_err().is_cancelled());
            assert_eq!((log.take(), now()), (vec!["cleaned up".to_owned()], 5), "parent {number}");
        });
    }
}

/// The child awaits a task by a link that only the kernel knows, and its cleanup has begun.
#[test]
fn a_cleanup_beside_an_await_in_a_child_that_cancelled_itself_is_waited_for() {
    run(async {
        let log = Log::default();
        let seen = log.clone();
        let child = async move {
            let mut join = std::pin::pin!(create_task(yield_now()));
            let cancels = async { current_task().unwrap().cancel() };
            let mut cleanup = std::pin::pin!(finally(cancels, async |_| {
                yield_now().await;
                seen.add("cleaned up");
            }));
            std::future::poll_fn(|cx| {
                let _ = join.as_mut().poll(cx);
                cleanup.as_mut().poll(cx).map(drop)
            })
            .await;
        };
        let parent = create_task(scope(async |scope| drop(scope.create_task(child))));
        turns(1).await;
        parent.cancel();
        assert!(parent.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["cleaned up"]);
    });
}

#[test]
fn a_cancelled_child_says_who_cancelled_it_and_where() {
    run(scope(async |scope| {
        let child = scope.create_task(pending::<()>());
        let line = line!() + 1;
        child.cancel();
        let Err(ChildError::Cancelled(reason)) = child.outcome().await else { unreachable!() };
        assert_eq!(reason.site().map(|site| (site.file(), site.line())), Some((file!(), line)));
    }));
}

fn error_of<const N: usize>(errors: [&'static str; N]) -> ExceptionGroup<&'static str> {
    let failing = task_group(async |group| {
        for error in errors {
            drop(group.create_task(async move { Err::<(), _>(error) }));
        }
        Ok(())
    });
    let mut failing = std::pin::pin!(failing);
    let mut cx = std::task::Context::from_waker(Waker::noop());
    match failing.as_mut().poll(&mut cx) {
        Poll::Ready(result) => result.unwrap_err(),
        Poll::Pending => unreachable!("no child waits"),
    }
}

// C-059
#[test]
fn children_that_make_children_for_ever_stop_when_one_fails() {
    async fn hydra<'scope, 'env>(
        group: &'scope TaskGroup<'scope, 'env, &'static str>,
        count: &'env Cell<u32>,
    ) {
        count.set(count.get() + 1);
        sleep(ms(1)).await;
        for _ in 0..2 {
            let head: std::pin::Pin<Box<dyn Future<Output = ()> + 'scope>> =
                Box::pin(hydra(group, count));
            drop(group.create_task(head));
        }
        pending::<()>().await;
    }
    run(async {
        let count = Cell::new(0);
        let error = task_group(async |group| {
            drop(group.create_task(hydra(group, &count)));
            drop(group.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("hercules")
            }));
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["hercules"]);
        assert!((15..64).contains(&count.get()), "{}", count.get());
    });
}

// C-061, C-062
#[test]
fn a_cancel_from_outside_ends_body_then_children_then_the_parent() {
    for body_waits in [true, false] {
        run(async {
            let log = Log::default();
            let task = create_task({
                let log = log.clone();
                async move {
                    let _parent = OnDrop(log.clone(), "parent");
                    scope(async |scope| {
                        drop(scope.create_task(cleans_up(&log, "child", 10)));
                        if body_waits {
                            cleans_up(&log, "body", 5).await;
                        }
                    })
                    .await;
                    log.add("never");
                }
            });
            turns(2).await;
            task.cancel();
            assert!(task.await.unwrap_err().is_cancelled());
            let expected: &[_] =
                if body_waits { &["body", "child", "parent"] } else { &["child", "parent"] };
            assert_eq!(log.take(), expected);
        });
    }
}

#[test]
fn a_group_without_cleanup_is_dropped_with_its_task() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                scope(async |scope| {
                    for name in ["one", "two"] {
                        let dropped = OnDrop(log.clone(), name);
                        drop(scope.create_task(async move {
                            let _dropped = dropped;
                            pending::<()>().await;
                        }));
                    }
                    pending::<()>().await;
                })
                .await;
            }
        });
        turns(1).await;
        assert_eq!(all_tasks().len(), 4);
        task.cancel();
        turns(1).await;
        assert!(task.is_cancelled());
        assert_eq!(all_tasks().len(), 1);
        let mut dropped = log.take();
        dropped.sort();
        assert_eq!(dropped, ["one", "two"]);
    });
}

// C-063
#[test]
fn errors_of_cleanup_come_out_instead_of_the_cancel() {
    run(async {
        let task = create_task(async {
            let error = task_group(async |group| {
                drop(group.create_task(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    Err::<(), _>("cleanup")
                }));
                pending::<()>().await;
                Ok(())
            });
            let error = error.await.unwrap_err().into_errors();
            // The request remains, and ends the next wait.
            (error, catch_cancel(pending::<()>()).await.is_err())
        });
        turns(2).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), (vec!["cleanup"], true));
    });
}

// C-065
#[test]
fn a_body_may_turn_the_cancel_into_an_error() {
    run(async {
        let task = create_task(async {
            task_group(async |group| {
                drop(group.create_task(pending::<Unit>()));
                let caught = catch_cancel(pending::<()>()).await;
                if caught.is_err() { Err("translated") } else { Ok(()) }
            })
            .await
        });
        turns(2).await;
        task.cancel();
        assert_eq!(task.await.unwrap().unwrap_err().into_errors(), ["translated"]);
    });
}

// C-066
#[test]
fn if_the_body_absorbs_the_cancel_the_children_go_on() {
    run(async {
        let task = create_task(async {
            scope(async |scope| {
                let child = scope.create_task(async {
                    sleep(ms(20)).await;
                    5
                });
                assert!(catch_cancel(sleep(ms(10))).await.is_err());
                child.await
            })
            .await
        });
        turns(2).await;
        task.cancel();
        assert_eq!(task.await.unwrap(), 5);
        assert_eq!(now(), 20);
    });
}

#[test]
fn a_child_that_absorbs_cannot_swallow_a_request_to_the_group() {
    run(async {
        let task = create_task(async {
            scope(async |scope| {
                let stubborn = scope.create_task(async {
                    let _ = catch_cancel(pending::<()>()).await;
                    5
                });
                stubborn.await
            })
            .await
        });
        turns(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn for_a_timeout_in_the_body_the_await_of_a_child_is_a_link() {
    run(async {
        let value = scope(async |scope| {
            let stubborn = scope.create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                5
            });
            timeout(ms(10), stubborn).await
        });
        assert_eq!(value.await, Ok(5));

        let value = scope(async |scope| timeout(ms(10), scope.create_task(pending::<()>())).await);
        assert_eq!(value.await, Err(TimeoutError));
        assert_eq!(now(), 20);
    });
}

// C-068
#[test]
fn slow_cleanup_of_the_body_and_a_failing_child() {
    run(async {
        let task = create_task(async {
            task_group(async |group| {
                drop(group.create_task(async {
                    sleep(ms(15)).await;
                    Err::<(), _>("child")
                }));
                let caught = catch_cancel(pending::<()>()).await;
                sleep(ms(10)).await;
                drop(caught);
                pending::<()>().await;
                Ok(())
            })
            .await
        });
        sleep(ms(8)).await;
        task.cancel();
        assert_eq!(task.await.unwrap().unwrap_err().into_errors(), ["child"]);
    });
}

// C-069
#[test]
fn the_error_of_an_inner_group_is_one_error_of_the_outer_one() {
    run(async {
        let log = Log::default();
        let error = task_group(async |outer| {
            drop(outer.create_task(cleans_up(&log, "sibling", 1)));
            let inner = task_group(async |inner| {
                drop(inner.create_task(async { Err::<(), _>("deep") }));
                Ok(())
            });
            inner.await
        });
        let error: ExceptionGroup<ExceptionGroup<&str>> = error.await.unwrap_err();
        assert_eq!(error.errors()[0].errors(), ["deep"]);
        assert_eq!(log.take(), ["sibling"]);
    });
}

// C-070
#[test]
fn a_failure_outside_cancels_an_inner_group_which_adds_nothing() {
    run(async {
        let log = Log::default();
        let error = task_group(async |outer| {
            drop(outer.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("outer")
            }));
            scope(async |inner| {
                drop(inner.create_task(cleans_up(&log, "inner", 5)));
                pending::<()>().await;
            })
            .await;
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["outer"]);
        assert_eq!(log.take(), ["inner"]);
        assert_eq!(now(), 10);
    });
}

// C-071
#[test]
fn failures_in_both_groups_in_the_same_turn() {
    run(async {
        let error = task_group(async |outer| {
            drop(outer.create_task(async {
                sleep(ms(5)).await;
                Err::<(), _>("outer")
            }));
            let inner = task_group(async |inner| {
                drop(inner.create_task(async {
                    sleep(ms(5)).await;
                    Err::<(), _>("inner")
                }));
                pending::<()>().await;
                Ok(())
            });
            assert_eq!(inner.await.unwrap_err().into_errors(), ["inner"]);
            pending::<()>().await;
            Ok(())
        });
        assert_eq!(error.await.unwrap_err().into_errors(), ["outer"]);
        assert_eq!(cancelling(), 0);
    });
}

// C-073
#[test]
fn a_group_can_be_cancelled_from_inside() {
    run(async {
        let log = Log::default();
        let early = task_group(async |group| {
            drop(group.create_task(cleans_up(&log, "child", 5)));
            yield_now().await;
            group.cancel();
            group.cancel();
            pending::<()>().await;
            Ok::<(), &str>(())
        });
        assert!(early.await.unwrap_err().is_empty());
        assert_eq!(log.take(), ["child"]);

        let late = task_group(async |group| {
            drop(group.create_task(async {
                sleep(ms(5)).await;
                group.cancel();
            }));
            drop(group.create_task(pending::<()>()));
            Ok::<_, &str>(4)
        });
        assert_eq!(late.await, Ok(4));
        assert_eq!(cancelling(), 0);
    });
}

// C-037
#[test]
fn a_timeout_around_a_group_whose_cleanup_fails_gives_the_groups_error() {
    run(async {
        let limit = Timeout::new(ms(10));
        let result = limit.run(task_group(async |group| {
            drop(group.create_task(async {
                let _ = catch_cancel(pending::<()>()).await;
                Err::<(), _>("cleanup")
            }));
            pending::<()>().await;
            Ok(())
        }));
        assert_eq!(result.await.unwrap().unwrap_err().into_errors(), ["cleanup"]);
        assert!(limit.is_expired());
    });
}

#[test]
fn a_panic_of_a_child_goes_on_in_the_parent_after_the_others() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let task = create_task(async move {
            scope(async |scope| {
                drop(scope.create_task(cleans_up(&inside, "sibling", 5)));
                drop(scope.create_task(async { panic!("child") }));
                pending::<()>().await;
            })
            .await;
        });
        assert_eq!(task.await.unwrap_err().to_string(), "task panicked: child");
        assert_eq!(log.take(), ["sibling"]);
    });
}

#[test]
fn a_panic_of_the_body_goes_on_after_the_children() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let task = create_task(async move {
            scope(async |scope| {
                drop(scope.create_task(cleans_up(&inside, "child", 5)));
                yield_now().await;
                panic!("body");
            })
            .await;
        });
        assert_eq!(task.await.unwrap_err().to_string(), "task panicked: body");
        assert_eq!(log.take(), ["child"]);
    });
}

#[test]
fn children_are_tasks_to_everybody() {
    static PLACE: ContextVar<&str> = ContextVar::new("PLACE");
    run(async {
        let parent = current_task().unwrap();
        PLACE.set("outside");
        scope(async |scope| {
            let context = Context::new();
            let options = TaskOptions::new().name("child").context(&context);
            let child = scope.create_task_with(
                async {
                    PLACE.set("inside");
                    yield_now().await;
                    (current_task().unwrap().name(), PLACE.try_get())
                },
                options,
            );
            yield_now().await;
            assert!(all_tasks().iter().any(|task| &*task.name() == "child"));
            assert_eq!(current_task().unwrap(), parent);
            assert_eq!(scope.tasks().len(), 1);
            let (name, place) = child.await;
            assert_eq!((&*name, place), ("child", Some("inside")));
            assert_eq!(PLACE.get(), "outside");
            assert!(scope.tasks().is_empty());
        })
        .await;
    });
}

#[test]
fn a_child_can_be_cancelled_by_anybody_and_cleans_up() {
    run(async {
        let log = Log::default();
        scope(async |scope| {
            let child = scope
                .create_task_with(cleans_up(&log, "cleanup", 5), TaskOptions::new().name("target"));
            yield_now().await;
            let target = all_tasks().into_iter().find(|task| &*task.name() == "target").unwrap();
            target.cancel_with("by name");
            let Err(ChildError::Cancelled(reason)) = child.outcome().await else { panic!() };
            assert_eq!(reason.message(), Some("by name"));
        })
        .await;
        assert_eq!(log.take(), ["cleanup"]);
    });
}

#[test]
fn a_child_may_await_its_sibling_and_passes_a_cancel_on_to_it() {
    run(async {
        let log = Log::default();
        scope(async |scope| {
            let first = scope.create_task(cleans_up(&log, "first", 5));
            let seen = first.task_ref().unwrap().clone();
            let second = scope.create_task(async {
                first.await;
                unreachable!();
            });
            turns(2).await;
            second.cancel();
            assert!(second.outcome().await.is_err());
            assert!(seen.is_cancelled());
        })
        .await;
        assert_eq!(log.take(), ["first"]);
    });
}

#[test]
fn eager_children_start_inside_create_task() {
    run(async {
        scope(async |scope| {
            let ran = Cell::new(false);
            let ran = Rc::new(ran);
            let inside = ran.clone();
            let child = scope.create_task_with(
                async move {
                    inside.set(true);
                    catch_cancel(sleep(ms(5))).await.is_ok()
                },
                TaskOptions::new().eager_start(true),
            );
            assert!(ran.get());
            assert!(child.await);
        })
        .await;
    });
}

#[test]
fn only_woken_children_are_polled() {
    run(async {
        let polls = Rc::new(Cell::new(0));
        let wakers: Rc<RefCell<Vec<Waker>>> = Rc::default();
        scope(async |scope| {
            for _ in 0..1000 {
                let (polls, wakers) = (polls.clone(), wakers.clone());
                let mut woken = false;
                drop(scope.create_task(poll_fn(move |cx| {
                    polls.set(polls.get() + 1);
                    if std::mem::replace(&mut woken, true) {
                        return Poll::Ready(());
                    }
                    wakers.borrow_mut().push(cx.waker().clone());
                    Poll::Pending
                })));
            }
            turns(2).await;
            assert_eq!(polls.get(), 1000);
            let wakers = wakers.take();
            for (n, waker) in wakers.into_iter().enumerate() {
                waker.wake();
                turns(2).await;
                assert_eq!(polls.get(), 1001 + n);
            }
        })
        .await;
    });
}

#[test]
fn wakers_of_children_may_outlive_the_group() {
    run(async {
        let kept: Rc<RefCell<Vec<(Waker, TaskRef)>>> = Rc::default();
        scope(async |scope| {
            let kept = kept.clone();
            drop(scope.create_task(poll_fn(move |cx| {
                kept.borrow_mut().push((cx.waker().clone(), current_task().unwrap()));
                Poll::Ready(())
            })));
        })
        .await;
        for (waker, task) in kept.take() {
            waker.wake_by_ref();
            assert!(task.is_done());
            std::thread::spawn(move || waker.wake()).join().unwrap();
        }
        turns(3).await;
    });
}

#[test]
fn a_child_is_woken_from_another_thread() {
    Runner::builder().run(async {
        let value = scope(async |scope| {
            let mut thread = None;
            scope
                .create_task(poll_fn(move |cx| match thread.take() {
                    Some(thread) => {
                        let thread: std::thread::JoinHandle<i32> = thread;
                        if thread.is_finished() {
                            return Poll::Ready(thread.join().unwrap());
                        }
                        Poll::Pending
                    }
                    None => {
                        let waker = cx.waker().clone();
                        let worker = std::thread::spawn(|| 5);
                        while !worker.is_finished() {
                            std::thread::yield_now();
                        }
                        thread = Some(worker);
                        std::thread::spawn(move || waker.wake());
                        Poll::Pending
                    }
                }))
                .await
        });
        assert_eq!(value.await, 5);
    });
}

#[test]
fn values_nobody_takes_are_dropped_with_the_group() {
    run(async {
        let log = Log::default();
        scope(async |scope| {
            let kept = scope.create_task({
                let log = log.clone();
                async move { OnDrop(log, "value") }
            });
            turns(2).await;
            assert!(kept.is_done());
            std::mem::forget(kept);
        })
        .await;
        assert_eq!(log.take(), ["value"]);
    });
}

#[test]
fn a_group_that_is_leaked_harms_nobody() {
    run(async {
        let group = async {
            scope(async |scope| {
                drop(scope.create_task(yield_now()));
                pending::<()>().await;
            })
            .await;
        };
        let mut group = Box::pin(group);
        poll_fn(|cx| {
            assert!(group.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        std::mem::forget(group);
        turns(3).await;
    });
}

#[test]
fn destructors_of_children_see_their_task() {
    struct NotesName(Log);
    impl Drop for NotesName {
        fn drop(&mut self) {
            self.0.add(current_task().unwrap().name());
        }
    }
    run(async {
        let log = Log::default();
        let group = scope(async |scope| {
            let notes = NotesName(log.clone());
            let child = async move {
                let _notes = notes;
                pending::<()>().await;
            };
            drop(scope.create_task_with(child, TaskOptions::new().name("child")));
            pending::<()>().await;
        });
        assert!(timeout(ms(1), group).await.is_err());
        assert_eq!(log.take(), ["child"]);
    });
}

#[test]
fn what_a_body_has_answered_before_is_no_answer_to_a_request_from_outside() {
    run(async {
        let task = create_task(async {
            let group = task_group(async |group| {
                drop(group.create_task(async { Err::<(), _>("failed") }));
                // Keeps the group's request open, since no task polls this future again.
                let mut kept = pin!(catch_cancel(pending::<()>()));
                poll_fn(|cx| Poll::Ready(kept.as_mut().poll(cx).is_pending())).await;
                let caught = catch_cancel(pending::<()>()).await.unwrap_err();
                current_task().unwrap().cancel();
                sleep(ms(5)).await;
                caught.resume::<Result<(), _>>().await
            });
            assert_eq!(group.await, Err(error_of(["failed"])));
            pending::<()>().await;
        });
        let ended = timeout(ms(100), task).await.expect("the request is not lost");
        assert!(ended.unwrap_err().is_cancelled());
        assert_eq!(now(), 0);
    });
}

#[test]
fn a_body_without_a_value_needs_no_ok() {
    run(async {
        let ended = Cell::new(0);
        let result = task_group(async |group| {
            group.create_task(async {
                ended.set(ended.get() + 1);
                Ok::<_, String>(())
            });
            group.create_task(async { ended.set(ended.get() + 1) });
        });
        assert_eq!(result.await, Ok(()));
        assert_eq!(ended.get(), 2);
        let failed = task_group(async |group| {
            group.create_task(async { Err::<(), _>("no luck") });
        });
        assert_eq!(failed.await.unwrap_err().errors(), ["no luck"]);
    });
}

#[test]
fn a_body_or_a_child_may_never_return() {
    run(async {
        let beats = Cell::new(0);
        let result = task_group(async |group| {
            group.create_task(async {
                loop {
                    sleep(ms(10)).await;
                    beats.set(beats.get() + 1);
                }
            });
            group.create_task(async {
                sleep(ms(35)).await;
                Err::<(), _>("over")
            });
            loop {
                sleep(ms(100)).await;
            }
        });
        assert_eq!(result.await.unwrap_err().errors(), ["over"]);
        assert_eq!((beats.get(), now()), (3, 35));
    });
}
