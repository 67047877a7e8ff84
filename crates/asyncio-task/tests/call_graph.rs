//! Stacks and call graphs: which task awaits which, and where.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::inspect::{TaskState, WaitDetail, find_cycles};
use asyncio_loop::{TaskOptions, TaskRef, WaitsFor, running_loop};
use asyncio_task::{
    CallGraph, Runner, Subject, Task, TaskRefExt, await_edge, capture_call_graph, create_future,
    create_task, create_task_with, current_task, format_call_graph, gather, race, scope, shield,
    sleep, task_group, timeout, wait, yield_now,
};

fn run<T>(main: impl Future<Output = T>) -> T {
    Runner::builder().virtual_time(true).run(main)
}

fn named<F: Future<Output: 'static> + 'static>(name: &str, future: F) -> Task<F::Output> {
    create_task_with(future, TaskOptions::new().name(name))
}

/// Gives the other tasks time to reach the place where they wait.
async fn settle() {
    for _ in 0..5 {
        yield_now().await;
    }
}

fn name(graph: &CallGraph) -> String {
    match &graph.subject {
        Subject::Task(task) => task.name.clone(),
        _ => "a promise".into(),
    }
}

fn names(graphs: &[CallGraph]) -> Vec<String> {
    let mut names: Vec<_> = graphs.iter().map(name).collect();
    names.sort();
    names
}

fn awaited_by(task: &TaskRef) -> Vec<String> {
    names(&CallGraph::of(task).awaited_by)
}

// I-007
#[test]
fn a_suspended_task_gives_its_frames_oldest_first() {
    run(async {
        let created = line!() + 1;
        let task = create_task(async {
            sleep(Duration::from_secs(1)).await;
        });
        settle().await;
        let stack = task.task_ref().stack(None);
        let lines: Vec<_> = stack.iter().map(|frame| frame.location.line()).collect();
        assert_eq!(lines, [created, created + 1]);
        assert!(stack[0].what.contains("call_graph::"), "{}", stack[0].what);
        assert!(stack[1].what.starts_with("wait for a moment at "), "{}", stack[1].what);
        let newest = task.task_ref().stack(Some(1));
        assert_eq!(newest, stack[1..]);
        assert!(task.task_ref().stack(Some(0)).is_empty());
    });
}

// I-009
#[test]
fn a_printed_stack_is_headed_by_its_task() {
    run(async {
        let task = named("worker", async { sleep(Duration::from_secs(1)).await });
        settle().await;
        let mut text = Vec::new();
        task.task_ref().print_stack(&mut text, None).unwrap();
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("Stack for <Task \"worker\" pending, waits for a moment"));
        assert_eq!(lines.len(), 3);
        assert!(lines[2].starts_with("  File '") && lines[2].contains(file!()), "{}", lines[2]);

        task.cancel();
        let task_ref = task.task_ref().clone();
        task.await.unwrap_err();
        let mut text = Vec::new();
        task_ref.print_stack(&mut text, None).unwrap();
        assert!(text.starts_with(b"No stack for <Task \"worker\" cancelled"));
    });
}

// I-010
#[test]
fn a_task_captures_itself_and_those_that_await_it() {
    run(async {
        let inner = named("inner", async {
            yield_now().await;
            (capture_call_graph().unwrap().unwrap(), line!())
        });
        let outer = named("outer", inner);
        let (graph, line) = outer.await.unwrap().unwrap();
        assert_eq!(name(&graph), "inner");
        assert_eq!(graph.call_stack[0].location.line(), line);
        assert_eq!(names(&graph.awaited_by), ["outer"]);
        let main = current_task().unwrap().name().to_string();
        assert_eq!(names(&graph.awaited_by[0].awaited_by), [main]);
    });
}

