//! `sync_to_async` and `async_to_sync`: which code runs on which thread, which values are passed,
//! and cancellation.

use std::cell::RefCell;
use std::future::IntoFuture;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, ThreadId};
use std::time::Duration;

use asyncio_loop::{
    Context, JobError, ThreadPoolExecutor, ThreadPromise, calling_loop, context_var, running_loop,
};
use asyncio_task::{
    LoopThread, SyncToAsync, async_to_sync, catch_cancel, create_task, from_thread, run, shield,
    single_thread_scope, sleep, sync_to_async, thread_sensitive_scope, to_thread, yield_now,
};

context_var! { static USER: &'static str = "nobody"; }

fn thread_id() -> ThreadId {
    thread::current().id()
}

/// A function that blocks until it is released, the receiver of its start, and the sender that
/// releases it.
fn blocking() -> (impl FnOnce() + Send + 'static, Receiver<()>, Sender<()>) {
    let (started, starts) = mpsc::channel();
    let (release, held) = mpsc::channel();
    let function = move || {
        let _ = started.send(());
        let _ = held.recv();
    };
    (function, starts, release)
}

//
#[test]
fn the_function_runs_elsewhere_while_the_loop_goes_on() {
    run(async {
        let (function, starts, release) = blocking();
        // This task releases the function, which would not end otherwise.
        let let_go = create_task(async move {
            while starts.try_recv().is_err() {
                yield_now().await;
            }
            release.send(()).unwrap();
        });
        sync_to_async(function).await.unwrap();
        let_go.await.unwrap();

        let error = sync_to_async(|| -> u8 { panic!("no") }).await.unwrap_err();
        assert_eq!(error.to_string(), "job panicked: no");
    });
}

//
#[test]
fn with_one_worker_two_calls_run_one_after_the_other() {
    let one = Rc::new(ThreadPoolExecutor::builder().max_workers(1).build());
    run(async move {
        let (function, starts, release) = blocking();
        let first = create_task(sync_to_async(function).executor(one.clone()).into_future());
        let second = create_task(sync_to_async(|| 2).executor(one.clone()).into_future());
        while starts.try_recv().is_err() {
            yield_now().await;
        }
        assert_eq!(one.queued(), 1);
        release.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(second.await.unwrap().unwrap(), 2);
    });
}

//
#[test]
fn thread_sensitive_calls_of_all_tasks_and_loops_share_one_thread() {
    let ids = || {
        run(async {
            let here = thread_id();
            let tasks: Vec<_> =
                (0..3).map(|_| create_task(sync_to_async(thread_id).into_future())).collect();
            let mut ids = Vec::new();
            for task in tasks {
                ids.push(task.await.unwrap().unwrap());
            }
            assert!(!ids.contains(&here));
            ids
        })
    };
    let (mine, other) = (ids(), thread::spawn(ids).join().unwrap());
    assert!(mine.iter().chain(&other).all(|id| *id == mine[0]));
}

//
#[test]
fn below_async_to_sync_thread_sensitive_functions_run_on_the_thread_that_waits() {
    let here = thread_id();
    let (direct, from_task) = async_to_sync(|| async {
        let direct = sync_to_async(thread_id).await.unwrap();
        let task = create_task(sync_to_async(thread_id).into_future());
        (direct, task.await.unwrap().unwrap())
    })
    .unwrap();
    assert_eq!((direct, from_task), (here, here));
}

//
#[test]
fn what_is_not_thread_sensitive_runs_on_the_default_executor() {
    run(async {
        let pool = ThreadPoolExecutor::builder().thread_name_prefix("mine").build();
        running_loop().set_default_executor(pool);
        let name = || thread::current().name().map(str::to_owned);
        let name = sync_to_async(name).thread_sensitive(false).await.unwrap();
        assert_eq!(name.as_deref(), Some("mine_0"));

        // The function does not wait for the sensitive thread.
        let (function, starts, release) = blocking();
        let sensitive = create_task(thread_sensitive_scope(async || {
            sync_to_async(function).await.unwrap();
        }));
        while starts.try_recv().is_err() {
            yield_now().await;
        }
        assert_eq!(sync_to_async(|| 1).thread_sensitive(false).await.unwrap(), 1);
        release.send(()).unwrap();
        sensitive.await.unwrap();
    });
}

/// The name of the thread on which the function of `call` runs.
fn named<F>(
    make: impl FnOnce(SyncToAsync<fn() -> Option<String>>, Rc<ThreadPoolExecutor>) -> F,
) -> Option<String>
where
    F: IntoFuture<Output = Result<Option<String>, JobError>>,
{
    run(async {
        let pool = Rc::new(ThreadPoolExecutor::builder().thread_name_prefix("mine").build());
        let name: fn() -> Option<String> = || thread::current().name().map(str::to_owned);
        make(sync_to_async(name), pool).await.unwrap()
    })
}

//
#[test]
fn an_executor_and_thread_sensitivity_exclude_each_other() {
    let mine = Some("mine_0".to_owned());
    assert_eq!(named(|call, pool| call.executor(pool)), mine);
    assert_eq!(named(|call, pool| call.executor(pool).thread_sensitive(false)), mine);
    assert_eq!(named(|call, pool| call.thread_sensitive(false).executor(pool)), mine);
    let refused = |f: fn()| {
        let text = *std::panic::catch_unwind(f).unwrap_err().downcast::<&str>().unwrap();
        assert!(text.contains("thread-sensitive"), "{text}");
    };
    refused(|| drop(named(|call, pool| call.executor(pool).thread_sensitive(true))));
    refused(|| drop(named(|call, pool| call.thread_sensitive(true).executor(pool))));
}

//
#[test]
fn a_function_runs_in_the_context_that_is_given() {
    run(async {
        let _token = USER.set("caller");
        let context = Context::new();
        let call = || sync_to_async(|| (USER.get(), drop(USER.set("function"))).0);
        assert_eq!(call().context(&context).await.unwrap(), "nobody");
        assert_eq!(
            call().context(&context).await.unwrap(),
            "function",
            "the function set the variable"
        );
        assert_eq!(USER.get(), "caller");
    });
}

//
#[test]
fn after_an_inner_wait_work_goes_to_the_next_thread_that_waits() {
    let outermost = thread_id();
    let seen = async_to_sync(move || async move {
        let (sender, receiver) = ThreadPromise::new();
        let (go, gone) = ThreadPromise::<()>::new();
        // Runs on the outermost thread, which then waits in `async_to_sync` again.
        let inner = sync_to_async(move || {
            assert_eq!(thread_id(), outermost);
            async_to_sync(move || async move {
                drop(create_task(async move {
                    gone.await.unwrap();
                    sender.set_result(sync_to_async(thread_id).await);
                }));
            })
        });
        inner.await.unwrap().unwrap();
        go.set_result(());
        receiver.await.unwrap()
    });
    assert_eq!(seen.unwrap().unwrap(), outermost);
}

//
#[test]
fn context_values_go_in_and_changes_come_back() {
    run(async {
        USER.set("caller");
        let seen = sync_to_async(|| {
            let seen = USER.get();
            USER.set("function");
            seen
        });
        assert_eq!(seen.await.unwrap(), "caller");
        assert_eq!(USER.get(), "function");
        let again = sync_to_async(|| USER.get()).thread_sensitive(false);
        assert_eq!(again.await.unwrap(), "function");
    });
}

//
#[test]
fn a_call_that_would_wait_for_its_own_thread_is_an_error() {
    run(async {
        let inner = || run(async { sync_to_async(|| 1).await });
        let error = sync_to_async(inner).await.unwrap().unwrap_err();
        assert!(matches!(error, JobError::WouldDeadlock(_)), "{error}");

        // A function that panics leaves the thread's mark unset.
        assert!(sync_to_async(|| -> () { panic!("no") }).await.is_err());
        assert_eq!(sync_to_async(|| 1).await.unwrap(), 1);
        // So does a function that does not need the sensitive thread.
        let inner = || run(async { sync_to_async(|| 1).thread_sensitive(false).await });
        assert_eq!(sync_to_async(inner).await.unwrap().unwrap(), 1);
    });
}

//
#[test]
fn a_loop_that_blocks_the_thread_that_waits_above_is_an_error() {
    let inner = || run(async { sync_to_async(|| 1).await });
    let error = async_to_sync(move || async move { sync_to_async(inner).await });
    let error = error.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, JobError::WouldDeadlock(_)), "{error}");
}

