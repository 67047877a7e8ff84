//! Names of tasks, and inspecting tasks.

mod common;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{WaitsFor, running_loop, try_running_loop};
use asyncio_task::{
    TaskLoopExt, TaskOptions, TaskRef, TaskRefExt, all_tasks, create_future, create_task,
    create_task_with, current_task, run, scope, sleep, sleep_until, task_group, to_thread,
    yield_now,
};
use common::{Log, new_loop, run as run_virtual};

/// The number of a generated name.
fn number(name: &str) -> u64 {
    name.strip_prefix("Task-").and_then(|number| number.parse().ok()).expect(name)
}

// F-024
#[test]
fn generated_names_count_up() {
    run(async {
        let numbers: Vec<_> = (0..3000).map(|_| number(&create_task(async {}).name())).collect();
        assert!(numbers.is_sorted_by(|one, next| one < next));
    });
}

// F-024: across the process they are unique.
#[test]
fn generated_names_are_unique_among_threads() {
    let names = || run(async { [(); 100].map(|()| create_task(async {}).name().to_string()) });
    let threads = [(); 4].map(|()| thread::spawn(names));
    let mut all: Vec<_> = threads.into_iter().flat_map(|t| t.join().unwrap()).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 400);
}

#[test]
fn a_name_is_given_and_changed() {
    run(async {
        let task = create_task_with(async {}, TaskOptions::new().name("worker"));
        assert_eq!(&*task.name(), "worker");
        task.set_name("other");
        assert_eq!(&*task.name(), "other");
        assert_eq!(&*task.task_ref().name(), "other");
    });
}

#[test]
fn a_task_and_a_child_are_named_where_they_are_made() {
    run(async {
        let task = create_task(async { current_task().unwrap().name() }).named("worker");
        assert_eq!(&*task.name(), "worker");
        assert_eq!(&*task.await.unwrap(), "worker");
        create_task(async {}).named(String::from("detached"));
        assert_eq!(&*all_tasks()[1].name(), "detached");
        scope(async |scope| {
            let child = scope.create_task(async { current_task().unwrap().name() });
            assert_eq!(&*child.named("child").await, "child");
        })
        .await;
        let group = task_group(async |group| {
            group.cancel();
            assert!(group.create_task(async {}).named("refused").task_ref().is_none());
            Ok::<(), ()>(())
        });
        assert!(group.await.is_ok());
    });
}

#[test]
fn a_task_knows_its_loop_and_where_it_was_made() {
    run(async {
        let task = create_task(async {});
        let line = line!() - 1;
        assert_eq!((task.site().file(), task.site().line()), (file!(), line));
        assert_eq!(task.event_loop(), Some(running_loop()));
    });
}

// F-026
#[test]
fn debug_shows_the_state() {
    run_virtual(async {
        let state = |task: &asyncio_task::Task<()>| {
            let text = format!("{task:?}");
            let rest = text.strip_prefix("<Task \"it\" ").expect("the name comes first");
            rest.split(" created at ").next().unwrap().to_owned()
        };
        let it = TaskOptions::new().name("it");

        let task = create_task_with(sleep(Duration::from_secs(9)), it.clone());
        assert_eq!(state(&task), "ready");
        yield_now().await;
        assert_eq!(state(&task), "pending, waits for a moment,");
        task.cancel();
        assert_eq!(state(&task), "cancelling");
        yield_now().await;
        assert_eq!(state(&task), "cancelled");

        let task = create_task_with(async { assert!(show_self().contains("running")) }, it.clone());
        yield_now().await;
        assert_eq!(state(&task), "finished");

        let mut task = create_task_with(async { panic!("no luck") }, it);
        yield_now().await;
        assert_eq!(state(&task), "panicked");
        assert!(task.try_result().unwrap().is_err());
    });
}

// F-026
#[test]
fn debug_shows_what_a_task_waits_for() {
    run_virtual(async {
        let (promise, end) =
            (create_future::<()>(), running_loop().time() + Duration::from_secs(1));
        let inner = create_task(promise.clone());
        let inner_ref = inner.task_ref().clone();
        let outer = create_task_with(inner, TaskOptions::new().name("outer"));
        let sleeper = create_task(sleep_until(end));
        let (release, released) = mpsc::channel();
        let worker = create_task(to_thread(move || released.recv().unwrap()));
        let unknown = create_task(std::future::pending::<()>());
        let before = inner_ref.waits_for();
        yield_now().await;
        assert_eq!(before, None, "the task has not started");
        assert_eq!(inner_ref.waits_for(), Some(WaitsFor::Promise));
        assert_eq!(outer.task_ref().waits_for(), Some(WaitsFor::Task));
        assert_eq!(outer.task_ref().awaited(), Some(inner_ref.clone()));
        assert_eq!(sleeper.task_ref().waits_for(), Some(WaitsFor::Time));
        assert_eq!(worker.task_ref().waits_for(), Some(WaitsFor::Thread));
        assert_eq!(unknown.task_ref().waits_for(), None);
        let named =
            format!("<Task \"outer\" pending, waits for {:?}, created at", inner_ref.name());
        assert!(format!("{outer:?}").starts_with(&named), "{outer:?}");
        let text = format!("{inner_ref:?}");
        assert!(text.contains(" pending, waits for a promise, created at "), "{text}");

        promise.set_result(()).unwrap();
        assert_eq!(inner_ref.waits_for(), None, "the task is ready");
        release.send(()).unwrap();
        worker.await.unwrap().unwrap();
    });
}

