//! The watchdog reports a step while it blocks its loop, and reports no other step.
//!
//! Tests end by events, not by times: a step blocks until it is reported. A step that must not be
//! reported is followed by one that must be.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::inspect::StuckStep;
use asyncio_loop::{EventLoop, TaskOptions, running_loop};

/// Longer than any test takes, so that a missing report fails the test.
const TIMEOUT: Duration = Duration::from_secs(300);
const LIMIT: Duration = Duration::from_millis(20);

fn named(name: &str) -> TaskOptions {
    TaskOptions::new().name(name)
}

fn watched() -> (EventLoop, Receiver<StuckStep>) {
    let event_loop = EventLoop::new().unwrap();
    let (sender, reports) = mpsc::channel();
    watch(&event_loop, sender);
    (event_loop, reports)
}

fn watch(event_loop: &EventLoop, sender: Sender<StuckStep>) {
    event_loop.set_watchdog_with(LIMIT, move |step| {
        let _ = sender.send(step.clone());
    });
}

async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return std::task::Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

#[inline(never)]
fn blocks_until_reported(reports: &Receiver<StuckStep>) -> StuckStep {
    reports.recv_timeout(TIMEOUT).expect("a report")
}

#[test]
fn a_blocked_loop_is_told_about_with_task_name_and_place() {
    let (event_loop, reports) = watched();
    let task = async move {
        give_way().await;
        blocks_until_reported(&reports)
    };
    let options = named("rude \u{e9}");
    let step = event_loop.run_task(task, options).unwrap();
    assert!(step.lasts >= LIMIT, "{step:?}");
    let text = step.to_string();
    if cfg!(target_os = "linux") {
        let stuck = step.step.expect("the thread can be sampled");
        assert_eq!(stuck.name.as_deref(), Some("rude \u{e9}"));
        assert!(stuck.task.is_some() && stuck.function.contains("a_blocked_loop_is_told_about"));
        assert_eq!(stuck.created_at.unwrap().file(), file!());
        assert!(text.contains("by the task \"rude \u{e9}\" created at "), "{text}");
    }
    assert!(text.contains("a_blocked_loop_is_told_about"), "the thread's name: {text}");
}

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
#[test]
fn the_report_has_the_calls_that_are_active() {
    let (event_loop, reports) = watched();
    let step =
        event_loop.run_task(async move { blocks_until_reported(&reports) }, named("x")).unwrap();
    let stack = step.stack();
    let find = |text: &str| stack.iter().position(|frame| frame.function.contains(text));
    let inner = find("blocks_until_reported").unwrap_or_else(|| panic!("{step}"));
    let outer = find("the_report_has_the_calls").unwrap_or_else(|| panic!("{step}"));
    assert!(inner < outer, "innermost first: {step}");
    assert!(find("asyncio_loop::kernel").is_none(), "up to the poll: {step}");
}

#[test]
fn another_thread_looks_at_a_step_and_reads_its_report() {
    let (event_loop, reports) = watched();
    let handle = event_loop.handle();
    let other = event_loop.handle();
    assert!(handle.stuck_step().is_none() && EventLoop::new().unwrap().handle().sample().is_none());
    let task = async move {
        let reported = blocks_until_reported(&reports);
        let sample = move || (other.sample(), other.stuck_step());
        let (sample, step) = thread::spawn(sample).join().unwrap();
        give_way().await;
        (reported, sample, step)
    };
    let (reported, sample, step) = event_loop.run_task(task, named("rude")).unwrap();
    let step = step.expect("the step that was reported still runs");
    assert!(step.lasts >= reported.lasts, "{step:?}");
    if cfg!(target_os = "linux") {
        let name = |step: &StuckStep| step.step.as_ref().and_then(|stuck| stuck.name.clone());
        assert_eq!(name(&step).as_deref(), Some("rude"));
        assert_eq!(name(&sample.expect("the loop is blocked")).as_deref(), Some("rude"));
    }
    assert!(handle.stuck_step().is_none(), "the reported step has ended");
    event_loop.set_watchdog(None);
    assert!(handle.sample().is_none(), "the loop is not watched");
}

#[test]
fn so_is_one_that_computes() {
    let (event_loop, reports) = watched();
    let task = async move {
        let start = Instant::now();
        loop {
            match reports.try_recv() {
                Ok(step) => return step,
                Err(_) => assert!(start.elapsed() < TIMEOUT),
            }
        }
    };
    let step = event_loop.run_task(task, named("computes")).unwrap();
    if cfg!(target_os = "linux") {
        assert_eq!(step.step.unwrap().name.as_deref(), Some("computes"));
    }
}

