//! The same seed, the same trace.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use asyncio_loop::running_loop;
use asyncio_sync::{Lock, Queue};
use asyncio_task::{all_tasks, create_task, sleep, task_group, timeout, to_thread, yield_now};
use asyncio_testing::{Faults, SeededState, Simulation, event, rng};

/// A program with tasks, names, maps, times, random numbers, jobs and faults.
async fn program(rounds: u32) {
    let (lock, queue) = (Rc::new(Lock::new(0_u64)), Rc::new(Queue::bounded(3)));
    let numbers = Rc::new(RefCell::new(HashMap::with_hasher(SeededState::new())));
    let tasks: Vec<_> = (0..20)
        .map(|number| {
            let (lock, queue) = (Rc::clone(&lock), Rc::clone(&queue));
            let numbers = Rc::clone(&numbers);
            create_task(async move {
                let mut rng = rng();
                for round in 0..rounds {
                    let pause = rng.duration(Duration::ZERO, Duration::from_millis(20));
                    let _ = timeout(Duration::from_millis(10), sleep(pause)).await;
                    *lock.acquire().await += rng.next_u64() % 7;
                    numbers.borrow_mut().insert(rng.next_u64(), round);
                    if round % 50 == 0 {
                        drop(to_thread(move || round).await);
                    }
                    let _ = queue.put_nowait(number);
                    yield_now().await;
                    let _ = queue.get_nowait();
                }
            })
        })
        .collect();
    let grouped = task_group(async |group| {
        for _ in 0..3 {
            group.create_task(async {
                sleep(Duration::from_millis(1)).await;
                Ok::<(), ()>(())
            });
        }
        Ok(())
    });
    let _ = grouped.await;
    for task in tasks {
        let _ = task.await;
    }
    event(format!("{:?}", numbers.borrow().iter().take(3).collect::<Vec<_>>()));
    event(format!("{} {:?}", *lock.acquire().await, all_tasks()));
    event(format!("{:?}", running_loop().system_time().duration_since(UNIX_EPOCH)));
}

fn simulation() -> Simulation {
    let faults = Faults::new().cancel(0.0001).delay(0.001, Duration::from_millis(50));
    Simulation::new().faults(faults.job_panic(0.1)).allow_reports(true)
}

#[test]
fn equal_seeds_make_equal_runs() {
    for seed in 0..20 {
        let simulation = simulation().seed(seed);
        let (first, second) = (
            simulation.trace(async || program(20).await),
            simulation.trace(async || program(20).await),
        );
        assert_eq!(first.first_difference(&second), None);
        assert_eq!(first.to_string(), second.to_string());
    }
}

#[test]
fn other_seeds_make_other_runs() {
    let trace = |seed| simulation().seed(seed).trace(async || program(5).await).to_string();
    let traces: std::collections::HashSet<String> = (0..10).map(trace).collect();
    assert_eq!(traces.len(), 10);
}

#[test]
fn a_long_run_is_equal_to_the_last_byte() {
    // A million entries; fewer in a debug build, which is slow.
    let rounds = if cfg!(debug_assertions) { 1000 } else { 15_000 };
    let trace = || simulation().seed(7).trace(async || program(rounds).await);
    let (first, second) = (trace(), trace());
    assert!(first.len() > 50 * rounds as usize, "{}", first.len());
    assert_eq!(first.to_string(), second.to_string());
}

#[test]
#[should_panic(expected = "two runs differ after")]
fn what_the_seed_does_not_decide_is_found() {
    let mut runs = 0;
    Simulation::new().seed(1).assert_repeatable(async || {
        runs += 1;
        for _ in 0..runs {
            yield_now().await;
        }
    });
}

#[test]
fn a_failure_that_does_not_come_again_is_told() {
    let mut runs = 0;
    let failure = Simulation::new().check(async || {
        runs += 1;
        assert!(runs > 1, "only the first time");
    });
    let text = failure.unwrap_err().to_string();
    assert!(text.contains("did not fail when its schedule was replayed"), "{text}");
}