// F-026: an earlier wait is not shown.
#[test]
fn debug_does_not_show_what_a_task_waited_for_before() {
    run_virtual(async {
        let task = create_task(async {
            sleep(Duration::from_secs(1)).await;
            std::future::pending::<()>().await;
        });
        sleep(Duration::from_secs(2)).await;
        assert_eq!(task.task_ref().waits_for(), None);
        assert!(format!("{task:?}").contains(" pending created at "), "{task:?}");
    });
}

fn show_self() -> String {
    format!("{:?}", current_task().unwrap())
}

// F-027
#[test]
fn the_current_task_is_the_one_being_stepped() {
    run(async {
        let main = current_task().unwrap();
        let tasks = [(); 2].map(|()| {
            create_task(async {
                let this = current_task().unwrap();
                for _ in 0..3 {
                    yield_now().await;
                    assert_eq!(current_task().unwrap(), this);
                }
                this
            })
        });
        for task in tasks {
            let expected = task.task_ref().clone();
            assert_eq!(task.await.unwrap(), expected);
            assert_eq!(current_task().unwrap(), main);
        }
    });
}

// F-027
#[test]
fn a_callback_has_no_current_task() {
    run(async {
        let log = Log::new();
        let seen = log.clone();
        running_loop().call_soon(move || seen.add(current_task()));
        yield_now().await;
        assert_eq!(log.take(), [None]);
    });
}

// F-027
#[test]
#[should_panic(expected = "no running event loop")]
fn the_current_task_needs_a_loop() {
    assert!(try_running_loop().is_err());
    let _ = current_task();
}

// F-028
#[test]
fn all_tasks_are_the_unfinished_ones() {
    run(async {
        let main = current_task().unwrap();
        let fresh = create_task(async {});
        let waiting = create_task(std::future::pending::<()>());
        let (fresh_ref, waiting_ref) = (fresh.task_ref().clone(), waiting.task_ref().clone());
        assert_eq!(all_tasks(), [main.clone(), fresh_ref, waiting_ref.clone()]);
        yield_now().await;
        assert!(fresh.is_done());
        assert_eq!(all_tasks(), [main, waiting_ref]);
    });
}

// F-028
#[test]
fn all_tasks_leaves_out_those_of_other_loops() {
    let (one, two) = (new_loop(), new_loop());
    let task = one.create_task(async {}).unwrap();
    assert_eq!(one.all_tasks(), [task.task_ref().clone()]);
    assert_eq!(two.all_tasks(), []);
    one.run_until_complete(task).unwrap().unwrap();
    assert_eq!(one.all_tasks(), []);
}

#[test]
fn a_name_compares_with_text_and_is_text() {
    run(async {
        let task = create_task(async {});
        task.set_name("worker");
        let name = task.name();
        assert_eq!(name, "worker");
        assert_eq!("worker", name);
        assert_eq!(name, String::from("worker"));
        assert_ne!(name, "worke");
        assert!(name == *"worker");
        assert!(*"worker" == name);
        assert_eq!(name, task.task_ref().name());
        assert_eq!((name.len(), name.as_str(), name.as_ref()), (6, "worker", "worker"));
        assert_eq!(format!("{name:>8} {name:?}"), "  worker \"worker\"");
        let by_name = std::collections::HashMap::from([(name.clone(), 1)]);
        assert_eq!(by_name.get("worker"), Some(&1));
        assert_eq!(String::from(name), "worker");
    });
}

#[test]
fn a_reference_registers_callbacks_too() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let log = |what: &'static str| {
            let seen = Rc::clone(&seen);
            move |task: &TaskRef| seen.borrow_mut().push((what, task.name()))
        };
        let task = create_task(async {});
        task.set_name("it");
        let it = task.task_ref().clone();
        it.add_done_callback(log("first"));
        let removed = it.add_done_callback(log("removed"));
        task.add_done_callback(log("by the handle"));
        assert_eq!(it.remove_done_callback(&removed), 1);
        assert_eq!(it.remove_done_callback(&removed), 0);
        task.await.unwrap();
        yield_now().await;
        it.add_done_callback(log("late"));
        yield_now().await;
        let order: Vec<_> = seen.borrow().iter().map(|(what, _)| *what).collect();
        assert_eq!(order, ["first", "by the handle", "late"]);
        assert!(seen.borrow().iter().all(|(_, name)| name == "it"));
    });
}
