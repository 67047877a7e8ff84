//! Context variables in tasks and callbacks.

mod common;

use std::rc::Rc;

use asyncio_loop::{Context, context_var, running_loop};
use asyncio_task::{
    Runner, TaskOptions, create_future, create_task, create_task_with, gather, race, scope,
    staggered_race, task_group, yield_now,
};
use common::{Log, run};

context_var! {
    static WHO: &'static str = "nobody";
    static NUMBER: u32 = 0;
}

//
#[test]
fn a_task_gets_a_copy_of_the_context_it_was_made_in() {
    run(async {
        WHO.set("parent");
        let task = create_task(async {
            let seen = WHO.get();
            WHO.set("child");
            seen
        });
        WHO.set("parent, later");
        assert_eq!(task.await.unwrap(), "parent");
        assert_eq!(WHO.get(), "parent, later");
    });
}

// A-015, through several generations
#[test]
fn grandchildren_inherit_from_their_parents() {
    let seen = run(async {
        WHO.set("grandparent");
        let child = create_task(async {
            NUMBER.set(2);
            let grandchild = create_task(async { (WHO.get(), NUMBER.get()) });
            NUMBER.set(3);
            grandchild.await.unwrap()
        });
        child.await.unwrap()
    });
    assert_eq!(seen, ("grandparent", 2));
}