// I-011
#[test]
fn without_a_current_task_there_is_no_graph() {
    assert!(capture_call_graph().is_err(), "outside of a loop");
    assert!(format_call_graph().is_err());
    run(async {
        let (told, found) = (create_future(), Rc::new(Cell::new(None)));
        running_loop().call_soon({
            let (told, found) = (told.clone(), Rc::clone(&found));
            move || {
                found.set(Some(capture_call_graph().unwrap().is_none()));
                told.set_result(()).unwrap();
            }
        });
        told.await.unwrap();
        assert_eq!(found.get(), Some(true), "in a callback");
    });
    let event_loop = asyncio_loop::EventLoop::new().unwrap();
    let task = event_loop.spawn(async {}, TaskOptions::new().name("alone")).unwrap();
    let promise = asyncio_task::Promise::<()>::of(&event_loop);
    assert_eq!(name(&CallGraph::of(task.task())), "alone", "an explicit task works anywhere");
    assert_eq!(name(&CallGraph::of(&promise)), "a promise");
    event_loop.run_until_complete(async {}).unwrap();
}

// I-012
#[test]
fn children_of_a_group_lead_to_its_parent() {
    run(async {
        let main = current_task().unwrap().name().to_string();
        let inner = named("inner", sleep(Duration::from_secs(1)));
        let inner_ref = inner.task_ref().clone();
        let promise = create_future::<()>();
        let group = task_group(async |group| {
            let (first, second) = (promise.clone(), promise.clone());
            let child = |name: &str| TaskOptions::new().name(name);
            group.create_task_with(
                async {
                    inner.await.unwrap();
                    drop(first.await);
                    Ok::<_, ()>(())
                },
                child("first"),
            );
            group.create_task_with(async { second.await.map_err(drop) }, child("second"));
            settle().await;

            assert_eq!(awaited_by(&inner_ref), ["first"]);
            let graph = CallGraph::of(&promise);
            assert_eq!(names(&graph.awaited_by), ["second"]);
            for graph in CallGraph::of(&inner_ref).awaited_by.iter().chain(&graph.awaited_by) {
                assert_eq!(names(&graph.awaited_by), std::slice::from_ref(&main));
            }
            sleep(Duration::from_secs(2)).await;
            assert_eq!(names(&CallGraph::of(&promise).awaited_by), ["first", "second"]);
            promise.set_result(()).unwrap();
            Ok(())
        });
        group.await.unwrap();
    });
}

// I-013
#[test]
fn every_way_to_await_leaves_an_edge() {
    async fn hour() {
        sleep(Duration::from_secs(3600)).await;
    }
    run(async {
        let tasks: Vec<_> =
            ["direct", "shield", "timeout", "wait"].map(|name| named(name, hour())).into();
        let refs: Vec<_> = tasks.iter().map(|task| task.task_ref().clone()).collect();
        let mut tasks = tasks.into_iter();
        let mut next = || tasks.next().unwrap();
        let (direct, shielded, limited, waited) = (next(), next(), next(), next());
        let _outer = [
            named("by direct", async { drop(direct.await) }),
            named("by shield", async { drop(shield(shielded).await) }),
            named("by timeout", async { drop(timeout(Duration::MAX, limited).await) }),
            named("by wait", async { drop(wait([waited]).await) }),
        ];
        settle().await;
        for (task, outer) in refs.iter().zip(["by direct", "by shield", "by timeout", "by wait"]) {
            assert_eq!(awaited_by(task), [outer]);
        }

        let _gather = named("gather", async { gather([hour(), hour()]).await });
        let _scope = named("scope", scope(async |scope| drop(scope.create_task(hour()))));
        let _race = named("race", async { race([hour(), hour()]).await });
        settle().await;
        let children: Vec<_> = running_loop().all_tasks().iter().map(|task| task.info()).collect();
        let by = |name: &str| {
            let id = children.iter().find(|task| task.name == name).unwrap().id;
            children.iter().filter(|task| task.awaited_by == [id]).count()
        };
        assert_eq!([by("gather"), by("scope"), by("race")], [2, 1, 2]);
    });
}

