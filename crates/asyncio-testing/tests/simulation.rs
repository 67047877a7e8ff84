//! Schedules: what they vary, what they find, and how they replay.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_sync::mixed;
use asyncio_task::{create_future, create_task, gather, sleep, task_group, to_thread, yield_now};
use asyncio_testing::{FailureKind, Faults, Order, Schedule, Simulation, event, take_events};

/// The orders in which a body records its events, over a number of seeds.
fn orders(simulation: Simulation, body: impl AsyncFn()) -> HashSet<Vec<String>> {
    let mut orders = HashSet::new();
    let check = simulation.check(async || {
        body().await;
        orders.insert(take_events());
    });
    check.unwrap_or_else(|failure| panic!("{failure}"));
    orders
}

async fn three_tasks() {
    let tasks = ["a", "b", "c"].map(|name| create_task(async move { event(name) }));
    for task in tasks {
        task.await.unwrap();
    }
}

#[test]
fn seeds_run_ready_tasks_in_every_order() {
    assert_eq!(orders(Simulation::new().seeds(200), three_tasks).len(), 6);
    assert_eq!(orders(Simulation::new().seeds(200).order(Order::Turns), three_tasks).len(), 6);
}

#[test]
fn the_first_seed_and_the_strict_mode_are_first_in_first_out() {
    let expected = HashSet::from([["a", "b", "c"].map(str::to_owned).to_vec()]);
    assert_eq!(orders(Simulation::new(), three_tasks), expected);
    assert_eq!(orders(Simulation::new().seeds(100).order(Order::Fifo), three_tasks), expected);
}

#[test]
fn callbacks_keep_their_order() {
    let body = async || {
        for name in ["a", "b", "c"] {
            running_loop().call_soon(move || event(name));
            create_task(async { event("task") });
        }
        sleep(Duration::from_secs(1)).await;
    };
    let orders = orders(Simulation::new().seeds(300), body);
    assert!(orders.len() > 10, "{}", orders.len());
    for order in orders {
        let callbacks: Vec<_> = order.iter().filter(|event| *event != "task").collect();
        assert_eq!(callbacks, ["a", "b", "c"]);
    }
}

#[test]
fn equal_deadlines_come_in_every_order_and_others_in_theirs() {
    let body = async || {
        for (name, seconds) in [("a", 1), ("b", 1), ("c", 2)] {
            running_loop().call_later(Duration::from_secs(seconds), move || event(name));
        }
        sleep(Duration::from_secs(3)).await;
    };
    let orders = orders(Simulation::new().seeds(100), body);
    let expected =
        [["a", "b", "c"], ["b", "a", "c"]].map(|order| order.map(str::to_owned).to_vec());
    assert_eq!(orders, HashSet::from(expected));
}

#[test]
fn children_of_a_group_run_in_every_order() {
    let body = async || {
        let result = task_group(async |group| {
            for name in ["a", "b", "c"] {
                group.create_task(async move {
                    event(name);
                    Ok::<(), ()>(())
                });
            }
            Ok(())
        });
        result.await.unwrap();
    };
    assert_eq!(orders(Simulation::new().seeds(200), body).len(), 6);
    let body = async || {
        gather(["a", "b", "c"].map(|name| async move { event(name) })).await;
    };
    assert_eq!(orders(Simulation::new().seeds(200), body).len(), 6);
}

#[test]
fn jobs_end_in_every_order_on_virtual_time() {
    let body = async || {
        let jobs = [1, 2, 3].map(|number| {
            create_task(async move {
                let number = to_thread(move || number).await.unwrap();
                event(number.to_string());
            })
        });
        for job in jobs {
            job.await.unwrap();
        }
        let elapsed = running_loop().time().as_secs_f64();
        assert!((0.001..0.02).contains(&elapsed), "{elapsed}");
    };
    assert_eq!(orders(Simulation::new().seeds(100), body).len(), 6);
}

#[test]
fn a_job_that_waits_for_the_loop_gets_its_answer() {
    Simulation::new().seeds(5).run(async || {
        let value = to_thread(|| asyncio_task::from_thread::run(|| async { 6 * 7 })).await;
        assert_eq!(value.unwrap().unwrap(), 42);
    });
}

