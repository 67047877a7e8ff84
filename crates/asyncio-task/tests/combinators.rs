//! gather, race, wait, as_completed, staggered_race.

mod scopes;

use std::cell::Cell;
use std::future::{Ready, pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::ExceptionHandler;
use asyncio_task::*;
use scopes::{Log, ms, now, run, turns};

async fn after<T>(delay: u64, value: T) -> T {
    sleep(ms(delay)).await;
    value
}

fn task<T: 'static>(delay: u64, value: T) -> Task<T> {
    create_task(after(delay, value))
}

async fn cleans_up(log: &Log, name: &'static str, delay: u64) {
    finally(pending::<()>(), async |_| {
        sleep(ms(delay)).await;
        log.add(name);
    })
    .await
}

// G-002
#[test]
fn gathering_nothing_gives_nothing() {
    run(async {
        assert_eq!(gather(Vec::<Ready<()>>::new()).await, []);
        assert_eq!(try_gather(Vec::<Ready<Result<(), ()>>>::new()).await, Ok(vec![]));
    });
}

// G-004
#[test]
fn gathered_futures_run_side_by_side() {
    run(async {
        assert_eq!(gather((after(100, 1), after(100, "two"))).await, (1, "two"));
        assert_eq!(now(), 100);
        let squares = gather((1..=4).map(|n| after(5 - n, n * n))).await;
        assert_eq!(squares, [1, 4, 9, 16]);
    });
}

// G-008
#[test]
fn the_first_error_comes_out_and_later_ones_are_dropped() {
    run(async {
        let reports = Log::default();
        let seen = reports.clone();
        let handler: ExceptionHandler = Rc::new(move |_, context| seen.add(context));
        running_loop().set_exception_handler(Some(handler));
        let result = try_gather([
            after(2, Err::<(), _>("second")),
            after(1, Err("first")),
            after(1, Err("same turn")),
        ]);
        assert_eq!(result.await, Err("first"));
        sleep(ms(10)).await;
        assert_eq!(reports.len(), 0);
    });
}

// G-009, G-011
#[test]
fn results_are_collected_in_place() {
    run(async {
        let results = gather([after(3, Ok(3)), after(1, Ok(1)), after(2, Err("e1"))]);
        assert_eq!(results.await, [Ok(3), Ok(1), Err("e1")]);

        let (first, cancelled) = (task(5, 1), task(5, 2));
        cancelled.cancel();
        let [first, cancelled] = gather([first, cancelled]).await;
        assert_eq!(first.unwrap(), 1);
        assert!(cancelled.unwrap_err().is_cancelled());
    });
}

// G-010
#[test]
fn tasks_go_on_when_one_of_them_fails_in_try_gather() {
    run(async {
        let done = Rc::new(Cell::new(false));
        let inside = done.clone();
        let mut slow = create_task(async move {
            sleep(ms(10)).await;
            inside.set(true);
        });
        let doomed = task(5, ());
        doomed.cancel();
        let result = try_gather((async { shield(&mut slow).await }, doomed)).await;
        assert!(result.unwrap_err().is_cancelled());
        assert_eq!(current_task().unwrap().cancelling(), 0);
        slow.await.unwrap();
        assert!(done.get());
    });
}

// G-013, G-014, G-015, G-018
#[test]
fn cancelling_a_gather_cancels_all_and_waits_for_all() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let outer = create_task(async move {
            let stubborn = async {
                let _ = catch_cancel(pending::<()>()).await;
                inside.add("absorbed");
            };
            gather((cleans_up(&inside, "slow", 20), cleans_up(&inside, "quick", 10), stubborn))
                .await;
            inside.add("never");
        });
        turns(2).await;
        outer.cancel_with("enough");
        let error = outer.await.unwrap_err();
        assert_eq!(error.to_string(), "task was cancelled: enough");
        assert_eq!(log.take(), ["absorbed", "quick", "slow"]);
    });
}

