//! Combinators of other crates, which drop branches half-way, move them, poll them with wakers of
//! their own, or keep them without polling them: no cancel request is lost.

mod scopes;

use std::future::pending;
use std::pin::{Pin, pin};
use std::rc::Rc;

use asyncio_loop::ExceptionHandler;
use asyncio_task::*;
use futures::future::{FutureExt, LocalBoxFuture, abortable, select_all};
use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use scopes::{Log, OnDrop, ms, now, run, turns};

type Branch = LocalBoxFuture<'static, ()>;
/// A function that makes a branch with a scope.
type Make = fn() -> Branch;
/// A combinator that ends with its second branch, and drops the first.
type Combinator = fn(Branch, Branch) -> Branch;

fn combinators() -> Vec<(&'static str, Combinator)> {
    vec![
        ("futures::select!", |a, b| {
            async move {
                let (mut a, mut b) = (a.fuse(), b.fuse());
                futures::select! { () = a => (), () = b => () }
            }
            .boxed_local()
        }),
        ("futures::select_biased!", |a, b| {
            async move {
                let (mut a, mut b) = (a.fuse(), b.fuse());
                futures::select_biased! { () = b => (), () = a => () }
            }
            .boxed_local()
        }),
        ("futures::future::select", |a, b| futures::future::select(a, b).map(drop).boxed_local()),
        ("select_all", |a, b| select_all([a, b]).map(drop).boxed_local()),
        ("FuturesUnordered", |a, b| {
            async move {
                let mut both: FuturesUnordered<_> = [a, b].into_iter().collect();
                both.next().await;
            }
            .boxed_local()
        }),
        ("FuturesOrdered", |a, b| {
            async move {
                let mut both: FuturesOrdered<_> = [b, a].into_iter().collect();
                both.next().await;
            }
            .boxed_local()
        }),
        ("abortable", |a, b| {
            let (a, handle) = abortable(a);
            let b = b.map(move |()| handle.abort());
            async move { futures::join!(b, a).0 }.boxed_local()
        }),
        ("tokio::select!", |a, b| {
            async move {
                tokio::select! { () = a => (), () = b => () }
            }
            .boxed_local()
        }),
        ("tokio::select! biased", |a, b| {
            async move {
                tokio::select! { biased; () = a => (), () = b => () }
            }
            .boxed_local()
        }),
    ]
}

/// A cleanup that takes a second.
async fn slow() {
    finally(pending(), async |_| sleep(ms(1000)).await).await
}

/// Scopes that take a second to answer a request, and pass it on.
fn scopes_that_pass() -> Vec<(&'static str, Make)> {
    vec![
        ("finally", || slow().boxed_local()),
        ("finally in finally", || finally(slow(), async |_| ()).boxed_local()),
        ("timeout", || timeout(ms(5000), slow()).map(drop).boxed_local()),
        ("two timeouts", || {
            timeout(ms(5000), timeout(ms(5000), slow()).map(drop)).map(drop).boxed_local()
        }),
        ("shield", || {
            let inner = create_task(sleep(ms(50)));
            finally(shield(inner).map(drop), async |_| sleep(ms(1000)).await).boxed_local()
        }),
        ("critical", || critical(sleep(ms(1000))).boxed_local()),
        ("critical in a cleanup", || {
            finally(pending(), async |_| critical(sleep(ms(1000))).await).boxed_local()
        }),
        ("scope", || scope(async |scope| scope.create_task(slow()).await).boxed_local()),
        ("task_group", || {
            let group = task_group(async |group| {
                drop(group.create_task(slow()));
                group.create_task(slow().map(Ok::<(), ()>)).await;
                Ok(())
            });
            group.map(drop).boxed_local()
        }),
        ("group in a group", || {
            scope(async |outer| {
                outer.create_task(scope(async |s| s.create_task(slow()).await)).await
            })
            .boxed_local()
        }),
        ("gather", || gather((slow(), slow())).map(drop).boxed_local()),
        ("race", || race([slow(), slow()]).boxed_local()),
        ("task that cleans up", || create_task(slow()).map(drop).boxed_local()),
        ("task that awaits a task", || {
            create_task(create_task(slow()).map(drop)).map(drop).boxed_local()
        }),
        ("task in a timeout", || timeout(ms(5000), create_task(slow())).map(drop).boxed_local()),
    ]
}