//
#[test]
fn children_of_groups_and_combinators_run_in_copies() {
    async fn change(to: &'static str) -> &'static str {
        let seen = WHO.get();
        yield_now().await;
        WHO.set(to);
        yield_now().await;
        assert_eq!(WHO.get(), to);
        seen
    }
    run(async {
        WHO.set("parent");
        assert_eq!(gather((change("a"), change("b"))).await, ("parent", "parent"));
        assert_eq!(race([change("a"), change("b")]).await, "parent");
        let attempts = [async || Ok::<_, ()>(change("a").await)];
        assert_eq!(staggered_race(attempts, None).await.value, Some("parent"));
        let seen = scope(async |scope| {
            let before = scope.create_task(change("a"));
            WHO.set("body");
            let after = scope.create_task(change("b"));
            [before.await, after.await]
        });
        assert_eq!(seen.await, ["parent", "body"]);
        let seen = task_group(async |group| {
            Ok::<_, ()>(group.create_task(async { Ok(change("a").await) }).await)
        });
        assert_eq!(seen.await, Ok("body"));
        // The body runs in the caller's context.
        assert_eq!(WHO.get(), "body");
    });
}

//
#[test]
fn values_of_a_task_survive_its_waits_and_stay_its_own() {
    run(async {
        let tasks = (1..=100).map(|number| {
            create_task(async move {
                NUMBER.set(number);
                for _ in 0..3 {
                    yield_now().await;
                    assert_eq!(NUMBER.get(), number);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(NUMBER.get(), 0);
    });
}

//
#[test]
fn a_task_made_in_a_context_runs_in_that_very_one() {
    run(async {
        let context = Context::new();
        let in_it = || TaskOptions::new().context(&context);
        let first = create_task_with(async { WHO.set("first") }, in_it());
        first.await.unwrap();
        assert_eq!(context.run(|| WHO.get()), "first");
        assert_eq!(create_task_with(async { WHO.get() }, in_it()).await.unwrap(), "first");
        assert_eq!(WHO.get(), "nobody");
    });
}

// for tasks that start inside the call that makes them
#[test]
fn an_eager_task_leaves_the_context_of_its_parent_alone() {
    run(async {
        let context = Context::new();
        NUMBER.set(1);
        let eager = || TaskOptions::new().eager_start(true);
        let inherits = create_task_with(async { NUMBER.set(NUMBER.get() + 10) }, eager());
        let given = create_task_with(async { NUMBER.set(7) }, eager().context(&context));
        assert!(inherits.is_done() && given.is_done());
        assert_eq!((NUMBER.get(), context.get(&NUMBER)), (1, Some(7)));
        assert_eq!(inherits.context().get(&NUMBER), Some(11));
    });
}

#[test]
fn the_context_of_a_task_is_shown() {
    run(async {
        let task = create_task(async {
            WHO.set("task");
            yield_now().await;
        });
        yield_now().await;
        assert_eq!(task.context().run(|| WHO.get()), "task");
        yield_now().await;
        assert!(task.is_done());
        assert_eq!(task.context().run(|| WHO.get()), "task", "also after its end");
    });
}

//
#[test]
fn a_done_callback_runs_in_the_context_of_its_registration() {
    run(async {
        let (log, promise, given) = (Log::new(), create_future(), Context::new());
        given.run(|| WHO.set("given"));
        let note = || {
            let log = log.clone();
            move |_: &_| log.add(WHO.get())
        };
        WHO.set("registrar");
        promise.add_done_callback(note());
        let in_given = note();
        promise.add_done_callback(move |promise| given.run(|| in_given(promise)));
        WHO.set("settler");
        promise.set_result(()).unwrap();
        yield_now().await;
        assert_eq!(log.take(), ["registrar", "given"]);
    });
}

// A-021, for tasks
#[test]
fn a_done_callback_of_a_task_runs_in_the_context_of_its_registration() {
    run(async {
        let (log, given) = (Log::new(), Context::new());
        given.run(|| WHO.set("given"));
        WHO.set("registrar");
        let task = create_task(async { WHO.set("task") });
        let note = || {
            let log = log.clone();
            move |_: &_| log.add(WHO.get())
        };
        task.add_done_callback(note());
        let in_given = note();
        task.add_done_callback(move |task| given.run(|| in_given(task)));
        task.await.unwrap();
        yield_now().await;
        assert_eq!(log.take(), ["registrar", "given"]);
    });
}

//
#[test]
fn what_a_done_callback_sets_stays_in_it() {
    run(async {
        let promise = create_future();
        promise.add_done_callback(|_| drop(WHO.set("callback")));
        let waiter = create_task({
            let promise = promise.clone();
            async move {
                promise.await.unwrap();
                yield_now().await;
                WHO.get()
            }
        });
        promise.set_result(()).unwrap();
        assert_eq!(waiter.await.unwrap(), "nobody");
        assert_eq!(WHO.get(), "nobody");
    });
}

/// Logs the value of `WHO` in each call of the exception handler.
fn who_is_reported() -> Log {
    let log = Log::new();
    let seen = log.clone();
    running_loop().set_exception_handler(Some(Rc::new(move |_, _| seen.add(WHO.get()))));
    log
}

//
#[test]
fn the_exception_handler_runs_in_the_context_of_the_failing_callback() {
    run(async {
        let log = who_is_reported();
        running_loop().call_soon(|| {
            WHO.set("callback");
            panic!("no luck");
        });
        yield_now().await;
        assert_eq!(log.take(), ["callback"]);
    });
}

//
#[test]
fn the_exception_handler_runs_in_the_context_of_the_failing_task() {
    run(async {
        let log = who_is_reported();
        let fail = async || {
            WHO.set("task");
            panic!("no luck");
        };
        drop(create_task(fail()));
        let task = create_task(fail());
        yield_now().await;
        assert_eq!(log.take(), ["task"], "the detached task");
        drop(task);
        assert_eq!(log.take(), ["task"], "the second task, when its handle is dropped");
    });
}

//
#[test]
fn all_runs_of_a_runner_share_one_context() {
    let mut runner = Runner::new();
    runner.run(async { WHO.set("first run") }).unwrap();
    assert_eq!(runner.run(async { WHO.get() }).unwrap(), "first run");
    assert_eq!(WHO.get(), "nobody");
}

// the task's context begins as a copy of the caller's, or is the given context.
#[test]
fn a_runner_keeps_out_of_other_contexts() {
    Context::new().run(|| {
        NUMBER.set(9);
        let (mut runner, given) = (Runner::new(), Context::new());
        assert_eq!(runner.run(async { NUMBER.get() }).unwrap(), 9);
        runner.run_in(&given, async { NUMBER.set(5) }).unwrap();
        assert_eq!((given.get(&NUMBER), NUMBER.get()), (Some(5), 9));
        assert_eq!(runner.run(async { NUMBER.get() }).unwrap(), 9);
    });
}