// G-041
#[test]
fn cancelling_a_gather_of_shields_leaves_the_tasks() {
    run(async {
        let (mut one, mut two) = (task(10, 1), task(10, 2));
        let gathered = gather((shield(&mut one), shield(&mut two)));
        assert!(timeout(ms(1), gathered).await.is_err());
        assert_eq!((one.await.unwrap(), two.await.unwrap()), (1, 2));
    });
}

// G-042
#[test]
fn a_task_that_fails_after_its_shields_were_cancelled_is_reported_once() {
    run(async {
        let reports = Log::default();
        let seen = reports.clone();
        let handler: ExceptionHandler = Rc::new(move |_, context| seen.add(context.message()));
        running_loop().set_exception_handler(Some(handler));
        for (fails, expected) in [(true, vec!["task panic was never retrieved"]), (false, vec![])] {
            let mut inner = create_task(async move {
                sleep(ms(10)).await;
                assert!(!fails, "too late");
            });
            for _ in 0..2 {
                assert!(timeout(ms(1), shield(&mut inner)).await.is_err());
            }
            let last = create_task(async move { shield(inner).await });
            turns(1).await;
            last.cancel();
            assert!(last.await.unwrap_err().is_cancelled());
            assert_eq!(reports.len(), 0);
            sleep(ms(20)).await;
            assert_eq!(reports.take(), expected);
        }
    });
}

#[test]
fn the_first_in_a_race_wins_and_the_losers_clean_up() {
    run(async {
        let log = Log::default();
        let loser = async {
            cleans_up(&log, "loser", 5).await;
            0
        };
        assert_eq!(race((loser, after(10, 1), after(10, 2))).await, 1);
        assert_eq!(log.take(), ["loser"]);
        assert_eq!(now(), 15);
        assert_eq!(race([after(3, 'c'), after(1, 'a')]).await, 'a');
    });
}

