//! Hooks of tasks: their calls, the order of the calls, and that failing hooks harm no task.

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_loop::inspect::TaskState;
use asyncio_loop::machinery::{Children, TaskControl};
use asyncio_loop::{EventLoop, TaskHooks, TaskOptions, TaskRef, running_loop};

/// Hooks that log their calls.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn note(&self, what: &str, task: &TaskRef) {
        self.0.borrow_mut().push(format!("{} {what}", task.name()));
    }

    /// The logged calls about one task.
    fn of(&self, name: &str) -> Vec<String> {
        let prefix = format!("{name} ");
        let lines = self.0.borrow();
        lines.iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    }
}

impl TaskHooks for Log {
    fn created(&self, task: &TaskRef) {
        assert_eq!(task.info().polls, 0);
        self.note("created", task);
    }

    fn poll_begins(&self, task: &TaskRef) {
        assert_eq!(task.info().state, TaskState::Running);
        self.note("begins", task);
    }

    fn poll_ends(&self, task: &TaskRef) {
        self.note("pauses", task);
    }

    fn ended(&self, task: &TaskRef) {
        self.note(&task.info().state.to_string(), task);
    }
}

/// A loop with hooks.
fn logged() -> (EventLoop, Rc<Log>) {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    event_loop.set_exception_handler(Some(Rc::new(|_, _| ())));
    let log = Rc::new(Log::default());
    event_loop.add_task_hooks(log.clone());
    (event_loop, log)
}

fn named(name: &str) -> TaskOptions {
    TaskOptions::new().name(name)
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

#[test]
fn each_moment_of_a_task_is_told_in_order() {
    let (event_loop, log) = logged();
    let task = event_loop.spawn(give_way(), named("one")).unwrap();
    let run = async {
        give_way().await;
        give_way().await;
    };
    event_loop.run_until_complete(run).unwrap();
    assert_eq!(log.of("one"), ["created", "begins", "pauses", "begins", "pauses", "finished"]);
    drop(task);
}

#[test]
fn every_way_to_end_is_told_after_a_pair_of_polls() {
    let (event_loop, log) = logged();
    let forever = std::future::pending::<()>;
    let cancelled = event_loop.spawn(forever(), named("cancelled")).unwrap();
    let early = event_loop.spawn(forever(), named("early")).unwrap();
    early.task().request_cancel();
    let panics = event_loop.spawn(async { panic!("meant") }, named("panics")).unwrap();
    let destroyed = event_loop.spawn(forever(), named("destroyed")).unwrap();
    let eager = async {
        let eager = named("eager").eager_start(true);
        drop(running_loop().spawn(give_way(), eager).unwrap());
        give_way().await;
    };
    event_loop.run_until_complete(eager).unwrap();
    cancelled.task().request_cancel();
    event_loop.run_until_complete(give_way()).unwrap();
    event_loop.close().unwrap();
    assert_eq!(
        log.of("cancelled"),
        ["created", "begins", "pauses", "begins", "pauses", "cancelled"]
    );
    assert_eq!(log.of("early"), ["created", "begins", "pauses", "cancelled"]);
    assert_eq!(log.of("panics"), ["created", "begins", "pauses", "panicked"]);
    assert_eq!(
        log.of("destroyed"),
        ["created", "begins", "pauses", "begins", "pauses", "cancelled"]
    );
    assert_eq!(log.of("eager"), ["created", "begins", "pauses", "begins", "pauses", "finished"]);
    drop((cancelled, early, panics, destroyed));
}

#[test]
fn children_of_a_set_are_told_about_and_hidden_tasks_are_not() {
    let (event_loop, log) = logged();
    let main = async {
        let children = Children::new(&running_loop());
        let child = children.spawn(give_way(), named("child"));
        std::future::poll_fn(|cx| {
            children.set_waker(cx);
            children.step();
            if children.live() == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
        drop(child);
    };
    event_loop.run_task(main, named("machine").hidden()).unwrap();
    assert_eq!(log.of("child"), ["created", "begins", "pauses", "begins", "pauses", "finished"]);
    assert!(log.of("machine").is_empty());
}

#[test]
fn tasks_that_exist_are_told_about_from_the_addition_to_the_removal() {
    let event_loop = EventLoop::new().unwrap();
    let rounds = async {
        for _ in 0..3 {
            give_way().await;
        }
    };
    let task = event_loop.spawn(rounds, named("old")).unwrap();
    event_loop.run_until_complete(async {}).unwrap();
    let log = Rc::new(Log::default());
    let hooks: Rc<dyn TaskHooks> = log.clone();
    event_loop.add_task_hooks(Rc::clone(&hooks));
    event_loop.run_until_complete(async {}).unwrap();
    assert!(event_loop.remove_task_hooks(&hooks));
    event_loop.run_until_complete(async { give_way().await }).unwrap();
    assert_eq!(log.of("old"), ["begins", "pauses"]);
    assert!(task.task().is_done());
    assert_eq!(Rc::strong_count(&log), 2, "the loop has dropped its hooks");
}

#[test]
fn several_hooks_are_called_in_order_and_a_panic_hurts_nobody() {
    struct Panics;
    impl TaskHooks for Panics {
        fn created(&self, _: &TaskRef) {
            panic!("meant: created");
        }
        fn ended(&self, _: &TaskRef) {
            panic!("meant: ended");
        }
    }
    let event_loop = EventLoop::new().unwrap();
    let reports = Rc::new(RefCell::new(Vec::new()));
    let heard = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        heard.borrow_mut().push(context.panic().unwrap_or_default().to_owned());
    })));
    let log = Rc::new(Log::default());
    event_loop.add_task_hooks(Rc::new(Panics));
    event_loop.add_task_hooks(log.clone());
    assert_eq!(event_loop.run_task(async { 7 }, named("main")).unwrap(), 7);
    assert_eq!(log.of("main"), ["created", "begins", "pauses", "finished"]);
    assert_eq!(*reports.borrow(), ["meant: created", "meant: ended"]);
}

#[test]
fn a_hook_may_make_cancel_and_look_at_tasks() {
    struct Cancels;
    impl TaskHooks for Cancels {
        fn created(&self, task: &TaskRef) {
            if &*task.name() == "unwanted" {
                task.request_cancel();
            }
            if &*task.name() == "wanted" {
                let event_loop = task.event_loop().unwrap();
                drop(event_loop.spawn(async {}, TaskOptions::new().name("second")).unwrap());
                assert_eq!(event_loop.all_tasks().len(), 3);
            }
        }
    }
    let (event_loop, log) = logged();
    event_loop.add_task_hooks(Rc::new(Cancels));
    let unwanted = event_loop.spawn(async {}, named("unwanted")).unwrap();
    let wanted = event_loop.spawn(async {}, named("wanted")).unwrap();
    event_loop.run_until_complete(give_way()).unwrap();
    assert!(unwanted.task().is_cancelled() && !wanted.task().is_cancelled());
    assert_eq!(log.of("second").last().map(String::as_str), Some("finished"));
}

#[test]
fn a_closed_loop_keeps_no_hooks() {
    let (event_loop, log) = logged();
    event_loop.close().unwrap();
    assert_eq!(Rc::strong_count(&log), 1);
    event_loop.add_task_hooks(log.clone());
    assert_eq!(Rc::strong_count(&log), 1);
}
