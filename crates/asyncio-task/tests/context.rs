//! Context variables in tasks, done callbacks and runners.

use std::cell::RefCell;
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{Context, context_var, copy_context};
use asyncio_task::{
    Runner, TaskOptions, create_future, create_task, create_task_with, sleep, yield_now,
};

context_var! {
    static LEVEL: u32 = 0;
    static OTHER: u32 = 0;
}

/// Runs `future` on a loop with virtual time.
fn run<F: Future>(future: F) -> F::Output {
    Runner::builder().virtual_time(true).run(future)
}

//
#[test]
fn a_task_has_a_copy_from_the_moment_it_was_made() {
    run(async {
        LEVEL.set(1);
        let child = create_task(async {
            let inherited = LEVEL.get();
            LEVEL.set(10);
            OTHER.set(10);
            (inherited, LEVEL.get())
        });
        LEVEL.set(2);
        assert_eq!(child.await.unwrap(), (1, 10));
        assert_eq!((LEVEL.get(), OTHER.get()), (2, 0));
    });
}

// through several generations.
#[test]
fn grandchildren_inherit_from_their_parents() {
    let seen = run(async {
        LEVEL.set(1);
        let child = create_task(async {
            OTHER.set(2);
            let grandchild = create_task(async { (LEVEL.get(), OTHER.get()) });
            OTHER.set(3);
            grandchild.await.unwrap()
        });
        child.await.unwrap()
    });
    assert_eq!(seen, (1, 2));
}

//
#[test]
fn values_survive_suspensions_and_are_not_mixed_up() {
    run(async {
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                create_task(async move {
                    LEVEL.set(number);
                    for round in 0..5 {
                        sleep(Duration::from_millis(u64::from(number % 7))).await;
                        yield_now().await;
                        assert_eq!(LEVEL.get(), number);
                        OTHER.set(number + round);
                    }
                    OTHER.get()
                })
            })
            .collect();
        for (number, task) in (0..).zip(tasks) {
            assert_eq!(task.await.unwrap(), number + 4);
        }
        assert_eq!((LEVEL.get(), OTHER.get()), (0, 0));
    });
}

//
#[test]
fn an_explicit_context_is_used_itself() {
    run(async {
        let context = Context::new();
        let count = || {
            let counted = async {
                LEVEL.set(LEVEL.get() + 1);
                yield_now().await;
                LEVEL.set(LEVEL.get() + 1);
            };
            create_task_with(counted, TaskOptions::new().context(&context))
        };
        count().await.unwrap();
        assert_eq!(context.get(&LEVEL), Some(2));
        let (first, second) = (count(), count());
        first.await.unwrap();
        second.await.unwrap();
        assert_eq!((context.get(&LEVEL), LEVEL.get()), (Some(6), 0));
    });
}

// A-017, for a task that starts inside the call that makes it.
#[test]
fn an_eager_task_runs_in_its_own_context() {
    run(async {
        let context = Context::new();
        LEVEL.set(1);
        let eager = || TaskOptions::new().eager_start(true);
        let inherits = create_task_with(async { LEVEL.set(LEVEL.get() + 10) }, eager());
        let explicit = create_task_with(async { LEVEL.set(7) }, eager().context(&context));
        assert!(inherits.is_done() && explicit.is_done());
        assert_eq!((LEVEL.get(), context.get(&LEVEL)), (1, Some(7)));
        assert_eq!(inherits.context().get(&LEVEL), Some(11));
    });
}

#[test]
fn a_task_shows_its_context() {
    run(async {
        let task = create_task(async {
            LEVEL.set(5);
            yield_now().await;
            LEVEL.set(6);
        });
        let context = task.context();
        yield_now().await;
        assert_eq!(context.get(&LEVEL), Some(5));
        task.await.unwrap();
        assert_eq!(context.get(&LEVEL), Some(6));
    });
}

//
#[test]
fn a_done_callback_runs_in_the_context_of_its_registration() {
    run(async {
        let seen = Rc::new(RefCell::new(Vec::new()));
        let look = || {
            let seen = seen.clone();
            move || seen.borrow_mut().push(LEVEL.get())
        };
        let (promise, given) = (create_future::<u32>(), Context::new());
        given.run(|| LEVEL.set(7));
        LEVEL.set(1);
        promise.add_done_callback({
            let look = look();
            move |_| look()
        });
        LEVEL.set(2);
        promise.add_done_callback_in(&given, {
            let look = look();
            move |_| look()
        });
        let task = create_task(async {});
        task.add_done_callback({
            let look = look();
            move |_| look()
        });
        LEVEL.set(3);
        let resolver = promise.clone();
        let resolved = create_task(async move {
            LEVEL.set(4);
            resolver.set_result(0).unwrap();
        });
        resolved.await.unwrap();
        yield_now().await;
        let mut seen = seen.take();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2, 7]);
    });
}

//
#[test]
fn what_a_done_callback_sets_stays_there() {
    run(async {
        let promise = create_future::<u32>();
        LEVEL.set(1);
        promise.add_done_callback(|_| drop(LEVEL.set(100)));
        let resolver = promise.clone();
        let task = create_task(async move {
            LEVEL.set(2);
            resolver.set_result(0).unwrap();
            yield_now().await;
            LEVEL.get()
        });
        assert_eq!(promise.await.unwrap(), 0);
        yield_now().await;
        assert_eq!(LEVEL.get(), 1, "for who awaited");
        assert_eq!(task.await.unwrap(), 2, "for who resolved");
    });
}

//
#[test]
fn the_runs_of_a_runner_share_a_context() {
    Context::new().run(|| {
        OTHER.set(9);
        let mut runner = Runner::new();
        runner.run(async { drop(LEVEL.set(1)) }).unwrap();
        let seen = runner.run(async { (LEVEL.get(), OTHER.get()) }).unwrap();
        assert_eq!(seen, (1, 9));
        assert_eq!((LEVEL.get(), OTHER.get()), (0, 9), "the caller's own is untouched");
        let given = copy_context();
        runner.run_in(&given, async { drop(LEVEL.set(5)) }).unwrap();
        assert_eq!(given.get(&LEVEL), Some(5));
        assert_eq!(runner.run(async { LEVEL.get() }).unwrap(), 1);
    });
}