#[test]
fn who_is_cancelled_is_out_of_the_race() {
    async fn quits() -> u32 {
        current_task().unwrap().cancel();
        pending().await
    }
    run(async {
        let quitter: std::pin::Pin<Box<dyn Future<Output = u32>>> = Box::pin(quits());
        assert_eq!(race(vec![quitter, Box::pin(after(10, 1))]).await, 1);
        // All branches have cancelled themselves, so the caller ends at this await, as at the await
        // of a cancelled child.
        let task = create_task(async { catch_cancel(race([quits(), quits()])).await.is_err() });
        assert!(task.await.unwrap());
        let task = create_task(race((quits(), quits())));
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
#[should_panic(expected = "no winner")]
fn a_race_of_nobody_panics() {
    run(race(Vec::<std::future::Pending<()>>::new()));
}

// G-019
#[test]
fn wait_gives_what_is_done() {
    run(async {
        let (done, pending) = wait([task(2, 'b'), task(1, 'a')]).await;
        assert_eq!((done.len(), pending.len(), now()), (2, 0, 2));
        assert_eq!(done.into_iter().next().unwrap().await.unwrap(), 'b');
    });
}

// G-020
#[test]
#[should_panic(expected = "no tasks")]
fn waiting_for_nothing_panics() {
    run(async { wait(Vec::<Task<()>>::new()).await });
}

// G-021, G-022
#[test]
fn wait_for_the_first_one() {
    run(async {
        let cancelled = task(100, ());
        let target = cancelled.task_ref().clone();
        running_loop().call_later(ms(5), move || {
            target.cancel();
        });
        let (done, pending) = wait([cancelled, task(50, ()), task(5, ())])
            .return_when(ReturnWhen::FirstCompleted)
            .await;
        assert_eq!((done.len(), pending.len(), now()), (2, 1, 5));
        assert!(pending.into_iter().next().unwrap().await.is_ok());
    });
}

// G-023
#[test]
fn wait_for_the_first_failure() {
    run(async {
        let fails = create_task(async {
            sleep(ms(5)).await;
            Err::<(), _>("failed")
        });
        let first = ReturnWhen::FirstException;
        let tasks = [task(1, Ok(())), fails, task(10, Ok(()))];
        let (done, pending) = wait(tasks).return_when(first).fail_on_error().await;
        assert_eq!((done.len(), pending.len(), now()), (2, 1, 5));
        // A task that failed before the call counts as well.
        let tasks = done.into_iter().chain(pending);
        let (done, pending) = wait(tasks).return_when(first).fail_on_error().await;
        assert_eq!((done.len(), pending.len(), now()), (2, 1, 5));

        let panics = create_task(async { panic!("bad") });
        let (done, pending) = wait([task(10, ()), panics]).return_when(first).await;
        assert_eq!((done.len(), pending.len()), (1, 1));
        assert!(done.into_iter().next().unwrap().await.unwrap_err().is_panicked());
        drop(pending);
    });
}

// G-025, G-026, G-027
#[test]
fn wait_with_a_limit_gives_what_there_is() {
    run(async {
        let (done, pending) = wait([task(1, ()), task(100, ())]).timeout(ms(10)).await;
        assert_eq!((done.len(), pending.len(), now()), (1, 1, 10));
        let (done, pending) = wait(done.into_iter().chain(pending)).timeout(ms(0)).await;
        assert_eq!((done.len(), pending.len(), now()), (1, 1, 10));
        let same_instant = task(5, ());
        turns(1).await;
        let (done, pending) = wait([same_instant]).timeout(ms(5)).await;
        assert_eq!((done.len(), pending.len(), now()), (1, 0, 15));
    });
}

// G-029, G-030, G-031
#[test]
fn tasks_come_as_they_are_completed() {
    run(async {
        let panics = create_task(async {
            sleep(ms(10)).await;
            panic!("bad")
        });
        let tasks = [task(150, 'a'), task(5, 'b'), panics];
        let ids = tasks.each_ref().map(|task| task.id());
        let ended = as_completed(tasks);
        let mut order = Vec::new();
        while let Some(task) = ended.next().await {
            let task = task.unwrap();
            let id = task.id();
            order.push((ids.iter().position(|known| *known == id).unwrap(), task.await.is_ok()));
        }
        assert_eq!(order, [(1, true), (2, false), (0, true)]);
    });
}

// G-032, G-034
#[test]
fn as_completed_with_a_limit_and_a_break() {
    run(async {
        let ended = as_completed([task(10, 1), task(30, 3), task(50, 5)]).timeout(ms(40));
        assert!(timeout(ms(5), ended.next()).await.is_err());
        assert_eq!(ended.next().await.unwrap().unwrap().await.unwrap(), 1);
        sleep(ms(45)).await;
        assert_eq!(ended.next().await.unwrap().unwrap().await.unwrap(), 3);
        assert!(ended.next().await.unwrap().is_ok(), "the third task ended between two calls");
        assert!(ended.next().await.is_none());

        let ended = as_completed([task(50, 5)]).timeout(ms(40));
        assert_eq!(ended.next().await.unwrap().unwrap_err(), TimeoutError);
    });
}

// G-035
#[test]
fn several_may_wait_for_the_next_one() {
    run(async {
        let ended = as_completed([task(10, 1), task(20, 2)]);
        let next = async || ended.next().await.unwrap().unwrap().await.unwrap();
        let (second, first) = (next(), next());
        assert_eq!(first.await, 1);
        assert_eq!(second.await, 2);

        let ended = as_completed([task(10, 1), task(20, 2)]);
        let next = async || ended.next().await.unwrap().unwrap().await.unwrap();
        assert_eq!(gather((next(), next())).await, (1, 2));
    });
}

// G-033
#[test]
fn as_completed_leaves_no_timer_behind() {
    run(async {
        let timers = running_loop().timer_count();
        let ended = as_completed([task(10, 1)]).timeout(ms(40_000));
        assert!(ended.next().await.unwrap().is_ok());
        assert_eq!(running_loop().timer_count(), timers);
        drop(ended);
        let empty = as_completed([] as [Task<()>; 0]).timeout(ms(40_000));
        assert_eq!(running_loop().timer_count(), timers);
        drop(empty);
    });
}

/// A call of `next` that was woken and then dropped, or never polled again, takes no task from the
/// others.
#[test]
fn an_end_goes_to_a_call_that_takes_it() {
    run(async {
        let ended = as_completed([task(10, 1), task(20, 2), task(30, 3)]);
        let mut waits: Vec<_> = (0..3).map(|_| Box::pin(ended.next())).collect();
        poll_fn(|cx| {
            assert!(waits.iter_mut().all(|wait| wait.as_mut().poll(cx).is_pending()));
            Poll::Ready(())
        })
        .await;
        sleep(ms(15)).await;
        let last = waits.pop().unwrap();
        let _kept_aside = waits.pop();
        drop(waits); // the first one, which was woken
        assert!(timeout(ms(1000), last).await.unwrap().is_some());
        let next = async || ended.next().await.unwrap().unwrap().await.unwrap();
        assert_eq!(gather((next(), next())).await, (2, 3));
    });
}

// G-036
#[test]
fn cancelling_who_iterates_leaves_the_tasks() {
    run(async {
        let inner = task(10, ());
        let seen = inner.task_ref().clone();
        let outer = create_task(async move {
            as_completed([inner]).next().await;
        });
        turns(2).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert!(!seen.is_done());
        sleep(ms(20)).await;
        assert!(seen.is_done() && !seen.is_cancelled());
    });
}

fn attempt<T: Clone + 'static, E: Clone + 'static>(
    delay: u64,
    result: Result<T, E>,
) -> impl AsyncFnOnce() -> Result<T, E> {
    async move || after(delay, result).await
}

// G-056, G-059
#[test]
fn a_staggered_race_starts_the_next_after_the_delay() {
    run(async {
        let attempts = [attempt(100, Ok(0)), attempt(5, Err("bad")), attempt(10, Ok(2))];
        let race = staggered_race(attempts, Some(ms(20))).await;
        // The attempts start at 0 ms, at 20 ms, and at 25 ms, when the second one has failed.
        assert_eq!((race.value, race.winner, now()), (Some(2), Some(2), 35));
        assert_eq!(race.losses, [Some(Loss::Cancelled), Some(Loss::Failed("bad")), None]);
    });
}

#[test]
fn the_winner_of_a_staggered_race_keeps_later_ones_from_starting() {
    run(async {
        let attempts = [attempt(5, Ok::<_, ()>(0)), attempt(5, Ok(1))];
        let race = staggered_race(attempts, Some(ms(20))).await;
        assert_eq!((race.value, race.winner, race.losses.len()), (Some(0), Some(0), 1));
    });
}

// G-058
#[test]
fn a_staggered_race_that_nobody_wins() {
    run(async {
        let attempts = [attempt(5, Err::<(), _>("a")), attempt(5, Err("b"))];
        let race = staggered_race(attempts, None).await;
        assert_eq!((race.value, race.winner, now()), (None, None, 10));
        assert_eq!(race.losses, [Some(Loss::Failed("a")), Some(Loss::Failed("b"))]);
        let nobody = std::iter::empty::<fn() -> Ready<Result<(), ()>>>();
        let race = staggered_race(nobody, None).await;
        assert_eq!((race.value, race.winner, race.losses), (None, None, vec![]));
    });
}

// G-060
#[test]
fn a_staggered_race_under_an_eager_factory() {
    run(async {
        running_loop().set_task_factory(Some(eager_task_factory()));
        let attempts = [attempt(5, Err("bad")), attempt(10, Ok(1))];
        let race = staggered_race(attempts, Some(ms(100))).await;
        assert_eq!((race.value, race.winner, now()), (Some(1), Some(1), 15));
    });
}

// G-061
#[test]
fn cancelling_a_staggered_race_cancels_all_attempts() {
    run(async {
        let log = Log::default();
        let inside = log.clone();
        let outer = create_task(async move {
            let attempts = ["a", "b"].map(|name| {
                let log = &inside;
                async move || {
                    cleans_up(log, name, 5).await;
                    Err::<(), ()>(())
                }
            });
            staggered_race(attempts, Some(ms(1))).await;
        });
        sleep(ms(10)).await;
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["a", "b"]);
    });
}
