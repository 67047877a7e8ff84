//! `LoopPool`: where futures run, where they are dropped, and how the pool stops.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;

use asyncio_loop::{EventLoop, JobError, running_loop};
use asyncio_task::{LoopPool, create_task, finally, run, sleep, yield_now};

const LONG: Duration = Duration::from_secs(3600);

/// A value that sends the thread on which it is dropped.
struct Dropped {
    told: Sender<ThreadId>,
    /// Makes the value not `Send`.
    _local: Rc<()>,
}

impl Dropped {
    fn new(told: Sender<ThreadId>) -> Self {
        Self { told, _local: Rc::default() }
    }
}

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.told.send(thread::current().id());
    }
}

/// The thread of each loop of the pool.
fn threads(pool: &LoopPool) -> Vec<ThreadId> {
    let threads = pool.on_all(|_| async { thread::current().id() });
    threads.iter().map(|thread| thread.result(None).unwrap()).collect()
}

#[test]
fn each_loop_has_a_thread_and_a_name_of_its_own() {
    let pool = LoopPool::builder().loops(3).name("web").start().unwrap();
    assert_eq!(threads(&pool).into_iter().collect::<HashSet<_>>().len(), 3);
    let names =
        pool.on_all(|number| async move { (number, thread::current().name().map(str::to_owned)) });
    for (expected, name) in names.iter().enumerate() {
        assert_eq!(name.result(None).unwrap(), (expected, Some(format!("web-{expected}"))));
    }
}

#[test]
fn equal_loops_take_turns_and_a_loaded_one_is_avoided() {
    let pool = LoopPool::start(3).unwrap();
    let mut waiting: Vec<_> = (0..6).map(|_| pool.submit(|| sleep(LONG))).collect();
    assert_eq!(pool.loads(), [2, 2, 2]);
    // Loop 1 has four more futures, so the others get the next eight.
    let held: Vec<_> = (0..4).map(|_| pool.submit_to(1, || sleep(LONG))).collect();
    assert_eq!(pool.loads(), [2, 6, 2]);
    waiting.extend((0..8).map(|_| pool.submit(|| sleep(LONG))));
    assert_eq!(pool.loads(), [6, 6, 6]);
    drop(held);
}

#[test]
fn what_ends_is_counted_no_more_however_it_ends() {
    let pool = LoopPool::start(1).unwrap();
    pool.submit(|| async {}).result(None).unwrap();
    assert!(pool.submit(|| async { panic!("on purpose") }).result(None).unwrap_err().is_panicked());
    let cancelled = pool.submit(|| sleep(LONG));
    assert!(cancelled.cancel());
    // The cancel request reaches the loop before this future does.
    pool.submit(|| async {
        yield_now().await;
        yield_now().await
    })
    .result(None)
    .unwrap();
    // The result may arrive just before the future is dropped.
    while pool.loads() != [0] {
        thread::yield_now();
    }
}

