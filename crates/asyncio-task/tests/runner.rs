//! `run` and `Runner`.

mod common;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{Context, EventLoop, LoopRef, RunError, context_var, running_loop};
use asyncio_task::{Runner, create_task, create_task_with, current_task, run, sleep, yield_now};
use asyncio_task::{TaskLoopExt, TaskOptions, all_tasks, finally};
use common::{Log, OnDrop, Report, new_loop, reports};

context_var! {
    static WHO: &'static str = "nobody";
}

/// The message of the panic of `f`.
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else { panic!("it did not panic") };
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

//
#[test]
fn run_returns_what_the_main_future_returns() {
    assert_eq!(run(async { 6 * 7 }), 42);
    assert_eq!(run(async { Err::<(), _>("no luck") }), Err("no luck"));
    assert_eq!(panic_of(|| run(async { panic!("no luck") })), "no luck");
}

#[test]
fn the_main_future_may_borrow() {
    let words = ["one", "two"];
    let seen = Cell::new(0);
    run(async {
        yield_now().await;
        seen.set(words.len());
    });
    assert_eq!(seen.get(), 2);
}

//
#[test]
fn run_inside_a_run_is_refused() {
    let log = Log::new();
    let line = line!() + 1;
    let text = run(async {
        let held = OnDrop(log.clone(), "dropped");
        let inner = async move {
            let _held = held;
            unreachable!("never polled")
        };
        let text = panic_of(|| run::<_>(inner));
        yield_now().await;
        text
    });
    assert!(text.contains("a loop is already running on this thread"), "{text}");
    assert!(text.contains(&format!("started at {}:{line}:", file!())), "{text}");
    assert_eq!(log.take(), ["dropped"]);
}

/// A task's local value, whose destructor panics.
struct Trap;

impl Drop for Trap {
    fn drop(&mut self) {
        panic!("failed while ending");
    }
}

//
#[test]
fn a_task_that_fails_while_it_is_cancelled_is_reported() {
    let (value, reports) = run(async {
        let reports = reports(&running_loop());
        let left_over = async {
            let _trap = Trap;
            pending::<()>().await;
        };
        drop(create_task_with(left_over, TaskOptions::new().name("left over")));
        yield_now().await;
        ("value", reports)
    });
    assert_eq!(value, "value");
    let message = "task panic was never retrieved".to_owned();
    let (panic, task) = (Some("failed while ending".to_owned()), Some("left over".to_owned()));
    assert_eq!(reports.take(), [Report { message, error: None, panic, task }]);
}

//
#[test]
fn what_is_left_is_cancelled_also_when_the_main_future_fails() {
    let log = Log::new();
    let main = async {
        let held = OnDrop(log.clone(), "cancelled");
        create_task(async move {
            let _held = held;
            pending::<()>().await;
        });
        yield_now().await;
        panic!("no luck");
    };
    assert_eq!(panic_of(|| run(main)), "no luck");
    assert_eq!(log.take(), ["cancelled"]);
}

#[test]
fn tasks_that_are_made_while_others_end_are_cancelled_too() {
    struct Starts(Log);
    impl Drop for Starts {
        fn drop(&mut self) {
            let held = OnDrop(self.0.clone(), "second");
            self.0.add("first");
            create_task(async move {
                let _held = held;
                pending::<()>().await;
            });
        }
    }
    let log = Log::new();
    let reports = run(async {
        let starts = Starts(log.clone());
        create_task(async move {
            let _starts = starts;
            pending::<()>().await;
        });
        yield_now().await;
        reports(&running_loop())
    });
    assert_eq!(log.take(), ["first", "second"]);
    assert_eq!(reports.take(), []);
}

//
#[test]
fn the_loop_is_closed_when_run_returns() {
    let first = run(async { running_loop() });
    assert!(first.is_closed());
    let second = run(async { running_loop() });
    assert!(second.is_closed());
    assert_ne!(first, second);

    let kept = RefCell::new(None::<LoopRef>);
    panic_of(|| {
        run(async {
            kept.replace(Some(running_loop()));
            panic!("no luck");
        })
    });
    assert!(kept.take().unwrap().is_closed());
}

//
#[test]
fn run_waits_for_the_default_executor() {
    let (release, released) = mpsc::channel();
    let (tell, told) = mpsc::channel();
    run(async move {
        let job = move || {
            released.recv().unwrap();
            tell.send("job has ended").unwrap();
        };
        running_loop().run_in_executor(None, job).detach();
        // This task still runs when the main future is done; the runner's cleanup drops it, which
        // releases the job.
        create_task(async move {
            let _release = SendOnDrop(release);
            pending::<()>().await;
        });
        yield_now().await;
    });
    assert_eq!(told.try_recv(), Ok("job has ended"));
}

/// Sends a message when it is dropped.
struct SendOnDrop(mpsc::Sender<()>);