/// Scopes that return a value after a second, and so would absorb the request if they were not
/// dropped.
fn scopes_that_absorb() -> Vec<(&'static str, Make)> {
    vec![
        ("catch_cancel", || catch_cancel(slow()).map(drop).boxed_local()),
        ("catch_cancel in catch_cancel", || {
            catch_cancel(catch_cancel(slow()).map(drop)).map(drop).boxed_local()
        }),
        ("catch_cancel in a timeout", || {
            timeout(ms(5000), catch_cancel(slow()).map(drop)).map(drop).boxed_local()
        }),
        ("catch_cancel in a child", || {
            scope(async |scope| scope.create_task(catch_cancel(slow()).map(drop)).await)
                .boxed_local()
        }),
        ("task that absorbs", || {
            create_task(catch_cancel(slow()).map(drop)).map(drop).boxed_local()
        }),
    ]
}

/// Every scope with every combinator, and a name for the pair.
fn pairs() -> Vec<(String, Make, Combinator)> {
    let scopes = || scopes_that_pass().into_iter().chain(scopes_that_absorb());
    let pairs = combinators().into_iter().flat_map(|(how, combinator)| {
        scopes().map(move |(what, scope)| (format!("{what}, dropped by {how}"), scope, combinator))
    });
    pairs.collect()
}

#[track_caller]
fn assert_cancelled<T: std::fmt::Debug>(result: Result<T, JoinError>, name: &str) {
    assert!(matches!(result, Err(JoinError::Cancelled(_))), "{name}: {result:?}");
}

/// Awaits the task, and fails the test if the task hangs.
async fn in_time<T>(task: Task<T>) -> Result<T, JoinError> {
    let limit = ms(60_000);
    timeout(limit, task).await.expect("the task hangs")
}

/// A task whose scope is dropped after 10 ms, while it answers a request; the task then ends at its
/// next wait.
async fn dropped_half_way(scope: Make, combinator: Combinator, log: Log) {
    combinator(scope(), sleep(ms(10)).boxed_local()).await;
    log.add("dropped");
    let _ended = OnDrop(log.clone(), "ended");
    yield_now().await;
    log.add("went on");
}

#[test]
fn a_cancel_of_the_task_survives_the_drop_of_who_answers_it() {
    for (name, scope, combinator) in pairs() {
        run(async {
            let log = Log::default();
            let task = create_task(dropped_half_way(scope, combinator, log.clone()));
            sleep(ms(5)).await;
            assert!(task.cancel());
            let result = task.await;
            assert!(result.is_err_and(|error| error.is_cancelled()), "{name}");
            assert_eq!((log.take(), now()), (vec!["dropped".into(), "ended".into()], 10), "{name}");
        });
    }
}

#[test]
fn so_does_that_of_a_timeout() {
    for (name, scope, combinator) in pairs() {
        run(async {
            let log = Log::default();
            let result = timeout(ms(5), dropped_half_way(scope, combinator, log.clone())).await;
            assert_eq!(result, Err(TimeoutError), "{name}");
            assert_eq!((log.take(), now()), (vec!["dropped".into(), "ended".into()], 10), "{name}");
            // The request came from the timeout only.
            assert_eq!(current_task().unwrap().cancelling(), 0, "{name}");
            yield_now().await;
        });
    }
}

