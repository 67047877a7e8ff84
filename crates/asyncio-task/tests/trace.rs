//! The full stack of a suspended task.

mod common;

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use asyncio_loop::inspect::{FullStack, TaskState, WaitDetail};
use asyncio_loop::{LoopTime, TaskHooks, TaskOptions, TaskRef, WaitsFor};
use asyncio_task::{
    Task, create_future, create_task, create_task_with, current_task, finally, gather,
    running_loop, scope, sleep, timeout, yield_now,
};
use common::run;
use futures::stream::{FuturesUnordered, StreamExt};

const MINUTE: Duration = Duration::from_secs(60);

/// Whether a stack has the names of functions here; in a release build they may be inlined.
const HAS_NAMES: bool = cfg!(all(target_os = "linux", target_arch = "x86_64", debug_assertions));

async fn stack_of(task: &TaskRef) -> FullStack {
    let trace = task.trace().await;
    std::thread::spawn(move || trace.resolve()).join().unwrap()
}

/// The functions of each branch, outermost first, without the name of their crate.
fn functions(stack: &FullStack) -> Vec<Vec<String>> {
    let short = |name: &String| name.rsplit("::").next().unwrap().to_owned();
    let branch = |branch: &asyncio_loop::inspect::Branch| {
        branch.calls.iter().map(|call| short(&call.function)).collect()
    };
    stack.branches.iter().map(branch).collect()
}

fn assert_functions(stack: &FullStack, expected: &[&[&str]]) {
    if HAS_NAMES {
        assert_eq!(functions(stack), expected, "{stack}");
    }
}

async fn outer() {
    middle().await;
}

async fn middle() {
    inner(MINUTE).await;
}

async fn inner(duration: Duration) {
    sleep(duration).await;
}

/// Starts a task, and returns once it waits.
async fn waiting<F: Future<Output = ()> + 'static>(future: F) -> Task<()> {
    let task = create_task_with(future, TaskOptions::new().name("traced"));
    yield_now().await;
    task
}

#[test]
fn it_has_all_async_functions_from_the_outermost_to_the_wait() {
    run(async {
        let task = waiting(outer()).await;
        let stack = stack_of(task.task_ref()).await;
        assert_functions(&stack, &[&["outer", "middle", "inner"]]);
        assert_eq!((&*stack.task.name, stack.task.state), ("traced", TaskState::Waiting));
        let [branch] = &stack.branches[..] else { panic!("{stack}") };
        let wait = branch.wait.as_ref().unwrap();
        assert_eq!(wait.what, WaitsFor::Time);
        assert_eq!(wait.at.unwrap().file(), file!());
        let until = LoopTime::from_nanos(MINUTE.as_nanos() as u64);
        assert!(matches!(wait.detail, WaitDetail::Until(when) if when >= until));
        let text = stack.to_string();
        assert!(text.contains("waits for a moment at "), "{text}");
    });
}

#[test]
fn a_trace_is_one_poll_more_and_changes_nothing() {
    run(async {
        let task = waiting(outer()).await;
        let before = task.task_ref().info();
        for _ in 0..3 {
            stack_of(task.task_ref()).await;
        }
        let after = task.task_ref().info();
        assert_eq!(after.polls, before.polls + 3);
        let shown = |info: &asyncio_loop::inspect::TaskInfo| {
            info.wait.as_ref().map(|wait| (wait.to_string(), wait.at))
        };
        assert_eq!(shown(&after), shown(&before));
        task.await.unwrap();
        assert_eq!(running_loop().time().as_secs_f64(), 60.0);
    });
}