impl Drop for SendOnDrop {
    fn drop(&mut self) {
        self.0.send(()).unwrap();
    }
}

//
#[test]
fn a_job_that_does_not_end_in_time_is_left_behind_and_reported() {
    let (release, released) = mpsc::channel::<()>();
    let (started, has_started) = mpsc::channel();
    let line = line!() + 7;
    let reports = Runner::builder().executor_timeout(Duration::ZERO).run(async {
        let reports = reports(&running_loop());
        let job = move || {
            started.send(()).unwrap();
            let _ = released.recv();
        };
        running_loop().run_in_executor(None, job).detach();
        has_started.recv().unwrap();
        reports
    });
    let reports = reports.take();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].message, "the loop was closed while jobs were running");
    let error = reports[0].error.as_deref().unwrap();
    assert!(error.contains(&format!("{}:{line}:", file!())), "{error}");
    drop(release);
}

//
#[test]
fn a_loop_factory_is_called_once_and_its_loop_is_used() {
    let calls = Rc::new(Cell::new(0));
    let made = Rc::new(RefCell::new(None));
    let factory = {
        let (calls, made) = (Rc::clone(&calls), Rc::clone(&made));
        move || {
            calls.set(calls.get() + 1);
            let event_loop = EventLoop::builder().virtual_time(true).build()?;
            made.replace(Some(event_loop.loop_ref()));
            Ok(event_loop)
        }
    };
    let mut runner = Runner::builder().loop_factory(factory).build();
    assert_eq!(calls.get(), 0, "not before it is needed");
    for _ in 0..2 {
        let current = runner.run(async { running_loop() }).unwrap();
        assert_eq!(Some(current), *made.borrow());
    }
    assert_eq!(calls.get(), 1);
}

#[test]
fn a_loop_factory_that_fails_is_not_hidden_by_a_closed_runner() {
    let fails = || Err(io::Error::new(io::ErrorKind::PermissionDenied, "no poller for you"));
    let mut runner = Runner::builder().loop_factory(fails).build();
    for _ in 0..2 {
        let text = "cannot make an event loop: no poller for you";
        assert_eq!(panic_of(|| runner.run(async {})), text);
        assert_eq!(panic_of(|| runner.event_loop()), text);
    }
    runner.close();
    assert_eq!(runner.run(async {}), Err(RunError::Closed));

    let mut runner = Runner::builder().loop_factory(|| panic!("on purpose")).build();
    assert_eq!(panic_of(|| runner.run(async {})), "on purpose");
    let text = "cannot make an event loop: the loop factory has panicked";
    assert_eq!(panic_of(|| runner.run(async {})), text);

    let hosted = Runner::builder().host(|| Err(io::Error::other("no host")));
    let mut runner = hosted.build();
    for _ in 0..2 {
        let text = "cannot make an event loop: no host";
        assert_eq!(panic_of(|| runner.run(async {})), text);
    }
}

//
#[test]
fn debug_is_applied_to_the_loop() {
    let is_debug = || running_loop().is_debug();
    assert!(Runner::builder().debug(true).run(async { is_debug() }));
    assert!(!Runner::builder().debug(false).run(async { is_debug() }));
    let by_environment = EventLoop::new().unwrap().is_debug();
    assert_eq!(run(async { is_debug() }), by_environment);
}

//
#[test]
fn what_one_run_leaves_goes_on_in_the_next() {
    let log = Log::new();
    let mut runner = Runner::builder().virtual_time(true).build();
    let event_loop = runner.event_loop().unwrap();
    let (held, steps) = (OnDrop(log.clone(), "dropped"), log.clone());
    let task = event_loop.create_task(async move {
        let _held = held;
        for step in ["one second", "two seconds", "three seconds"] {
            sleep(Duration::from_secs(1)).await;
            steps.add(step);
        }
        pending::<()>().await;
    });
    let task = task.unwrap();
    runner.run(sleep(Duration::from_millis(1500))).unwrap();
    assert_eq!(log.take(), ["one second"]);
    assert_eq!(runner.event_loop().unwrap(), event_loop);
    runner.run(sleep(Duration::from_secs(1))).unwrap();
    assert_eq!(log.take(), ["two seconds"]);
    assert!(!task.is_done());
    runner.close();
    assert_eq!(log.take(), ["dropped"]);
    assert!(task.is_cancelled());
}

//
#[test]
fn the_runs_of_a_runner_share_a_context() {
    WHO.set("caller");
    let mut runner = Runner::new();
    let seen = runner.run(async { (WHO.get(), drop(WHO.set("first run"))).0 }).unwrap();
    assert_eq!(seen, "caller", "the context is a copy of the caller's");
    assert_eq!(WHO.get(), "caller");
    assert_eq!(runner.run(async { WHO.get() }).unwrap(), "first run");
}

