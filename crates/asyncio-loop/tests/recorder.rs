//! The flight recorder: what it records, how much, who may read it, and the file that it writes.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use asyncio_loop::inspect::{Happened, Recorder, Recording, TaskState, WokenBy};
use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{EventLoop, TaskOptions, WaitsFor, running_loop};
use serde_json::Value;

async fn give_way() {
    let mut given = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut given, true) {
            return std::task::Poll::Ready(());
        }
        WaitsFor::Resource.note(cx);
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}

fn named(name: &str) -> TaskOptions {
    TaskOptions::new().name(name)
}

fn trace(recording: &Recording) -> Vec<Value> {
    let mut text = Vec::new();
    recording.write_chrome_trace(&mut text).unwrap();
    let trace: Value = serde_json::from_slice(&text).expect("JSON");
    trace["traceEvents"].as_array().unwrap().clone()
}

fn text<'a>(event: &'a Value, key: &str) -> &'a str {
    event[key].as_str().unwrap_or_default()
}

/// Checks the rules that hold for every trace. Returns the names of its slices.
fn check(events: &[Value]) -> Vec<String> {
    let (mut open, mut names) = (Vec::new(), Vec::new());
    let (mut lives, mut arrows) = (BTreeMap::new(), HashSet::new());
    let mut last = 0.0;
    for event in events {
        let at = event["ts"].as_f64().unwrap();
        assert!(at >= last, "{event} after {last}");
        last = at;
        assert_eq!(event["pid"], std::process::id());
        match text(event, "ph") {
            "B" => {
                assert!(!text(event, "name").is_empty(), "{event}");
                open.push(text(event, "name").to_owned());
            }
            "E" => names.push(open.pop().expect("a slice that is open")),
            "b" => *lives.entry(text(event, "id").to_owned()).or_insert(0) += 1,
            "e" => *lives.get_mut(text(event, "id")).expect("a life that has begun") -= 1,
            "s" => assert!(arrows.insert(event["id"].as_u64().unwrap()) && !open.is_empty()),
            "f" => assert!(arrows.remove(&event["id"].as_u64().unwrap()), "an arrow that began"),
            "i" => assert_eq!(text(event, "s"), "t"),
            "M" => last = 0.0,
            other => panic!("a phase {other}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(lives.values().all(|count| *count == 0), "{lives:?}");
    names
}

fn happened(recorder: &Recorder) -> Vec<Happened> {
    recorder.recording().events().map(|event| event.what).collect()
}

#[test]
fn the_life_of_a_task_is_recorded_in_order() {
    let event_loop = EventLoop::new().unwrap();
    let recorder = event_loop.record(1000);
    let task = event_loop.spawn(give_way(), named("one")).unwrap();
    let id = task.task().id();
    event_loop.run_until_complete(give_way()).unwrap();
    let recording = recorder.recording();
    let own: Vec<Happened> = recording
        .events()
        .map(|event| event.what)
        .filter(|what| match what {
            Happened::Created { task, .. }
            | Happened::Woken { task, .. }
            | Happened::PollBegan { task }
            | Happened::Waits { task, .. }
            | Happened::Ended { task, .. } => *task == id,
            _ => false,
        })
        .collect();
    let [created, woken, began, again, waits, began_again, ended] = &own[..] else {
        panic!("{own:?}")
    };
    let Happened::Created { at: Some(site), .. } = created else { panic!("{created:?}") };
    assert_eq!(site.file(), file!());
    assert_eq!(*woken, Happened::Woken { task: id, by: WokenBy::Callback }, "outside of tasks");
    assert_eq!(*began, Happened::PollBegan { task: id });
    assert_eq!(*again, Happened::Woken { task: id, by: WokenBy::Task(id as u32) });
    let Happened::Waits { what: Some(WaitsFor::Resource), at: Some(site), .. } = waits else {
        panic!("{waits:?}")
    };
    assert_eq!(site.file(), file!());
    assert_eq!(began, began_again);
    assert_eq!(*ended, Happened::Ended { task: id, state: TaskState::Finished });
    assert_eq!((recording.name(id).as_str(), recording.lost()), ("one", 0));
    let times: Vec<_> = recording.events().map(|event| event.at).collect();
    assert!(times.is_sorted() && *times.last().unwrap() <= recording.length());
}

#[test]
fn a_trace_has_pairs_names_and_stamps_in_order() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    let recorder = event_loop.record(10_000);
    let odd = "a \"b\"\\ \n\u{1} é";
    let tasks = [
        event_loop.spawn(give_way(), named(odd)).unwrap(),
        event_loop.spawn(async { panic!("meant") }, named("panics")).unwrap(),
        event_loop.spawn(std::future::pending(), named("left")).unwrap(),
        event_loop.spawn(std::future::pending(), named("cancelled")).unwrap(),
    ];
    event_loop.call_soon(|| ());
    event_loop.run_until_complete(give_way()).unwrap();
    tasks[3].task().request_cancel();
    event_loop.run_until_complete(give_way()).unwrap();
    event_loop.report(&asyncio_loop::ErrorContext::new("a report"));
    let recording = recorder.recording();
    let events = trace(&recording);
    let names = check(&events);
    let length = recording.length().as_nanos() as f64 / 1e3;
    let stamps = || events.iter().filter_map(|event| event["ts"].as_f64());
    assert!(stamps().all(|at| at <= length), "times count from the beginning of the recording");
    assert!(events.iter().any(|event| text(event, "ph") == "f"), "an arrow to a poll");
    for (name, polls) in [(odd, 2), ("panics", 1), ("left", 1), ("cancelled", 2)] {
        assert_eq!(names.iter().filter(|other| *other == name).count(), polls, "{name}");
    }
    assert!(names.iter().any(|name| name == "poll for events"));
    let is_slice = |event: &&Value| matches!(text(event, "ph"), "B" | "E");
    let slices: Vec<_> = events.iter().filter(is_slice).collect();
    let callback = slices.iter().position(|event| text(event, "cat") == "callback").unwrap();
    assert!(text(slices[callback], "name").contains("a_trace_has_pairs"));
    assert_eq!(text(slices[callback + 1], "ph"), "E", "nothing runs inside of a callback");
    let ended = |how: &str| events.iter().any(|event| event["args"]["ended"] == how);
    assert!(ended("finished") && ended("panicked") && ended("cancelled"));
    let waits = |event: &Value| event["args"]["waits for"] == "a resource";
    assert!(events.iter().any(waits));
    assert!(events.iter().any(|event| text(event, "ph") == "i"));
    drop(tasks);
}

#[test]
fn a_full_recorder_keeps_the_last_events_and_a_trace_of_them_is_whole() {
    let event_loop = EventLoop::new().unwrap();
    let recorder = event_loop.record(64);
    let rounds = async {
        for _ in 0..1000 {
            give_way().await;
        }
    };
    event_loop.run_task(rounds, named("main")).unwrap();
    let recording = recorder.recording();
    assert_eq!(recording.events().count(), 64);
    assert!(recording.lost() > 2000, "{}", recording.lost());
    let last = recording.events().last().unwrap().what;
    assert!(matches!(last, Happened::Ended { .. }), "{last:?}");
    let names = check(&trace(&recording));
    assert!(names.iter().filter(|name| *name == "main").count() > 10, "{names:?}");
}

#[test]
fn a_stopped_recorder_keeps_what_it_has() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.run_until_complete(give_way()).unwrap();
    let recorder = event_loop.record(1000);
    assert!(event_loop.recorder().is_some() && event_loop.handle().recorder().is_some());
    assert!(happened(&recorder).is_empty());
    event_loop.run_until_complete(give_way()).unwrap();
    let count = happened(&recorder).len();
    assert!(count > 5);
    event_loop.stop_recording();
    assert!(event_loop.recorder().is_none() && event_loop.handle().recorder().is_none());
    event_loop.run_until_complete(give_way()).unwrap();
    assert_eq!(happened(&recorder).len(), count);

    let second = event_loop.record(1000);
    event_loop.run_until_complete(give_way()).unwrap();
    assert!(happened(&second).len() > 5 && happened(&recorder).len() == count);
}

#[test]
fn another_thread_reads_while_a_step_blocks_the_loop() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.record(1000);
    let handle = event_loop.handle();
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    let reader = thread::spawn(move || {
        asked.recv().unwrap();
        answer.send(handle.recorder().unwrap().recording()).unwrap();
    });
    let blocks = async move {
        let id = running_loop().current_task().unwrap().id();
        ask.send(()).unwrap();
        (id, answered.recv().unwrap())
    };
    let (id, recording) = event_loop.run_task(blocks, named("blocks")).unwrap();
    reader.join().unwrap();
    assert_eq!(recording.events().last().unwrap().what, Happened::PollBegan { task: id });
    let events = trace(&recording);
    assert_eq!(check(&events).last().map(String::as_str), Some("blocks"));
    let end = events.iter().rfind(|event| text(event, "ph") == "E").unwrap();
    assert_eq!(end["args"]["goes on"], true);
}