// I-014
#[test]
fn a_promise_has_no_stack_and_the_tasks_that_await_it() {
    run(async {
        let promise = create_future::<()>();
        let _waiters = ["one", "two"].map(|name| {
            let promise = promise.clone();
            named(name, async move { drop(promise.await) })
        });
        settle().await;
        let graph = CallGraph::of(&promise);
        assert!(graph.call_stack.is_empty());
        assert_eq!(names(&graph.awaited_by), ["one", "two"]);
        let info = _waiters[0].task_ref().info();
        let made_at = match info.wait.unwrap().detail {
            WaitDetail::CreatedAt(site) => site.file(),
            other => panic!("{other:?}"),
        };
        assert_eq!(made_at, file!());
    });
}

// I-015
#[test]
fn edges_end_with_the_await() {
    run(async {
        let task = named("inner", sleep(Duration::from_secs(10)));
        let inner = task.task_ref().clone();
        let outer = named("outer", async move {
            let mut task = task;
            // The timeout drops this await; then `wait` awaits the task again.
            timeout(Duration::from_secs(1), shield(&mut task)).await.unwrap_err();
            sleep(Duration::from_secs(1)).await;
            drop(wait([task]).timeout(Duration::from_secs(1)).await);
            sleep(Duration::from_secs(60)).await;
        });
        settle().await;
        assert_eq!(awaited_by(&inner), ["outer"]);
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(awaited_by(&inner), ["outer"], "waited for again");
        sleep(Duration::from_secs(1)).await;
        assert!(awaited_by(&inner).is_empty(), "the wait is over");
        drop(outer);

        let task = named("inner", sleep(Duration::from_secs(10)));
        let inner = task.task_ref().clone();
        let outer = named("outer", async { drop(shield(task).await) });
        settle().await;
        assert_eq!(awaited_by(&inner), ["outer"]);
        outer.cancel();
        outer.await.unwrap_err();
        assert!(awaited_by(&inner).is_empty(), "the awaiting task was cancelled");

        let edge = await_edge(&inner);
        assert_eq!(awaited_by(&inner), [&*current_task().unwrap().name()]);
        drop(edge);
        assert!(awaited_by(&inner).is_empty());
    });
}

// I-017
#[test]
fn frames_are_kept_from_either_end() {
    run(async {
        let graph = capture_call_graph().unwrap().unwrap();
        let kept = |graph: CallGraph| graph.call_stack;
        let stack = kept(graph.clone());
        assert_eq!(stack.len(), 2);
        assert_eq!(kept(graph.clone().depth(1)), stack[1..]);
        assert_eq!(kept(graph.clone().limit(1)), stack[..1]);
        assert_eq!(kept(graph.clone().limit(-1)), stack[1..]);
        assert_eq!(kept(graph.clone().limit(9)), stack);
        assert!(kept(graph.clone().limit(0)).is_empty());
        assert!(kept(graph.depth(9)).is_empty());
    });
}

// I-018
#[test]
fn the_printed_form_nests() {
    run(async {
        let task = named("inner", async { sleep(Duration::from_secs(1)).await });
        let inner = task.task_ref().clone();
        let outer = named("outer", async { task.await.unwrap() });
        settle().await;
        let text = CallGraph::of(&inner).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[0], format!("* Task(name='inner', id={})", inner.id()));
        assert_eq!(lines[1], "  + Call stack:");
        assert!(lines[2].starts_with("  |   File '") && lines[2].contains(", in async wait for"));
        assert!(lines[3].starts_with("  |   File '") && lines[3].contains(", in async call_graph"));
        assert_eq!(lines[4], "  + Awaited by:");
        assert_eq!(lines[5], format!("    * Task(name='outer', id={})", outer.task_ref().id()));
        assert_eq!(lines[6], "      + Call stack:");
        assert!(lines[7].starts_with("      |   File '"));
        assert_eq!(lines.len(), 9);

        let promise = create_future::<()>();
        assert!(CallGraph::of(&promise).to_string().starts_with("* Future(id=0x"));
    });
}