#[test]
fn a_run_may_have_a_context_of_its_own() {
    let (mut runner, context) = (Runner::new(), Context::new());
    runner.run_in(&context, async { drop(WHO.set("run")) }).unwrap();
    assert_eq!(context.run(|| WHO.get()), "run");
    assert_eq!(runner.run(async { WHO.get() }).unwrap(), "nobody");
}

//
#[test]
fn a_closed_runner_refuses_to_run() {
    let log = Log::new();
    let mut runner = Runner::new();
    let event_loop = runner.event_loop().unwrap();
    assert!(!event_loop.is_closed());
    runner.close();
    runner.close();
    assert!(event_loop.is_closed());
    assert_eq!(runner.event_loop(), Err(RunError::Closed));

    let held = OnDrop(log.clone(), "dropped");
    let refused = runner.run(async move {
        let _held = held;
        unreachable!("never polled")
    });
    assert_eq!(refused, Err::<(), _>(RunError::Closed));
    assert_eq!(log.take(), ["dropped"]);
}

//
#[test]
fn a_dropped_runner_is_closed() {
    let mut runner = Runner::new();
    let event_loop = runner.event_loop().unwrap();
    drop(runner);
    assert!(event_loop.is_closed());
}

//
#[test]
fn a_runner_does_not_run_inside_a_run() {
    let mut outer = Runner::new();
    let mut inner = Runner::new();
    let line = line!() + 1;
    let refused = outer.run(async { inner.run(async { unreachable!("never polled") }) }).unwrap();
    let Err(RunError::AlreadyRunning { outer: site }) = refused else {
        panic!("the runner is running")
    };
    assert_eq!((site.file(), site.line()), (file!(), line));
    assert_eq!(inner.run(async { "now it may" }), Ok("now it may"));
}

//
#[test]
fn a_runner_closed_inside_a_run_drops_its_tasks() {
    let log = Log::new();
    let mut inner = Runner::new();
    let held = OnDrop(log.clone(), "dropped");
    let left = async { (pending::<()>().await, held).0 };
    let task = inner.event_loop().unwrap().create_task(left).unwrap();
    run(async {
        drop(inner);
        yield_now().await;
    });
    assert_eq!(log.take(), ["dropped"]);
    assert!(task.is_cancelled());
}

#[test]
fn a_run_that_is_stopped_or_cancelled_has_no_value() {
    let mut runner = Runner::new();
    let stopped = runner.run(async {
        running_loop().stop();
        pending::<()>().await;
    });
    assert_eq!(stopped, Err(RunError::Stopped));
    let cancelled = runner.run(async {
        current_task().unwrap().request_cancel();
        yield_now().await;
    });
    assert_eq!(cancelled, Err(RunError::Cancelled));
    assert_eq!(runner.run(async { all_tasks().len() }), Ok(1), "both tasks were freed");
}

#[test]
fn threads_have_runs_of_their_own() {
    let here = thread::current().id();
    run(async {
        let there = thread::spawn(|| run(async { thread::current().id() })).join().unwrap();
        assert_ne!(there, here);
    });
    drop(new_loop());
}

//
#[test]
fn what_does_not_end_within_the_grace_period_is_named_and_dropped() {
    let builder = Runner::builder().virtual_time(true).grace_period(Duration::from_secs(2));
    let mut runner = builder.build();
    let event_loop = runner.event_loop().unwrap();
    let seen = reports(&event_loop);
    let cleaned = Rc::new(Cell::new(false));
    let inside = cleaned.clone();
    runner
        .run(async move {
            let stuck = finally(pending::<()>(), async |_| pending().await);
            create_task(stuck).set_name("stuck");
            create_task(finally(pending::<()>(), async move |_| {
                sleep(Duration::from_secs(1)).await;
                inside.set(true);
            }));
            yield_now().await;
        })
        .unwrap();
    runner.close();
    assert!(cleaned.get());
    let named: Vec<_> = seen.take().into_iter().filter_map(|report| report.task).collect();
    assert_eq!(named, ["stuck"]);
}

#[test]
fn what_is_made_while_a_stubborn_task_ends_is_cancelled_too() {
    let builder = Runner::builder().virtual_time(true).grace_period(Duration::from_secs(2));
    let mut runner = builder.build();
    let event_loop = runner.event_loop().unwrap();
    let seen = reports(&event_loop);
    let cleaned = Rc::new(Cell::new(false));
    let inside = cleaned.clone();
    runner
        .run(async move {
            create_task(finally(pending::<()>(), async |_| pending().await)).set_name("stuck");
            create_task(finally(pending::<()>(), async move |_| {
                drop(create_task(finally(pending::<()>(), async move |_| {
                    sleep(Duration::from_secs(1)).await;
                    inside.set(true);
                })));
            }));
            yield_now().await;
        })
        .unwrap();
    runner.close();
    assert!(cleaned.get());
    let named: Vec<_> = seen.take().into_iter().filter_map(|report| report.task).collect();
    assert_eq!(named, ["stuck"]);
}
