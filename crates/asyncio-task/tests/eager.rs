//! Eager start: tasks that begin inside the call that creates them.

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use asyncio_loop::{context_var, running_loop};
use asyncio_task::{
    Promise, TaskOptions, all_tasks, create_future, create_task, create_task_with, current_task,
    eager_task_factory, yield_now,
};
use common::{Log, run};

context_var! {
    static REQUEST: &'static str = "none";
}

/// Runs `future` on a loop where every task starts eagerly.
fn run_eager<F: Future>(future: F) -> F::Output {
    run(async {
        running_loop().set_task_factory(Some(eager_task_factory()));
        future.await
    })
}

fn eager() -> TaskOptions {
    TaskOptions::new().eager_start(true)
}

#[test]
fn a_task_that_never_waits_is_done_at_once() {
    run_eager(async {
        let mut task = create_task(async { 5 });
        assert!(task.is_done());
        assert_eq!(task.try_result().unwrap().unwrap(), 5);
    });
}

// F-036
#[test]
fn a_task_that_waits_goes_on_by_the_loop() {
    run_eager(async {
        let (log, promise) = (Log::new(), create_future());
        let task = create_task({
            let (log, promise) = (log.clone(), promise.clone());
            async move {
                log.add("started");
                let value = promise.await.unwrap();
                log.add("woken");
                value
            }
        });
        assert_eq!(log.take(), ["started"]);
        yield_now().await;
        assert!(!task.is_done());
        promise.set_result(3).unwrap();
        assert_eq!(log.take(), [""; 0], "not inside set_result");
        assert_eq!(task.await.unwrap(), 3);
    });
}

// F-038
#[test]
fn a_task_is_cancelled_where_its_eager_part_ended() {
    run_eager(async {
        let log = Log::new();
        let seen = log.clone();
        let task = create_task(async move {
            seen.add("started");
            pending::<()>().await;
        });
        assert!(task.cancel());
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(log.take(), ["started"]);
    });
}

// F-039
#[test]
fn the_new_task_is_current_during_its_eager_part() {
    run(async {
        let main = current_task().unwrap();
        let mut task = create_task_with(async { current_task().unwrap() }, eager().name("eager"));
        assert_eq!(current_task().unwrap(), main);
        let inner = task.try_result().unwrap().unwrap();
        assert_eq!(inner, *task.task_ref());
        assert_eq!(&*inner.name(), "eager");
    });
}

// F-040
#[test]
fn all_tasks_has_an_eager_task_until_it_ends() {
    run_eager(async {
        let is_listed = || all_tasks().contains(&current_task().unwrap());
        let mut done = create_task(async move { is_listed() });
        assert!(done.try_result().unwrap().unwrap());
        assert!(!all_tasks().contains(done.task_ref()));

        let blocked = create_task(pending::<()>());
        assert!(all_tasks().contains(blocked.task_ref()));
    });
}

// F-041
#[test]
fn the_eager_part_runs_in_the_context_of_the_task() {
    run_eager(async {
        REQUEST.set("caller's");
        let task = create_task(async {
            let inherited = REQUEST.get();
            REQUEST.set("task's");
            yield_now().await;
            (inherited, REQUEST.get())
        });
        assert_eq!(REQUEST.get(), "caller's");
        assert_eq!(task.await.unwrap(), ("caller's", "task's"));
        assert_eq!(REQUEST.get(), "caller's");
    });
}

// F-042
#[test]
fn one_task_is_started_eagerly_or_not_whatever_the_factory_says() {
    run(async { assert!(create_task_with(async {}, eager()).is_done()) });
    run_eager(async {
        let task = create_task_with(async {}, TaskOptions::new().eager_start(false));
        assert!(!task.is_done());
        yield_now().await;
        assert!(task.is_done());
    });
}

/// A task with five children, which have five each, down to `depth`; counts those that the loop
/// had to schedule.
fn tree(depth: u32, scheduled: Rc<Cell<u32>>) -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async move {
        if depth == 0 {
            return;
        }
        let children = [(); 5].map(|()| count(depth - 1, &scheduled));
        for child in children {
            child.await.unwrap();
        }
    })
}

fn count(depth: u32, scheduled: &Rc<Cell<u32>>) -> asyncio_task::Task<()> {
    let task = create_task(tree(depth, Rc::clone(scheduled)));
    if !task.is_done() {
        scheduled.set(scheduled.get() + 1);
    }
    task
}

// F-043
#[test]
fn a_tree_of_eager_tasks_schedules_none() {
    let whole_tree = async || {
        let scheduled = Rc::default();
        count(4, &scheduled).await.unwrap();
        scheduled.get()
    };
    assert_eq!(run_eager(whole_tree()), 0);
    assert_eq!(run(whole_tree()), 781);
}

// F-044
#[test]
fn a_panic_in_the_eager_part_is_the_outcome_of_the_task() {
    run_eager(async {
        let mut task = create_task(async { panic!("no luck") });
        assert!(task.is_done());
        let error = task.try_result().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "task panicked: no luck");
    });
}

/// A value whose destructor starts an eager task, which begins to wait for a promise and drops that
/// wait.
struct StartsOne(Promise<()>);

impl Drop for StartsOne {
    fn drop(&mut self) {
        let promise = self.0.clone();
        let task = async move {
            let mut wait = promise;
            let is_pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut wait).poll(cx).is_pending()));
            assert!(is_pending.await);
        };
        drop(create_task_with(task, eager()));
    }
}

#[test]
fn an_eager_part_inside_the_drop_of_a_cancelled_task_is_not_cancelled_itself() {
    run(async {
        let promise = create_future();
        let starts_one = StartsOne(promise.clone());
        let task = create_task(async move {
            let _starts_one = starts_one;
            pending::<()>().await;
        });
        yield_now().await;
        task.cancel();
        assert!(task.await.is_err());
        assert!(!promise.is_cancelled(), "the task that awaited it was not cancelled");
    });
}