#[test]
fn so_does_that_of_a_group_for_its_body() {
    for (name, scope, combinator) in pairs() {
        run(async {
            let log = Log::default();
            let result = task_group(async |group| {
                drop(group.create_task(sleep(ms(5)).map(|()| Err::<(), _>("failed"))));
                dropped_half_way(scope, combinator, log.clone()).await;
                Ok(())
            });
            let errors = result.await.unwrap_err();
            assert_eq!(errors.into_iter().collect::<Vec<_>>(), ["failed"], "{name}");
            assert_eq!((log.take(), now()), (vec!["dropped".into(), "ended".into()], 10), "{name}");
            yield_now().await;
        });
    }
}

#[test]
fn so_does_that_of_a_group_for_a_child() {
    for (name, scope, combinator) in pairs() {
        run(async {
            let log = Log::default();
            let result = task_group(async |group| {
                drop(group.create_task(dropped_half_way(scope, combinator, log.clone())));
                sleep(ms(5)).await;
                Err::<(), _>("failed")
            });
            let errors = result.await.unwrap_err();
            assert_eq!(errors.into_iter().count(), 1, "{name}");
            assert_eq!((log.take(), now()), (vec!["dropped".into(), "ended".into()], 10), "{name}");
        });
    }
}

/// When the asked handler is dropped, an outer handler is asked in its place.
#[test]
fn an_outer_catch_gets_what_the_dropped_scope_did_not_answer() {
    for (name, scope, combinator) in pairs() {
        run(async {
            let log = Log::default();
            let task = create_task({
                let log = log.clone();
                async move {
                    let body = dropped_half_way(scope, combinator, log.clone());
                    let caught = catch_cancel(body).await.expect_err("a request is under way");
                    log.add(caught.message().unwrap_or("none"));
                    yield_now().await;
                }
            });
            sleep(ms(5)).await;
            task.cancel_with("enough");
            assert!(task.await.is_ok(), "{name}: caught is answered");
            assert_eq!(
                (log.take(), now()),
                (vec!["dropped".into(), "ended".into(), "enough".into()], 10),
                "{name}"
            );
        });
    }
}

/// The request comes in each turn before, during and after the drop.
#[test]
fn whenever_the_request_comes_it_is_not_lost() {
    for (what, scope) in scopes_that_pass() {
        for (how, combinator) in combinators() {
            for turn in 0..8 {
                run(async {
                    let log = Log::default();
                    let task = create_task({
                        let log = log.clone();
                        async move {
                            combinator(scope(), turns(4).boxed_local()).await;
                            yield_now().await;
                            log.add("value");
                        }
                    });
                    turns(turn).await;
                    let asked = task.cancel();
                    let cancelled = task.await.is_err();
                    assert_eq!(asked, cancelled, "{what}, dropped by {how}, cancelled in {turn}");
                    assert_eq!(log.len(), usize::from(!cancelled));
                });
            }
        }
    }
}

#[test]
fn cleanups_run_side_by_side_in_combinators_that_drop_nothing() {
    type Both = fn(Branch, Branch) -> Branch;
    let joins: [(&str, Both); 4] = [
        ("futures::join!", |a, b| async move { _ = futures::join!(a, b) }.boxed_local()),
        ("tokio::join!", |a, b| async move { _ = tokio::join!(a, b) }.boxed_local()),
        ("join_all", |a, b| futures::future::join_all([a, b]).map(drop).boxed_local()),
        ("FuturesUnordered", |a, b| {
            let both: FuturesUnordered<_> = [a, b].into_iter().collect();
            both.collect::<Vec<_>>().map(drop).boxed_local()
        }),
    ];
    for (name, join) in joins {
        run(async {
            let log = Log::default();
            let cleans = |what: &'static str, delay| {
                let log = log.clone();
                finally(pending(), async move |_| {
                    sleep(ms(delay)).await;
                    log.add(what);
                })
                .boxed_local()
            };
            let task = create_task(join(cleans("late", 20), cleans("early", 10)));
            turns(2).await;
            task.cancel();
            assert_cancelled(task.await, name);
            assert_eq!((log.take(), now()), (vec!["early".into(), "late".into()], 20), "{name}");
        });
    }
}