#[test]
fn hooks_and_a_measurement_go_together_with_it() {
    struct Nothing;
    impl asyncio_loop::TaskHooks for Nothing {}
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let recorder = event_loop.record(1000);
    event_loop.measure(true);
    let hooks: Rc<dyn asyncio_loop::TaskHooks> = Rc::new(Nothing);
    event_loop.add_task_hooks(Rc::clone(&hooks));
    event_loop.remove_task_hooks(&hooks);
    event_loop.run_task(give_way(), named("main")).unwrap();
    assert_eq!(event_loop.statistics().steps, 2);
    let names = check(&trace(&recorder.recording()));
    assert_eq!(names.iter().filter(|name| *name == "main").count(), 2);
}

/// Reading the clock is most of the cost of an event. As a guest, a burst may end between any two
/// steps, and a poll after that begins when it does.
#[cfg(not(guest))]
#[test]
fn a_poll_that_follows_another_step_begins_when_that_ends() {
    // The loop's clock moves as it is read, so the steps do not depend on the speed of the machine.
    let event_loop = EventLoop::builder().counted_time(Duration::from_nanos(1)).build().unwrap();
    let recorder = event_loop.record(1000);
    for name in ["one", "two"] {
        drop(event_loop.spawn(give_way(), named(name)).unwrap());
    }
    event_loop.run_task(give_way(), named("main")).unwrap();
    let events: Vec<_> = recorder.recording().events().collect();
    let (mut after_polls, mut after_looks) = (0, 0);
    for pair in events.windows(2) {
        if !matches!(pair[1].what, Happened::PollBegan { .. }) {
            continue;
        }
        match pair[0].what {
            Happened::Waits { .. } => after_polls += 1,
            Happened::LookEnded => after_looks += 1,
            _ => continue,
        }
        assert_eq!(pair[0].at, pair[1].at, "{pair:?}");
    }
    assert!(after_polls > 0 && after_looks > 0, "{events:?}");
}