#[test]
fn futures_are_polled_and_dropped_on_their_loops_threads() {
    let (told, dropped) = mpsc::channel();
    let pool = LoopPool::start(2).unwrap();
    let threads = threads(&pool);
    for (number, thread) in threads.iter().enumerate() {
        let told = told.clone();
        let ended = pool.submit_to(number, move || {
            let local = Dropped::new(told);
            async move {
                yield_now().await;
                drop(local);
                thread::current().id()
            }
        });
        assert_eq!(ended.result(None).unwrap(), *thread);
        assert_eq!(dropped.recv().unwrap(), *thread);
    }
    // A future that never ends is dropped on its thread when the pool stops.
    let waiting = pool.submit_to(1, move || {
        let local = Dropped::new(told);
        async move {
            sleep(LONG).await;
            drop(local);
        }
    });
    pool.stop();
    assert_eq!(dropped.recv().unwrap(), threads[1]);
    assert!(waiting.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_stop_cancels_what_runs_and_waits_for_its_cleanup() {
    let cleaned = Arc::new(AtomicUsize::new(0));
    let pool = LoopPool::start(2).unwrap();
    let (started, all_started) = mpsc::channel();
    let waiting = pool.on_all({
        let cleaned = Arc::clone(&cleaned);
        move |_| {
            let (cleaned, started) = (Arc::clone(&cleaned), started.clone());
            finally(
                async move {
                    started.send(()).unwrap();
                    sleep(LONG).await;
                },
                async move |_| {
                    yield_now().await;
                    cleaned.fetch_add(1, Ordering::SeqCst);
                },
            )
        }
    });
    (0..2).for_each(|_| all_started.recv().unwrap());
    pool.stop();
    assert_eq!(cleaned.load(Ordering::SeqCst), 2);
    assert!(waiting.iter().all(|each| each.result(None).unwrap_err().is_cancelled()));
}

#[test]
fn a_dropped_pool_stops_as_well() {
    let pool = LoopPool::start(2).unwrap();
    let (handle, waiting) = (pool.handle(1).clone(), pool.submit(|| sleep(LONG)));
    drop(pool);
    assert!(handle.is_closed());
    assert!(waiting.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_shutdown_lets_work_in_flight_end_and_refuses_more() {
    let pool = LoopPool::start(2).unwrap();
    let (go, gone) = asyncio_loop::ThreadPromise::<u32>::new();
    let working = pool.submit(move || async move { gone.await.unwrap() + 1 });
    let end = pool.shutdown(LONG);
    let refused = pool.submit(|| async {}).result(None).unwrap_err();
    assert!(matches!(refused, JobError::LoopClosed), "{refused}");
    assert!(!end.is_done());
    go.set_result(6);
    assert_eq!(working.result(None).unwrap(), 7);
    end.result(None).unwrap();
    assert!(pool.handle(0).is_closed() && pool.handle(1).is_closed());
}

#[test]
fn what_does_not_end_in_the_grace_is_cancelled() {
    let pool = LoopPool::start(2).unwrap();
    let endless = pool.submit(|| sleep(LONG));
    pool.shutdown(Duration::from_millis(1)).result(None).unwrap();
    assert!(endless.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_second_call_shortens_the_grace_and_does_not_lengthen_it() {
    let pool = LoopPool::start(1).unwrap();
    let endless = pool.submit(|| sleep(LONG));
    let first = pool.shutdown(LONG);
    let second = pool.shutdown(Duration::ZERO);
    let third = pool.shutdown(LONG);
    for end in [first, second, third, pool.shutdown(LONG)] {
        end.result(None).unwrap();
    }
    assert!(endless.result(None).unwrap_err().is_cancelled());
}

#[test]
fn a_drop_after_a_shutdown_shortens_the_grace() {
    let pool = LoopPool::start(2).unwrap();
    let endless = pool.submit(|| sleep(LONG));
    let end = pool.shutdown(LONG);
    drop(pool);
    assert!(end.result(None).is_ok());
    assert!(endless.result(None).unwrap_err().is_cancelled());
}

#[test]
fn those_that_serve_are_told_to_stop() {
    let pool = LoopPool::start(2).unwrap();
    let serving = pool.on_all(|number| async move {
        let other = create_task(LoopPool::stopping());
        let given_up = create_task(LoopPool::stopping());
        yield_now().await;
        given_up.cancel();
        LoopPool::stopping().await;
        other.await.unwrap();
        LoopPool::stopping().await; // it stays so
        number
    });
    pool.shutdown(LONG).result(None).unwrap();
    let numbers: Vec<usize> = serving.iter().map(|each| each.result(None).unwrap()).collect();
    assert_eq!(numbers, [0, 1]);
}

#[test]
fn elsewhere_nobody_is_told() {
    run(async {
        let task = create_task(LoopPool::stopping());
        yield_now().await;
        yield_now().await;
        assert!(!task.is_done());
    });
}

#[test]
fn a_panic_hurts_nobody_else() {
    let pool = LoopPool::start(2).unwrap();
    let other = pool.submit_to(0, || sleep(Duration::from_millis(1)));
    let error = pool.submit_to(0, || async { panic!("on purpose") }).result(None).unwrap_err();
    assert_eq!(error.to_string(), "job panicked: on purpose");
    let error = pool
        .submit_to(0, || -> std::future::Ready<()> { panic!("before there is a future") })
        .result(None);
    assert!(error.unwrap_err().is_panicked());
    other.result(None).unwrap();
    pool.shutdown(LONG).result(None).unwrap();
}

#[test]
fn a_loop_that_ends_by_itself_is_avoided_and_reported_at_the_end() {
    let pool = LoopPool::start(2).unwrap();
    let on_it = pool.submit_to(0, || sleep(LONG));
    pool.submit_to(0, || async { running_loop().stop() }).result(None).ok();
    assert!(on_it.result(None).is_err(), "its loop has ended");
    while !pool.handle(0).is_closed() {
        thread::yield_now();
    }
    let other = threads_of(&pool, 4);
    assert_eq!(other.len(), 1, "only the other loop is left");
    let refused = pool.submit_to(0, || async {}).result(None).unwrap_err();
    assert!(matches!(refused, JobError::LoopClosed), "{refused}");
    let error = pool.shutdown(LONG).result(None).unwrap_err();
    assert!(error.is_panicked(), "{error}");
}

/// The threads that run `count` futures.
fn threads_of(pool: &LoopPool, count: usize) -> HashSet<ThreadId> {
    let futures: Vec<_> =
        (0..count).map(|_| pool.submit(|| async { thread::current().id() })).collect();
    futures.iter().map(|future| future.result(None).unwrap()).collect()
}

#[test]
fn a_loop_gives_work_to_the_others() {
    let pool = Arc::new(LoopPool::start(2).unwrap());
    let shared = Arc::clone(&pool);
    let result = pool.submit_to(0, move || async move {
        let here = thread::current().id();
        let there = shared.submit_to(1, || async { thread::current().id() }).await.unwrap();
        let same = shared.submit_to(0, || async { thread::current().id() }).await.unwrap();
        (here != there, here == same)
    });
    assert_eq!(result.result(None).unwrap(), (true, true));
}

#[test]
fn blocking_a_loop_on_its_own_future_is_an_error() {
    let pool = Arc::new(LoopPool::start(1).unwrap());
    let shared = Arc::clone(&pool);
    let error = pool.submit(move || async move { shared.submit(|| async {}).result(None) });
    assert!(matches!(error.result(None).unwrap(), Err(JobError::WouldDeadlock(_))));
}

#[test]
fn a_blocked_loop_is_avoided() {
    let pool = LoopPool::start(2).unwrap();
    let gate = Arc::new(Barrier::new(2));
    let held = Arc::clone(&gate);
    let blocked = pool.submit_to(0, move || async move {
        held.wait();
    });
    let first_waits = pool.submit_to(0, || async {});
    // The blocked loop has two futures, so each new one goes to the other loop, which completes it.
    for _ in 0..4 {
        pool.submit(|| async {}).result(None).unwrap();
    }
    gate.wait();
    blocked.result(None).unwrap();
    first_waits.result(None).unwrap();
}

#[test]
fn the_last_handle_may_be_dropped_on_one_of_its_loops() {
    let pool = Arc::new(LoopPool::start(2).unwrap());
    let handle = pool.handle(0).clone();
    let shared = Arc::clone(&pool);
    let (go, gone) = asyncio_loop::ThreadPromise::<()>::new();
    let dropped = pool.submit_to(0, move || async move {
        gone.await.unwrap();
        drop(shared);
    });
    drop(pool);
    go.set_result(());
    // The future has completed, or was cancelled when the pool was dropped.
    let _ = dropped.result(None);
    while !handle.is_closed() {
        thread::yield_now();
    }
}

#[test]
fn a_pool_that_cannot_start_says_why_and_leaves_none() {
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let error = LoopPool::builder()
        .loops(3)
        .loop_factory(move |number| {
            count.fetch_add(1, Ordering::SeqCst);
            if number == 1 { Err(io::Error::other("no loop today")) } else { EventLoop::new() }
        })
        .start()
        .unwrap_err();
    assert_eq!(error.to_string(), "no loop today");
    assert_eq!(made.load(Ordering::SeqCst), 3);
    let error = LoopPool::builder().loops(1).loop_factory(|_| panic!("on purpose")).start();
    assert_eq!(error.unwrap_err().to_string(), "the factory of a loop panicked");
}

#[test]
#[should_panic(expected = "a pool needs a loop")]
fn a_pool_without_loops_is_refused() {
    let _ = LoopPool::start(0);
}

#[test]
fn the_factory_makes_each_loop_on_its_thread() {
    thread_local! { static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) }; }
    let pool = LoopPool::builder().loops(2).loop_factory(|number| {
        NUMBER.set(number);
        EventLoop::new()
    });
    let pool = pool.start().unwrap();
    for (expected, number) in pool.on_all(|_| async { NUMBER.get() }).iter().enumerate() {
        assert_eq!(number.result(None).unwrap(), expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_pinned_thread_stays_on_one_of_the_allowed_processors() {
    use rustix::thread::{CpuSet, sched_getaffinity};

    let of_this_thread = || {
        let set = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect::<Vec<_>>()
    };
    let allowed = of_this_thread();
    let pool = LoopPool::builder().loops(allowed.len() + 1).pin(true).start().unwrap();
    for (number, cpus) in pool.on_all(move |_| async move { of_this_thread() }).iter().enumerate() {
        assert_eq!(cpus.result(None).unwrap(), [allowed[number % allowed.len()]]);
    }
    assert_eq!(of_this_thread(), allowed, "the affinity of this thread is unchanged");
}