#[test]
fn a_job_that_waits_for_an_item_of_a_task_gets_it() {
    Simulation::new().seeds(5).run(async || {
        let queue = mixed::Queue::new();
        let items = queue.clone();
        let job = create_task(to_thread(move || items.sync_side().get()));
        sleep(Duration::from_secs(1)).await;
        queue.put_nowait(7).unwrap();
        assert_eq!(job.await.unwrap().unwrap(), Ok(7));
    });
}

#[test]
fn a_job_that_nobody_awaits_runs_before_the_end() {
    let ran = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Simulation::new().seeds(5).run(async || {
        let ran = std::sync::Arc::clone(&ran);
        let count = move || ran.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        running_loop().run_in_executor(None, count).detach();
    });
    assert_eq!(ran.load(std::sync::atomic::Ordering::Relaxed), 5);
}

#[test]
fn wakes_from_other_threads_come_at_seeded_turns() {
    let body = async || {
        let handle = running_loop().handle();
        let arrived = Rc::new(Cell::new(false));
        // The thread has ended before any other task runs, so only the seed decides the order.
        let call = std::thread::spawn(move || handle.call_soon_threadsafe(|| event("call")));
        call.join().unwrap().unwrap();
        for number in 0..6 {
            event(number.to_string());
            yield_now().await;
            arrived.set(true);
        }
        sleep(Duration::from_secs(1)).await;
    };
    let orders = orders(Simulation::new().seeds(100), body);
    assert!(orders.len() >= 4, "{orders:?}");
    assert!(orders.iter().all(|order| order.len() == 7));
}

/// Loses an update if the second task reads before the first one writes.
async fn lost_update() {
    let counter = Rc::new(Cell::new(0));
    let tasks = [1, 2].map(|number| {
        let counter = Rc::clone(&counter);
        create_task(async move {
            for _ in 0..number {
                yield_now().await;
            }
            let seen = counter.get();
            if number == 2 {
                yield_now().await;
            }
            counter.set(seen + 1);
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(counter.get(), 2, "an update is lost");
}

#[test]
fn a_failure_replays_by_its_seed_and_by_its_schedule() {
    let simulation = Simulation::new().seeds(1000);
    let failure = simulation.check(lost_update).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Panic);
    assert!(failure.message().contains("an update is lost"), "{failure}");
    assert_eq!(failure.runs(), failure.seed() + 1);

    let by_seed = simulation.clone().seed(failure.seed()).check(lost_update).unwrap_err();
    assert_eq!(by_seed.to_string().lines().next(), failure.to_string().lines().next());
    assert_eq!(by_seed.schedule(), failure.schedule());

    let schedule: Schedule = failure.schedule().to_string().parse().unwrap();
    let replayed = simulation.check_schedule(&schedule, lost_update).unwrap_err();
    assert_eq!(replayed.trace(), failure.trace());
    assert_eq!(replayed.switches(), failure.switches());
}

#[test]
fn a_failing_schedule_is_shrunk_and_told_in_words() {
    let failure = Simulation::new().seeds(1000).check(lost_update).unwrap_err();
    assert!((1..=2).contains(&failure.switches().len()), "{failure}");
    assert!(
        failure.switches()[0].contains("\"Task-3\" (crates/asyncio-testing/tests/"),
        "{failure}"
    );
    assert!(failure.switches()[0].contains(" runs before "), "{failure}");
}

#[test]
fn the_systematic_mode_covers_all_and_finds_the_smallest() {
    let simulation = Simulation::new().systematic(2);
    let failure = simulation.check(lost_update).unwrap_err();
    assert!((1..=2).contains(&failure.switches().len()), "{failure}");

    let summary = simulation.check(three_tasks).unwrap();
    assert!(summary.is_complete());
    let none = Simulation::new().systematic(0).check(lost_update).unwrap();
    assert_eq!((none.runs(), none.is_complete()), (1, true));
    let cut = Simulation::new().systematic(2).max_schedules(3).check(three_tasks).unwrap();
    assert_eq!((cut.runs(), cut.is_complete()), (3, false));
}

#[test]
#[should_panic(expected = "replay: ASYNCIO_SEED='")]
fn a_failing_run_says_how_to_replay_it() {
    Simulation::new().seeds(1000).run(lost_update);
}

#[test]
fn an_error_is_a_failure() {
    let failure = Simulation::new().check(async || Err::<(), _>("no luck")).unwrap_err();
    assert_eq!(
        (failure.kind(), failure.message()),
        (FailureKind::Error, "returned Err(\"no luck\")")
    );
}

#[test]
fn a_report_is_a_failure_unless_allowed() {
    let body = async || {
        drop(create_task(async { panic!("unseen") }));
        yield_now().await;
    };
    let failure = Simulation::new().check(body).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Report);
    assert!(failure.message().contains("unseen"), "{failure}");
    Simulation::new().allow_reports(true).run(body);
}

#[test]
fn a_deadlock_is_told_instead_of_hanging() {
    let body = async || {
        let promise = create_future::<()>();
        let waiter = create_task(promise);
        waiter.await.unwrap().unwrap();
    };
    let failure = Simulation::new().check(body).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Deadlock);
    assert!(failure.message().contains("\"Task-1\" pending, waits for \"Task-2\""), "{failure}");
    assert!(failure.message().contains("\"Task-2\" pending, waits for a promise"), "{failure}");
}

#[test]
fn what_another_thread_may_do_is_waited_for() {
    let body = async || {
        let (promise, handle) = (create_future(), running_loop().handle());
        let settled = promise.clone();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        running_loop().call_soon(move || drop(sender));
        let local = running_loop().local::<RefCell<Option<asyncio_task::Promise<u32>>>>();
        local.replace(Some(settled));
        let thread = std::thread::spawn(move || {
            // Waits until the loop has made a turn, after which it has nothing to do.
            let _ = receiver.recv();
            handle.call_soon_threadsafe(|| {
                let local = running_loop().local::<RefCell<Option<asyncio_task::Promise<u32>>>>();
                local.take().unwrap().set_result(7).unwrap();
            })
        });
        assert_eq!(promise.await.unwrap(), 7);
        thread.join().unwrap().unwrap();
    };
    Simulation::new().seeds(3).idle_timeout(Duration::from_secs(50)).run(body);
}

/// A task that only yields.
async fn spin() {
    while running_loop().is_running() {
        yield_now().await;
    }
}

#[test]
fn a_runaway_is_told() {
    let simulation = Simulation::new().max_steps(5000);
    let failure = simulation.check(spin).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::Runaway);
    // The limit counts steps in a row without a sleep.
    simulation.run(async || {
        for _ in 0..10_000 {
            sleep(Duration::from_millis(1)).await;
        }
    });
}