#[test]
fn a_callback_and_an_unnamed_task_are_told_about_as_such() {
    let (event_loop, reports) = watched();
    let (give_back, back) = mpsc::channel();
    event_loop.call_soon(move || {
        let step = blocks_until_reported(&reports);
        give_back.send((step, reports)).unwrap();
    });
    event_loop.run_until_complete(give_way()).unwrap();
    let (step, reports) = back.recv().unwrap();
    let of_task =
        event_loop.run_until_complete(async move { blocks_until_reported(&reports) }).unwrap();
    if cfg!(target_os = "linux") {
        let stuck = step.step.unwrap();
        assert_eq!((stuck.task, stuck.name.as_deref()), (None, None));
        assert_eq!(stuck.created_at.unwrap().file(), file!());
        let stuck = of_task.step.unwrap();
        assert!(stuck.task.is_some() && stuck.name.is_none(), "{stuck:?}");
    }
}

#[test]
fn short_steps_and_rest_are_not_told_about() {
    let (event_loop, reports) = watched();
    let main = async move {
        // Busy for longer than the limit, in much shorter steps.
        let start = Instant::now();
        while start.elapsed() < 10 * LIMIT {
            give_way().await;
        }
        // Idle for longer than the limit.
        running_loop().call_later(10 * LIMIT, || running_loop().stop());
        std::future::pending::<()>().await;
    };
    event_loop.run_until_complete(main).unwrap_err();
    assert!(reports.try_recv().is_err());
}

#[test]
fn each_step_is_told_about_once_and_the_next_one_again() {
    let (event_loop, reports) = watched();
    let main = async move {
        let mut steps = Vec::new();
        for _ in 0..2 {
            steps.push(blocks_until_reported(&reports));
            // Long enough for a second report of the same step.
            thread::sleep(3 * LIMIT);
            give_way().await;
        }
        (steps.len(), reports.try_recv().is_err())
    };
    assert_eq!(event_loop.run_until_complete(main).unwrap(), (2, true));
}

#[test]
fn several_loops_are_told_apart_and_one_that_is_not_watched_any_more_is_silent() {
    let (sender, reports) = mpsc::channel();
    let threads = ["one", "two"].map(|name| {
        let sender = sender.clone();
        let block = move || {
            let (event_loop, reports) = watched();
            let step =
                event_loop.run_task(async move { blocks_until_reported(&reports) }, named(name));
            sender.send((name, step.unwrap())).unwrap();
            event_loop.set_watchdog(None);
        };
        thread::Builder::new().name(name.to_owned()).spawn(block).unwrap()
    });
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    for _ in 0..2 {
        let (name, step) = reports.recv().unwrap();
        assert_eq!(step.thread, name);
        if cfg!(target_os = "linux") {
            assert_eq!(step.step.unwrap().name.as_deref(), Some(name));
        }
    }

    // The first loop has no watchdog. The second loop blocks for as long, and its report shows that
    // the first one would have been reported by then.
    let (event_loop, silent) = watched();
    event_loop.set_watchdog(None);
    let (sender, reports) = mpsc::channel();
    let second = thread::spawn(move || {
        let event_loop = EventLoop::new().unwrap();
        let (own, report) = mpsc::channel();
        watch(&event_loop, own);
        let main = async move { blocks_until_reported(&report) };
        sender.send(event_loop.run_until_complete(main).unwrap()).unwrap();
    });
    let main = async move { reports.recv_timeout(TIMEOUT).unwrap() };
    event_loop.run_until_complete(main).unwrap();
    second.join().unwrap();
    assert!(silent.try_recv().is_err());
}

#[test]
fn a_recording_is_written_while_the_loop_is_stuck() {
    let name = format!("asyncio-stall-{}.json", std::process::id());
    let file = std::env::temp_dir().join(name);
    let stall = file.with_extension("stall.json");
    let _ = std::fs::remove_file(&stall);
    let (event_loop, reports) = watched();
    event_loop.record(1000).keep_in(&file);
    event_loop.run_task(async move { blocks_until_reported(&reports) }, named("stuck")).unwrap();
    let trace = std::fs::read_to_string(&stall).unwrap();
    assert!(trace.contains("\"goes on\":true") && trace.contains("\"name\":\"stuck\""), "{trace}");
    drop(event_loop);
    for path in [file, stall] {
        std::fs::remove_file(path).unwrap();
    }
}