// this arrangement can make progress.
#[test]
fn a_sensitive_function_that_waits_for_a_loop_serves_it_meanwhile() {
    fn from_thread() -> ThreadId {
        from_thread::run(|| async { sync_to_async(thread_id).await.unwrap() }).unwrap()
    }
    fn from_another_loop() -> ThreadId {
        let another = LoopThread::start().unwrap();
        another.run(|| async { sync_to_async(thread_id).await.unwrap() }).unwrap()
    }
    for wait in [from_thread, from_another_loop] {
        let both = move || (thread_id(), wait());
        let (outer, inner) =
            run(thread_sensitive_scope(async || sync_to_async(both).await)).unwrap();
        assert_eq!(outer, inner);
        let (outer, inner) =
            async_to_sync(move || async move { sync_to_async(both).await }).unwrap().unwrap();
        assert_eq!((outer, inner), (thread_id(), thread_id()));
    }
}

//
#[test]
fn a_cancellation_travels_through_async_to_sync() {
    struct TellDrop(Sender<&'static str>);
    impl Drop for TellDrop {
        fn drop(&mut self) {
            self.0.send("inner task dropped").unwrap();
        }
    }
    run(async {
        let (sender, receiver) = mpsc::channel();
        let function = move || {
            let guard = TellDrop(sender.clone());
            let inner = async_to_sync(move || async move {
                guard.0.send("inner task runs").unwrap();
                std::future::pending::<()>().await;
                drop(guard);
            });
            assert!(inner.unwrap_err().is_cancelled());
            sender.send("function ends").unwrap();
        };
        let outer = create_task(sync_to_async(function).into_future());
        let next = async || {
            loop {
                match receiver.try_recv() {
                    Ok(text) => break text,
                    Err(_) => sleep(Duration::from_micros(50)).await,
                }
            }
        };
        assert_eq!(next().await, "inner task runs");
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        let mut rest = [next().await, next().await];
        rest.sort_unstable();
        assert_eq!(rest, ["function ends", "inner task dropped"]);
    });
}

//
#[test]
fn a_cancellation_that_comes_first_reaches_what_is_waited_for_later() {
    run(async {
        let (go, gone) = mpsc::channel::<()>();
        let (sender, receiver) = mpsc::channel();
        let (started, starts) = mpsc::channel();
        let function = move || {
            started.send(()).unwrap();
            gone.recv().unwrap();
            sender.send(async_to_sync(std::future::pending::<()>)).unwrap();
        };
        let outer = create_task(sync_to_async(function).into_future());
        while starts.try_recv().is_err() {
            yield_now().await;
        }
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        go.send(()).unwrap();
        let ended = to_thread(move || receiver.recv().unwrap()).await.unwrap();
        assert!(ended.unwrap_err().is_cancelled());
    });
}

//
#[test]
fn a_caller_goes_on_if_the_inner_task_absorbs_the_cancellation() {
    run(async {
        let (sender, receiver) = mpsc::channel();
        let function = move || {
            let inner = async_to_sync(move || async move {
                let wait = catch_cancel(async {
                    sender.send(()).unwrap();
                    std::future::pending::<()>().await;
                });
                drop(wait.await.unwrap_err());
                // Cleanup that awaits.
                yield_now().await;
                "absorbed"
            });
            inner.unwrap()
        };
        let outer = create_task(async move { sync_to_async(function).await.unwrap() });
        while receiver.try_recv().is_err() {
            yield_now().await;
        }
        outer.cancel();
        assert_eq!(outer.await.unwrap(), "absorbed");
    });
}

//
#[test]
fn shielded_inner_work_survives_any_number_of_layers() {
    run(async {
        let (sender, receiver) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let (finish, finished) = mpsc::channel();
        let (alive, cancelled) = mpsc::channel::<()>();
        let innermost = move || async move {
            // Dropped when the cancellation reaches this future.
            let _alive = alive;
            let work = create_task(async move {
                sender.send(()).unwrap();
                while released.try_recv().is_err() {
                    yield_now().await;
                }
                finish.send("finished").unwrap();
            });
            shield(work).await.unwrap();
        };
        let middle = move || {
            async_to_sync(move || async move {
                sync_to_async(move || drop(async_to_sync(innermost))).await.unwrap();
            })
        };
        let outer = create_task(async move { drop(sync_to_async(middle).await) });
        while receiver.try_recv().is_err() {
            yield_now().await;
        }
        outer.cancel();
        while cancelled.try_recv() != Err(mpsc::TryRecvError::Disconnected) {
            yield_now().await;
        }
        release.send(()).unwrap();
        assert!(outer.await.unwrap_err().is_cancelled());
        let finished = to_thread(move || finished.recv().unwrap()).await.unwrap();
        assert_eq!(finished, "finished");
    });
}

//
#[test]
fn a_scope_has_a_thread_of_its_own_which_nested_ones_share() {
    run(async {
        let outside = sync_to_async(thread_id).await.unwrap();
        let scope = || {
            create_task(thread_sensitive_scope(async || {
                let id = sync_to_async(thread_id).await.unwrap();
                let nested = thread_sensitive_scope(async || sync_to_async(thread_id).await);
                assert_eq!(nested.await.unwrap(), id);
                assert_eq!(sync_to_async(thread_id).await.unwrap(), id);
                id
            }))
        };
        let (first, second) = (scope(), scope());
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert!(first != second && first != outside && second != outside);

        assert_eq!(thread_sensitive_scope(async || 7).await, 7);
        assert_eq!(sync_to_async(thread_id).await.unwrap(), outside);
    });
}

//
#[test]
fn leaving_a_scope_waits_for_its_thread_without_blocking_the_loop() {
    run(async {
        let one = ThreadPoolExecutor::builder().max_workers(1).build();
        running_loop().set_default_executor(one);
        let (function, starts, release) = blocking();
        let left = Rc::new(RefCell::new(false));
        let scope = create_task({
            let left = left.clone();
            async move {
                thread_sensitive_scope(async || {
                    let call = create_task(sync_to_async(function).into_future());
                    while starts.try_recv().is_err() {
                        yield_now().await;
                    }
                    call.cancel();
                })
                .await;
                *left.borrow_mut() = true;
            }
        });
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(!*left.borrow());
        // The default executor has a free worker.
        assert_eq!(to_thread(|| 1).await.unwrap(), 1);
        release.send(()).unwrap();
        scope.await.unwrap();
        assert!(*left.borrow());
    });
}

//
#[test]
fn async_to_sync_runs_the_future_on_a_loop_of_its_own() {
    let here = thread_id();
    let loop_thread = || async_to_sync(|| async { thread_id() }).unwrap();
    assert_ne!(loop_thread(), here);
    let result = async_to_sync(|| async { Err::<(), _>("an error of its own") });
    assert_eq!(result.unwrap(), Err("an error of its own"));
    let error = async_to_sync(|| async { panic!("boom") }).unwrap_err();
    assert_eq!(error.to_string(), "job panicked: boom");
}

//
#[test]
fn async_to_sync_inside_of_a_loop_is_an_error() {
    let error = run(async { async_to_sync(|| async { 1 }).unwrap_err() });
    assert!(error.to_string().contains("await the future instead"), "{error}");
}

//
#[test]
fn four_layers_keep_to_two_threads() {
    let here = thread_id();
    async_to_sync(move || async move {
        let outer = thread_id();
        sync_to_async(move || {
            assert_eq!(thread_id(), here);
            async_to_sync(move || async move {
                assert_eq!(thread_id(), outer);
                sync_to_async(move || {
                    assert_eq!(thread_id(), here);
                    async_to_sync(move || async move { assert_eq!(thread_id(), outer) }).unwrap();
                })
                .await
                .unwrap();
            })
            .unwrap();
        })
        .await
        .unwrap();
    })
    .unwrap();
}

//
#[test]
fn four_layers_with_async_outermost() {
    run(async {
        let outer = thread_id();
        sync_to_async(move || {
            let inner = thread_id();
            async_to_sync(move || async move {
                assert_eq!(thread_id(), outer);
                sync_to_async(move || {
                    assert_eq!(thread_id(), inner);
                    async_to_sync(move || async move { assert_eq!(thread_id(), outer) }).unwrap();
                })
                .await
                .unwrap();
            })
            .unwrap();
        })
        .await
        .unwrap();
    });
}

//
#[test]
fn context_values_go_into_async_to_sync_and_changes_come_back() {
    let token = USER.set("sync");
    let seen = async_to_sync(|| async {
        let seen = USER.get();
        USER.set("async");
        seen
    });
    assert_eq!(seen.unwrap(), "sync");
    assert_eq!(USER.get(), "async");
    USER.reset(token).unwrap();
}

//
#[test]
fn in_a_single_thread_scope_calls_share_a_helper() {
    let loop_thread = || async_to_sync(|| async { thread_id() }).unwrap();
    let (first, second, nested) =
        single_thread_scope(|| (loop_thread(), loop_thread(), single_thread_scope(loop_thread)));
    assert_eq!((first, first), (second, nested));
    let below = run(async {
        let here = thread_id();
        let below = sync_to_async(move || single_thread_scope(move || (loop_thread(), here)));
        below.await.unwrap()
    });
    assert_eq!(below.0, below.1);
}

#[test]
fn a_single_thread_scope_ends_what_is_left_there() {
    let (sender, receiver) = mpsc::channel::<()>();
    single_thread_scope(|| {
        async_to_sync(|| async move {
            drop(create_task(async move {
                let _alive = sender;
                std::future::pending::<()>().await;
            }));
        })
        .unwrap();
    });
    assert!(receiver.recv().is_err());
}

//
#[test]
fn without_its_outer_loop_async_to_sync_uses_one_of_its_own() {
    let (sender, receiver) = mpsc::channel();
    let (function, starts, release) = blocking();
    let event_loop = asyncio_loop::EventLoop::new().unwrap();
    event_loop
        .run_in_executor(None, move || {
            function();
            assert!(calling_loop().unwrap().is_closed());
            sender.send(async_to_sync(|| async { 7 })).unwrap();
        })
        .detach();
    starts.recv().unwrap();
    event_loop.close().unwrap();
    release.send(()).unwrap();
    assert_eq!(receiver.recv().unwrap().unwrap(), 7);
}

//
#[test]
fn a_context_variable_is_a_local_that_new_threads_do_not_see() {
    let token = USER.set("here");
    assert_eq!(thread::spawn(|| USER.get()).join().unwrap(), "nobody");
    assert_eq!(async_to_sync(|| async { USER.get() }).unwrap(), "here");
    USER.reset(token).unwrap();
}

//
#[test]
fn a_thread_local_is_never_carried() {
    thread_local!(static PLACE: RefCell<u8> = const { RefCell::new(0) });
    PLACE.set(1);
    assert_eq!(async_to_sync(|| async { PLACE.take() }).unwrap(), 0);
    let below = run(async {
        PLACE.set(2);
        sync_to_async(|| PLACE.take()).await.unwrap()
    });
    assert_eq!(below, 0);
}