#[test]
fn a_task_that_waits_in_several_places_has_a_branch_for_each() {
    run(async {
        let both = async {
            let (mut one, mut other) = (Box::pin(outer()), Box::pin(inner(2 * MINUTE)));
            poll_fn(|cx| {
                let polled = (one.as_mut().poll(cx), other.as_mut().poll(cx));
                if polled.0.is_ready() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        let task = waiting(both).await;
        let stack = stack_of(task.task_ref()).await;
        assert_eq!(stack.branches.len(), 2, "{stack}");
        if HAS_NAMES {
            let ends: Vec<Vec<String>> = functions(&stack);
            assert!(ends[0].ends_with(&["outer", "middle", "inner"].map(String::from)), "{stack}");
            assert!(ends[1].ends_with(&["inner".to_owned()]), "{stack}");
            assert!(!ends[1].contains(&"outer".to_owned()), "{stack}");
        }
        task.cancel();
    });
}

#[test]
fn a_future_of_another_crate_is_seen_when_it_keeps_the_waker() {
    async fn receives(receiver: futures::channel::oneshot::Receiver<()>) {
        receiver.await.unwrap();
    }
    run(async {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let task = waiting(receives(receiver)).await;
        let stack = stack_of(task.task_ref()).await;
        let [branch] = &stack.branches[..] else { panic!("{stack}") };
        assert!(branch.wait.is_none());
        if HAS_NAMES {
            assert_eq!(functions(&stack)[0][0], "receives", "{stack}");
        }
        // The waker that the channel keeps is of the usual kind.
        sender.send(()).unwrap();
        task.await.unwrap();
    });
}

#[test]
fn futures_that_are_polled_only_when_they_are_woken_are_not_stranded() {
    run(async {
        let promise = create_future::<()>();
        let settle = promise.clone();
        let task = waiting(async move {
            let mut both = FuturesUnordered::new();
            both.push(Box::pin(async move { promise.await.unwrap() })
                as std::pin::Pin<Box<dyn Future<Output = ()>>>);
            both.push(Box::pin(inner(MINUTE)));
            while both.next().await.is_some() {}
        })
        .await;
        let stack = stack_of(task.task_ref()).await;
        assert!(!stack.branches.is_empty());
        settle.set_result(()).unwrap();
        stack_of(task.task_ref()).await;
        task.await.unwrap();
        assert_eq!(running_loop().time().as_secs_f64(), 60.0);
    });
}

#[test]
fn what_is_ready_makes_progress_and_the_next_wait_is_shown() {
    async fn first(promise: asyncio_task::Promise<()>) {
        promise.await.unwrap();
        second().await;
    }
    async fn second() {
        sleep(MINUTE).await;
    }
    run(async {
        let promise = create_future::<()>();
        let task = waiting(first(promise.clone())).await;
        promise.set_result(()).unwrap();
        let stack = stack_of(task.task_ref()).await;
        assert_functions(&stack, &[&["first", "second"]]);
        assert_eq!(stack.branches[0].wait.as_ref().unwrap().what, WaitsFor::Time);
        task.cancel();
    });
}

#[test]
fn a_task_that_ends_meanwhile_or_has_ended_has_no_branches() {
    run(async {
        let promise = create_future::<()>();
        let awaited = promise.clone();
        let task = waiting(async move { awaited.await.unwrap() }).await;
        promise.set_result(()).unwrap();
        let stack = stack_of(task.task_ref()).await;
        assert!(stack.branches.is_empty());
        assert_eq!(stack.task.state, TaskState::Finished);
        assert!(stack_of(task.task_ref()).await.branches.is_empty());

        let panics = create_task(async { panic!("for show") });
        let stack = stack_of(panics.task_ref()).await;
        assert_eq!((stack.task.state, stack.branches.len()), (TaskState::Panicked, 0));
        assert!(panics.await.is_err());
    });
}

#[test]
fn a_task_traces_itself() {
    async fn looks() -> FullStack {
        stack_of(&current_task().unwrap()).await
    }
    run(async {
        let stack = create_task(looks()).await.unwrap();
        assert_functions(&stack, &[&["looks", "stack_of"]]);
    });
}

#[test]
fn several_may_ask_for_the_same_task() {
    run(async {
        let task = waiting(outer()).await;
        let polls = task.task_ref().info().polls;
        let stacks = gather([stack_of(task.task_ref()), stack_of(task.task_ref())]).await;
        for stack in stacks {
            assert_eq!(stack.branches.len(), 1, "{stack}");
        }
        assert_eq!(task.task_ref().info().polls, polls + 1, "one poll serves both traces");
        // A trace that is dropped has no effect.
        let mut trace = Box::pin(task.task_ref().trace());
        assert!(
            trace.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending()
        );
        drop(trace);
        yield_now().await;
        assert_eq!(stack_of(task.task_ref()).await.branches.len(), 1);
        task.cancel();
    });
}

#[test]
fn a_look_does_not_change_since_when_a_task_waits() {
    run(async {
        let (sleeps, promise) = (waiting(outer()).await, create_future::<()>());
        let kept = promise.clone();
        let awaits = waiting(async move { drop(kept.await) }).await;
        let moves_on = waiting(async {
            let mut polls = 0;
            poll_fn(|cx| {
                polls += 1;
                let what = if polls == 1 { WaitsFor::Resource } else { WaitsFor::Signal };
                what.note(cx);
                Poll::<()>::Pending
            })
            .await;
        })
        .await;
        sleep(MINUTE / 2).await;
        for task in [&sleeps, &awaits] {
            for _ in 0..2 {
                stack_of(task.task_ref()).await;
                assert_eq!(task.task_ref().info().waited(), MINUTE / 2);
            }
            assert_eq!(task.task_ref().info().polls, 3);
        }
        stack_of(moves_on.task_ref()).await;
        assert_eq!(
            moves_on.task_ref().info().waited(),
            Duration::ZERO,
            "the task waits for another thing now"
        );
        for task in [sleeps, awaits, moves_on] {
            task.cancel();
        }
    });
}

#[test]
fn a_task_that_is_asked_to_end_does() {
    run(async {
        let task = waiting(finally(pending::<()>(), async |_| sleep(MINUTE).await)).await;
        task.cancel();
        let stack = stack_of(task.task_ref()).await;
        assert!(stack.branches.is_empty(), "{stack}");
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(running_loop().time().as_secs_f64(), 60.0);

        // A trace that was requested before the cancel still completes.
        let task = waiting(outer()).await;
        let mut trace = Box::pin(task.task_ref().trace());
        assert!(
            trace.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())).is_pending()
        );
        task.cancel();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(trace.await.task().state, TaskState::Cancelled);
    });
}

#[test]
fn a_limit_and_an_awaited_task_work_on_after_a_trace() {
    run(async {
        let inside = Rc::new(Cell::new(false));
        let sees = inside.clone();
        let awaited = create_task(finally(pending::<()>(), async move |_| sees.set(true)));
        let task = waiting(async move {
            assert!(timeout(MINUTE, awaited).await.is_err());
        })
        .await;
        let stack = stack_of(task.task_ref()).await;
        assert!(!stack.branches.is_empty());
        task.await.unwrap();
        assert!(inside.get(), "the limit has cancelled the awaited task");

        // A cancel after the trace still follows the await of a task, which the kernel keeps as a
        // link.
        let inner = create_task(finally(pending::<()>(), async |_| sleep(MINUTE).await));
        let outer = waiting(async move { drop(inner.await) }).await;
        stack_of(outer.task_ref()).await;
        let before = running_loop().time();
        outer.cancel();
        assert!(outer.await.unwrap_err().is_cancelled());
        assert_eq!(running_loop().time() - before, MINUTE, "the cancel waited for the inner task");
    });
}

#[test]
fn children_of_a_group_and_the_group_have_stacks() {
    run(async {
        let task = waiting(async {
            scope(async |group| {
                group.create_task(outer());
                yield_now().await;
                let tasks = running_loop().all_tasks();
                let child = tasks.last().unwrap().clone();
                let stack = stack_of(&child).await;
                assert_functions(&stack, &[&["outer", "middle", "inner"]]);
                assert_eq!(stack.branches.len(), 1, "{stack}");
            })
            .await;
        })
        .await;
        let stack = stack_of(task.task_ref()).await;
        assert!(!stack.branches.is_empty());
        task.await.unwrap();
    });
}

#[test]
fn hooks_that_come_and_go_do_not_disturb_it() {
    struct Nothing;
    impl TaskHooks for Nothing {}

    run(async {
        let task = waiting(outer()).await;
        let mut trace = Box::pin(task.task_ref().trace());
        let cx = &mut std::task::Context::from_waker(Waker::noop());
        assert!(trace.as_mut().poll(cx).is_pending());
        let hooks: Rc<dyn TaskHooks> = Rc::new(Nothing);
        running_loop().add_task_hooks(Rc::clone(&hooks));
        running_loop().remove_task_hooks(&hooks);
        assert_eq!(trace.await.resolve().branches.len(), 1);
        task.cancel();
    });
}
