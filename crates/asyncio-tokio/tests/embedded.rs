//! Loops inside a running tokio runtime.

use std::cell::{Cell, RefCell};
use std::future::{IntoFuture, pending};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::RunError;
use asyncio_task::{
    TaskRefExt, create_task, current_task, finally, run, running_loop, sleep, to_thread,
    try_running_loop, yield_now,
};
use asyncio_tokio::embed;
use tokio::runtime::{Builder, LocalOptions};

/// Runs a future in a `LocalRuntime` of tokio.
fn in_tokio<F: Future>(future: F) -> F::Output {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build_local(LocalOptions::default()).unwrap().block_on(future)
}

#[test]
fn the_loop_ends_as_a_run_does() {
    let log = Rc::new(RefCell::new(Vec::new()));
    let (cleanup, late) = (Rc::clone(&log), Rc::clone(&log));
    let value = in_tokio(async move {
        let other = tokio::task::spawn_local(async {
            let mut ticks = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                ticks += 1;
                if ticks == 5 {
                    break ticks;
                }
            }
        });
        let embedded = embed(async move {
            create_task(finally(pending::<()>(), async move |_| {
                // Both kinds of timers go on in cleanup.
                sleep(Duration::from_millis(1)).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                cleanup.borrow_mut().push("cleaned up");
            }));
            let job = to_thread(|| std::thread::sleep(Duration::from_millis(5)));
            create_task(async move { job.await.unwrap() });
            yield_now().await;
            6 * 7
        });
        let value = embedded.await;
        late.borrow_mut().push("embed is over");
        assert_eq!(other.await.unwrap(), 5);
        value
    });
    assert_eq!(value, Ok(42));
    assert_eq!(*log.borrow(), ["cleaned up", "embed is over"]);
}

#[test]
fn every_kind_of_runtime_takes_a_loop() {
    let body = || {
        embed(async {
            sleep(Duration::from_millis(1)).await;
            tokio::spawn(async { 42 }).await.unwrap()
        })
        .into_future()
    };
    let multi = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    assert_eq!(multi.block_on(body()), Ok(42));
    let single = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(single.block_on(body()), Ok(42));
    let set = tokio::task::LocalSet::new();
    assert_eq!(
        set.block_on(&single, async { tokio::task::spawn_local(body()).await.unwrap() }),
        Ok(42)
    );
}

#[test]
fn several_loops_take_turns() {
    in_tokio(async {
        let one = || {
            embed(async {
                for _ in 0..100 {
                    yield_now().await;
                    tokio::task::yield_now().await;
                }
                sleep(Duration::from_millis(1)).await;
                running_loop()
            })
        };
        let two = tokio::task::spawn_local(one().into_future());
        let first = one().await.unwrap();
        let second = two.await.unwrap().unwrap();
        assert!(first != second && first.is_closed() && second.is_closed());
        assert!(try_running_loop().is_err(), "outside of bursts");
    });
}

#[test]
fn a_main_task_that_is_stopped_or_cancelled_is_an_error() {
    in_tokio(async {
        let stopped = embed(async {
            running_loop().stop();
            pending::<()>().await;
        });
        assert_eq!(stopped.await, Err(RunError::Stopped));
        let cancelled = embed(async {
            current_task().unwrap().cancel();
            pending::<()>().await;
        });
        assert_eq!(cancelled.await, Err(RunError::Cancelled));
        let closed = embed(async {
            let this = running_loop();
            tokio::task::spawn_local(async move { this.close().unwrap() });
            pending::<()>().await;
        });
        assert_eq!(closed.await, Err(RunError::Closed));
    });
}

#[test]
fn stop_during_the_shutdown_does_not_cut_it_short() {
    let ended = Rc::new(Cell::new(false));
    let end = Rc::clone(&ended);
    in_tokio(async move {
        embed(async move {
            create_task(finally(pending::<()>(), async move |_| {
                running_loop().stop();
                sleep(Duration::from_millis(1)).await;
                end.set(true);
            }));
            yield_now().await;
        })
        .await
        .unwrap();
    });
    assert!(ended.get());
}

#[test]
fn cleanup_beyond_the_grace_period_is_dropped() {
    struct Dropped(Rc<Cell<bool>>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }
    let dropped = Rc::new(Cell::new(false));
    let guard = Dropped(Rc::clone(&dropped));
    in_tokio(async move {
        let never = embed(async move {
            create_task(finally(pending::<()>(), async move |_| {
                let _guard = guard;
                pending::<()>().await;
            }));
            yield_now().await;
        });
        never.grace_period(Duration::from_millis(5)).await.unwrap();
    });
    assert!(dropped.get());
}

#[test]
fn a_panic_of_the_main_task_comes_out_after_the_cleanup() {
    let cleaned = Rc::new(Cell::new(false));
    let clean = Rc::clone(&cleaned);
    let run = AssertUnwindSafe(|| {
        in_tokio(async move {
            let embedded = embed(async move {
                create_task(finally(pending::<()>(), async move |_| {
                    sleep(Duration::from_millis(1)).await;
                    clean.set(true);
                }));
                yield_now().await;
                panic!("on purpose");
            });
            embedded.await
        })
    });
    let payload = std::panic::catch_unwind(|| run().unwrap()).unwrap_err();
    assert_eq!(payload.downcast_ref(), Some(&"on purpose"));
    assert!(cleaned.get());
}

#[test]
fn an_embedded_loop_that_is_dropped_drops_its_tasks() {
    let alive = Rc::new(());
    let held = Rc::clone(&alive);
    in_tokio(async move {
        let embedded = embed(async move {
            let _held = held;
            pending::<()>().await;
        });
        let task = tokio::task::spawn_local(embedded.into_future());
        tokio::time::sleep(Duration::from_millis(1)).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert_eq!(Rc::strong_count(&alive), 1);
}

#[test]
fn a_loop_inside_a_run_of_a_loop_is_refused() {
    let refused = asyncio_tokio::run(async { embed(async { 1 }).await });
    assert!(matches!(refused, Err(RunError::AlreadyRunning { .. })), "{refused:?}");
}

#[test]
fn a_run_that_brings_its_own_runtime_is_refused_inside_one() {
    let payload = in_tokio(async {
        std::panic::catch_unwind(|| asyncio_tokio::run(async { 1 })).unwrap_err()
    });
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or(payload.downcast_ref::<&str>().copied()).unwrap();
    assert!(text.contains("from within a runtime"), "{text}");
    assert_eq!(run(async { 1 }), 1);
}