// I-004
#[test]
fn what_is_made_remembers_where() {
    run(async {
        let (promise, line) = (create_future::<()>(), line!());
        let (task, handle) = (create_task(async {}), running_loop().call_soon(|| ()));
        let shown = [format!("{promise:?}"), format!("{task:?}"), format!("{handle:?}")];
        for (shown, line) in shown.iter().zip([line, line + 1, line + 1]) {
            assert!(shown.contains(&format!("{}:{line}:", file!())), "{shown}");
        }
    });
}

#[test]
fn a_circle_of_awaits_ends_where_it_began() {
    run(async {
        let slot = Rc::new(Cell::new(None::<Task<()>>));
        let first = named("first", {
            let slot = Rc::clone(&slot);
            async move {
                let second = slot.take().unwrap();
                second.await.unwrap();
            }
        });
        let first_ref = first.task_ref().clone();
        slot.set(Some(named("second", async { first.await.unwrap() })));
        settle().await;
        let graph = CallGraph::of(&first_ref);
        assert_eq!(names(&graph.awaited_by), ["second"]);
        let end = &graph.awaited_by[0].awaited_by[0];
        assert_eq!((name(end).as_str(), end.awaited_by.len()), ("first", 0));

        let tasks: Vec<_> = running_loop().all_tasks().iter().map(|task| task.info()).collect();
        let cycles = find_cycles(&tasks);
        assert_eq!(cycles.len(), 1);
        assert_eq!(cycles[0], [first_ref.id(), first_ref.id() + 1]);
        first_ref.cancel();
    });
}

#[test]
fn a_task_says_who_made_it_when_and_how_often_it_ran() {
    run(async {
        sleep(Duration::from_secs(1)).await;
        let made = Rc::new(Cell::new(None));
        let outer = named("outer", {
            let made = Rc::clone(&made);
            async move {
                sleep(Duration::from_secs(2)).await;
                made.set(Some(create_task(async {
                    yield_now().await;
                    sleep(Duration::from_secs(60)).await;
                })));
            }
        });
        let outer_id = outer.task_ref().id();
        outer.await.unwrap();
        sleep(Duration::from_secs(4)).await;
        let task = made.take().unwrap();
        let info = task.task_ref().info();
        assert_eq!(info.parent, Some(outer_id));
        assert_eq!(info.state, TaskState::Waiting);
        assert_eq!(info.polls, 2);
        assert_eq!((info.age().as_secs_f64(), info.waited().as_secs_f64()), (4.0, 4.0));
        assert_eq!(info.created.as_secs_f64(), 3.0);
        let wait = info.wait.unwrap();
        assert_eq!(wait.what, WaitsFor::Time);
        assert!(matches!(wait.detail, WaitDetail::Until(when) if when.as_secs_f64() == 63.0));

        let main = current_task().unwrap().info();
        assert_eq!((main.state, main.parent), (TaskState::Running, None));
        assert!(main.wait.is_none());
    });
}

#[test]
fn a_wait_inside_of_a_combinator_is_at_the_users_line() {
    let line_of = |task: &TaskRef| task.info().wait.unwrap().at.map(Location::line);
    run(async {
        let hour = || sleep(Duration::from_secs(3600));
        // A future that is spawned as it is has no `.await`, so its wait shows the line of
        // `create_task`.
        let bare = create_task(hour());
        let boxed = create_task(async move { Box::pin(hour()).await });
        let limited = create_task(async move { timeout(Duration::MAX, hour()).await });
        let limited_line = line!() - 1;
        let inside = create_task(async move {
            let inner = async { hour().await };
            let line = line!() - 1;
            (timeout(Duration::MAX, inner).await, line)
        });
        let inside_line = line!() - 4;
        settle().await;
        assert_eq!(line_of(bare.task_ref()), None);
        assert_eq!(line_of(boxed.task_ref()), None);
        assert_eq!(line_of(limited.task_ref()), Some(limited_line));
        assert_eq!(line_of(inside.task_ref()), Some(inside_line));
    });
}