#[test]
fn a_poll_does_not_begin_before_code_of_a_user_that_is_no_step_has_ended() {
    /// Takes a while.
    fn spin() -> Instant {
        let end = Instant::now() + Duration::from_millis(2);
        while Instant::now() < end {}
        end
    }

    // The next turn does not poll for events, since the loop's clock hardly moves.
    let event_loop = EventLoop::builder().counted_time(Duration::from_nanos(1)).build().unwrap();
    let recorder = event_loop.record(1000);
    let main = async {
        let event_loop = running_loop();
        let hook = Rc::new(|| _ = spin());
        event_loop.at_turn_end(hook);
        give_way().await;
    };
    event_loop.run_task(main, named("main")).unwrap();
    let recording = recorder.recording();
    let events: Vec<_> = recording.events().collect();
    let is_main = |task| recording.name(task) == "main";
    let waits = events
        .iter()
        .position(|event| matches!(event.what, Happened::Waits { task, .. } if is_main(task)));
    let waits = waits.unwrap();
    let next = events[waits + 1..]
        .iter()
        .find(|event| matches!(event.what, Happened::PollBegan { task } if is_main(task)));
    // Half, since the clocks of a short recording are compared with a small error.
    let between = next.unwrap().at - events[waits].at;
    assert!(between >= Duration::from_millis(1), "{between:?}");
}

/// The path of a file that does not exist.
fn fresh(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("asyncio-{}-{name}.json", std::process::id()));
    let _ = std::fs::remove_file(&path);
    path
}

#[test]
fn files_are_written_at_the_first_panic_and_at_the_end() {
    let (file, panic) = (fresh("kept"), fresh("kept.panic"));
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    event_loop.record(1000).keep_in(&file);
    event_loop.run_until_complete(give_way()).unwrap();
    assert!(!file.exists() && !panic.exists());
    for _ in 0..2 {
        drop(event_loop.spawn(async { panic!("meant") }, named("panics")).unwrap());
        event_loop.run_until_complete(give_way()).unwrap();
    }
    let first = std::fs::read_to_string(&panic).unwrap();
    assert!(first.contains("\"name\":\"panics\""));
    assert!(!first.contains("\"ended\":\"panicked\""), "written inside of the poll that panicked");
    event_loop.close().unwrap();
    let whole: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    check(whole["traceEvents"].as_array().unwrap());
    assert!(whole.to_string().matches("\"ended\":\"panicked\"").count() == 2);
    for path in [file, panic] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_recording_that_another_one_ends_writes_its_file() {
    let (first, second) = (fresh("first"), fresh("second"));
    let event_loop = EventLoop::new().unwrap();
    event_loop.record(1000).keep_in(&first);
    event_loop.run_task(give_way(), named("early")).unwrap();
    event_loop.record(1000).keep_in(&second);
    assert!(std::fs::read_to_string(&first).unwrap().contains("\"name\":\"early\""));
    event_loop.stop_recording();
    assert!(!std::fs::read_to_string(&second).unwrap().contains("\"name\":\"early\""));
    for path in [first, second] {
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_task_of_the_machinery_is_no_task_of_a_user() {
    let event_loop = EventLoop::new().unwrap();
    let recorder = event_loop.record(1000);
    let main = async {
        let task = running_loop().spawn(give_way(), named("woken")).unwrap();
        let id = task.task().id();
        drop(task);
        id
    };
    let id = event_loop.run_task(main, TaskOptions::new().hidden()).unwrap();
    let woken = happened(&recorder).into_iter().find_map(|what| match what {
        Happened::Woken { task, by } if task == id => Some(by),
        _ => None,
    });
    assert_eq!(woken, Some(WokenBy::Machinery));
}