/// One branch of a `join!` absorbs and the other passes: passing wins.
#[test]
fn a_join_of_two_answers_ends_if_one_of_them_passes() {
    run(async {
        let log = Log::default();
        let task = create_task({
            let log = log.clone();
            async move {
                let absorbs = async {
                    drop(catch_cancel(pending::<()>()).await);
                    log.add("absorbed");
                    pending::<()>().await;
                };
                futures::join!(absorbs, slow());
            }
        });
        turns(2).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!((log.take(), now()), (vec!["absorbed".into()], 1000));
    });
}

/// Polls a branch once, as part of the running task.
async fn start(branch: &mut Branch) {
    std::future::poll_fn(|cx| {
        assert!(branch.poll_unpin(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
}

/// A branch that was asked in one task continues in another task, which was not cancelled.
#[test]
fn a_branch_that_moves_to_another_task_leaves_the_request_behind() {
    for (name, scope) in scopes_that_pass() {
        run(async {
            let handed = create_future::<()>();
            let place = Rc::new(std::cell::Cell::new(None));
            let first = create_task({
                let (handed, place) = (handed.clone(), place.clone());
                async move {
                    let mut branch = scope();
                    start(&mut branch).await;
                    // The branch is asked here, and handed over before it has answered.
                    futures::future::select(&mut branch, sleep(ms(10)).boxed_local()).await;
                    place.set(Some(branch));
                    handed.set_result(()).unwrap();
                    pending::<()>().await;
                }
            });
            let second = create_task(async move {
                handed.await.unwrap();
                // A `select` rather than an `.await`: a branch in its cleanup passes the request on
                // and would end the task.
                let branch: Branch = place.take().unwrap();
                let both = futures::future::select(branch, sleep(ms(3000)).boxed_local());
                drop(both.await);
                "unharmed"
            });
            sleep(ms(5)).await;
            first.cancel();
            assert_cancelled(in_time(first).await, name);
            assert_eq!(now(), 10, "{name}");
            match second.await {
                Ok(value) => assert_eq!(value, "unharmed", "{name}"),
                // The cleanup of a cancelled body returns no value, whichever task polls it.
                Err(error) => assert!(error.is_cancelled() && now() == 1005, "{name}: {error}"),
            }
        });
    }
}

/// A branch that was not asked belongs to the task that polls it now.
#[test]
fn a_branch_that_moved_is_cancelled_with_its_new_task() {
    for (name, scope) in scopes_that_pass() {
        run(async {
            let mut branch = scope();
            start(&mut branch).await;
            let task = create_task(async move {
                branch.await;
                yield_now().await;
            });
            turns(3).await;
            task.cancel();
            assert_cancelled(task.await, name);
            assert_eq!(now(), 1000, "{name}: the cleanup has run, or the body to its end");
            yield_now().await;
        });
    }
}

/// `now_or_never` polls with a waker that does nothing.
#[test]
fn a_branch_polled_with_another_waker_answers_when_it_is_polled_at_home() {
    for (name, scope) in scopes_that_pass() {
        run(async {
            let task = create_task(async move {
                let mut branch = scope();
                assert!((&mut branch).now_or_never().is_none());
                yield_now().await;
                assert!((&mut branch).now_or_never().is_none());
                branch.await;
                yield_now().await;
            });
            turns(4).await;
            task.cancel();
            assert_cancelled(task.await, name);
            assert_eq!(now(), 1000, "{name}");
        });
    }
}

fn reports() -> Log {
    let log = Log::default();
    let seen = log.clone();
    let handler: ExceptionHandler = Rc::new(move |_, context| seen.add(context));
    running_loop().set_exception_handler(Some(handler));
    log
}

/// No task polls the branch, so it cannot clean up. This is reported, and the cancellation does not
/// wait for it.
#[test]
fn a_branch_that_is_kept_and_not_polled_holds_up_nobody() {
    for (name, scope) in scopes_that_pass().into_iter().chain(scopes_that_absorb()) {
        run(async {
            let reports = reports();
            let task = create_task(async move {
                let mut kept = scope();
                futures::future::select(&mut kept, sleep(ms(5)).boxed_local()).await;
                pending::<()>().await;
            });
            sleep(ms(10)).await;
            task.cancel();
            assert_cancelled(in_time(task).await, name);
            // An awaited task needs no polls of the branch to end, so the cancellation waits for
            // it.
            let is_task = name.starts_with("task ");
            assert_eq!(now(), if is_task { 1010 } else { 10 }, "{name}");
            assert!(is_task || reports.len() > 0, "{name}");
        });
    }
}

/// A `FuturesUnordered` that has woken its task and was not polled since does not wake it again.
#[test]
fn a_set_of_branches_that_is_not_polled_holds_up_nobody() {
    for (name, scope) in scopes_that_pass().into_iter().chain(scopes_that_absorb()) {
        run(async {
            let reports = reports();
            let task = create_task(async move {
                let short = || sleep(ms(5)).boxed_local();
                let mut set: FuturesUnordered<_> =
                    [scope(), short(), short()].into_iter().collect();
                set.next().await;
                pending::<()>().await;
            });
            sleep(ms(10)).await;
            task.cancel();
            assert_cancelled(in_time(task).await, name);
            let is_task = name.starts_with("task ");
            assert_eq!(now(), if is_task { 1010 } else { 10 }, "{name}");
            assert!(is_task || reports.len() > 0, "{name}");
        });
    }
}

/// The branch is polled again in time, and answers.
#[test]
fn a_branch_in_a_loop_of_selects_cleans_up() {
    for (name, scope) in scopes_that_pass() {
        run(async {
            let task = create_task(async move {
                let mut kept = pin!(scope().fuse());
                loop {
                    let mut tick = pin!(sleep(ms(3)).fuse());
                    futures::select_biased! {
                        () = tick => (),
                        () = kept => break,
                    }
                }
                yield_now().await;
            });
            sleep(ms(10)).await;
            task.cancel();
            assert_cancelled(task.await, name);
            assert!((1000..=1012).contains(&now()), "{name}: {}", now());
        });
    }
}

/// An `Unpin` branch is moved between two polls.
#[test]
fn handles_may_be_moved_between_polls() {
    run(async {
        let task = create_task(async {
            let mut inner = create_task(slow());
            futures::future::select(&mut inner, sleep(ms(5)).boxed_local()).await;
            let mut moved = Box::new(inner);
            futures::future::select(Pin::new(&mut *moved), sleep(ms(5)).boxed_local()).await;
            drop((*moved).await);
        });
        sleep(ms(7)).await;
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(now(), 1007);
    });
}

/// A branch that is not polled does not count any more; the group around it still cleans up, and
/// still counts.
#[test]
fn a_group_around_a_branch_that_is_kept_cleans_up() {
    run(async {
        let log = Log::default();
        let notes = log.clone();
        let _reports = reports();
        let task = create_task(async move {
            let log = &notes;
            let group = task_group(async |group| {
                drop(group.create_task(async { Err::<(), _>("failed") }));
                drop(group.create_task(finally(pending::<()>(), async |_| {
                    sleep(ms(1)).await;
                    log.add("child");
                })));
                let mut kept = slow().boxed_local();
                start(&mut kept).await;
                finally(pending::<()>(), async |_| {
                    current_task().unwrap().cancel();
                })
                .await;
                Ok(())
            });
            // The task ends here, with no later wait at which the request could take effect.
            assert_eq!(group.await.unwrap_err().into_errors(), ["failed"]);
        });
        in_time(task).await.unwrap();
        assert_eq!((log.take(), now()), (vec!["child".to_owned()], 1));
    });
}

/// A branch that resumes a request waits forever, so another branch's answer must not withdraw the
/// request.
#[test]
fn a_request_resumed_in_one_branch_is_not_answered_by_another() {
    async fn resumes() {
        if let Err(cancelled) = catch_cancel(pending::<()>()).await {
            cancelled.resume().await
        }
    }
    async fn absorbs(times: usize) {
        for _ in 0..times {
            drop(catch_cancel(pending::<()>()).await);
        }
    }
    async fn child_is_cancelled() {
        gather([async { _ = current_task().unwrap().cancel() }.then(|()| pending::<()>())]).await;
    }
    for times in [1, 2, 5] {
        run(async {
            let task = create_task(async move { futures::join!(resumes(), absorbs(times)) });
            turns(2).await;
            task.cancel();
            assert_cancelled(in_time(task).await, "resumed");
            let task =
                create_task(async move { futures::join!(absorbs(times), child_is_cancelled()) });
            assert_cancelled(in_time(task).await, "by a child");
        });
    }
}

/// The body of a group catches a request while an unpolled branch has not answered, and resumes it
/// later.
#[test]
fn a_request_resumed_in_a_body_goes_on_to_the_parent() {
    run(async {
        let task = create_task(scope(async |_| {
            let mut kept = finally(async {}, async |_| pending().await).boxed_local();
            start(&mut kept).await;
            let cancelled = catch_cancel(pending::<()>()).await.unwrap_err();
            sleep(ms(5)).await;
            cancelled.resume::<()>().await
        }));
        turns(2).await;
        task.cancel();
        assert_cancelled(in_time(task).await, "resumed");
        assert_eq!(now(), 5);
    });
}

/// A group that has passed a request on has no value. A later `uncancel` takes back another
/// request.
#[test]
fn a_request_that_was_delivered_is_not_taken_back() {
    run(async {
        let task = create_task(async {
            let takes_back = async {
                critical(sleep(ms(1))).await;
                let task = current_task().unwrap();
                task.cancel();
                while task.uncancel() > 0 {}
            };
            futures::join!(takes_back, gather((pending::<()>(), critical(yield_now()))));
        });
        turns(1).await;
        task.cancel();
        assert_cancelled(in_time(task).await, "delivered");
    });
}

/// The group is asked in one task, and the await of its body is cancelled, before another task
/// polls the group.
#[test]
fn a_group_that_moves_while_it_is_asked_ends() {
    for turn in 0..5 {
        run(async {
            let task = create_task(async {
                let awaited = create_task(turns(2));
                let mut group = scope(async |_| drop(awaited.await)).boxed_local();
                start(&mut group).await;
                drop(create_task(group));
                turns(2).await;
            });
            turns(turn).await;
            task.cancel();
            let all_ended = async {
                drop(task.await);
                while all_tasks().len() > 1 {
                    sleep(ms(1)).await;
                }
            };
            assert!(timeout(ms(1000), all_ended).await.is_ok(), "cancelled in turn {turn}");
        });
    }
}

/// The wait was dropped, and the handle that it borrowed lives on.
#[test]
fn a_wait_for_a_lent_handle_is_dropped_before_the_handle() {
    type Wait = fn(&mut Task<()>) -> LocalBoxFuture<'_, ()>;
    let waits: [(&str, Wait); 3] = [
        ("timeout", |task| timeout(ms(5000), task).map(drop).boxed_local()),
        ("catch_cancel", |task| catch_cancel(task).map(drop).boxed_local()),
        ("late catch_cancel", |task| {
            async {
                sleep(ms(1)).await;
                let _ = catch_cancel(task).await;
            }
            .boxed_local()
        }),
    ];
    for (name, wait) in waits {
        run(async {
            let log = Log::default();
            let notes = log.clone();
            let task = create_task(async move {
                let mut inner = create_task(slow());
                futures::select! {
                    () = wait(&mut inner).fuse() => (),
                    () = slow().fuse() => (),
                    () = sleep(ms(10)).fuse() => (),
                }
                notes.add("dropped");
                pending::<()>().await;
            });
            turns(3).await;
            task.cancel();
            assert_cancelled(in_time(task).await, name);
            assert_eq!((log.take(), now()), (vec!["dropped".to_owned()], 10), "{name}");
        });
    }
}