#[test]
fn a_run_has_a_limit_of_real_time() {
    let simulation = Simulation::new().time_limit(Duration::ZERO).shrink_runs(0);
    let failure = simulation.check(spin).unwrap_err();
    assert_eq!(failure.kind(), FailureKind::TimeLimit);
}

#[test]
fn a_fault_cancels_tasks_at_their_awaits() {
    let body = async || {
        let task = create_task(async {
            for number in 0..3 {
                event(number.to_string());
                yield_now().await;
            }
        });
        if task.await.is_err() {
            event("cancelled");
        }
    };
    let faults = Faults::new().cancel(0.2);
    let orders = orders(Simulation::new().seeds(200).order(Order::Turns).faults(faults), body);
    let all: Vec<usize> = orders.iter().map(Vec::len).collect();
    for place in 1..=4 {
        assert!(all.contains(&place), "cancelled after {place}: {orders:?}");
    }
}

#[test]
fn a_fault_delays_tasks() {
    let faults = Faults::new().delay(0.5, Duration::from_secs(1));
    let mut times = HashSet::new();
    let check = Simulation::new().seeds(50).faults(faults).check(async || {
        yield_now().await;
        times.insert(running_loop().time());
    });
    check.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(times.len() > 5 && times.iter().all(|time| time.as_secs_f64() < 20.0), "{times:?}");
}

#[test]
fn a_fault_has_jobs_panic() {
    let (mut ok, mut failed) = (0, 0);
    let simulation = Simulation::new().seeds(50).faults(Faults::new().job_panic(0.5));
    let check = simulation.check(async || match to_thread(|| 1).await {
        Ok(_) => ok += 1,
        Err(error) => failed += usize::from(error.is_panicked()),
    });
    check.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(ok > 5 && failed > 5 && ok + failed == 50, "{ok} {failed}");
}

#[test]
fn retries_draw_their_chance_from_the_seed() {
    let delays = |seed| {
        let mut delays = Vec::new();
        Simulation::new().seed(seed).run(async || {
            delays = asyncio_task::Backoff::default().take(5).collect();
        });
        delays
    };
    assert_eq!(delays(1), delays(1));
    assert_ne!(delays(1), delays(2));
}
