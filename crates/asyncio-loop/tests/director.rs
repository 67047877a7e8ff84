//! A director decides the order of a loop.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::machinery::{Candidates, Director, NumbersFromOne, Step};
use asyncio_loop::{EventLoop, Job, LoopRef, LoopTime, RunError, TaskOptions, TaskRef};

/// A director that runs the task that became ready last.
#[derive(Default)]
struct LastInFirstOut {
    stop_after: Cell<Option<u32>>,
    put_off: Cell<Option<Duration>>,
    ran: Cell<u32>,
}

impl Director for LastInFirstOut {
    fn next(&self, ready: &Candidates, now: LoopTime) -> Step {
        self.ran.set(self.ran.get() + 1);
        if self.stop_after.get().is_some_and(|count| self.ran.get() > count) {
            return Step::Stop;
        }
        assert_eq!(ready.task_ids().count(), ready.len());
        let last = ready.len() - 1;
        match self.put_off.take() {
            Some(delay) => Step::PutOff(0, now + delay),
            None => Step::Run(last),
        }
    }

    fn before(&self, _: Option<&TaskRef>) {}

    fn pick(&self, count: usize) -> usize {
        count - 1
    }

    fn takes_remote(&self) -> bool {
        true
    }

    fn moved(&self, _: LoopTime, _: bool) {}

    fn stalled(&self, _: &LoopRef, _: bool) -> Option<Duration> {
        None
    }

    fn execute(&self, _: &LoopRef, job: Job) {
        job.run();
    }

    fn random(&self) -> u64 {
        4
    }
}

fn directed() -> (EventLoop, Rc<LastInFirstOut>) {
    let event_loop = EventLoop::builder().virtual_time(true).build().unwrap();
    let director = Rc::new(LastInFirstOut::default());
    event_loop.set_director(Some(Rc::<LastInFirstOut>::clone(&director)));
    (event_loop, director)
}

/// A log, and a function that makes callbacks which write to it.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<u32>>>);

impl Log {
    fn task(&self, event_loop: &LoopRef, number: u32) {
        let log = self.clone();
        let future = async move { log.0.borrow_mut().push(number) };
        drop(event_loop.spawn(future, TaskOptions::new()).unwrap());
    }

    fn callback(&self, event_loop: &LoopRef, number: u32) {
        let log = self.clone();
        event_loop.call_soon(move || log.0.borrow_mut().push(number));
    }
}

#[test]
fn it_chooses_among_tasks_and_the_first_callback() {
    let ((event_loop, _), log) = (directed(), Log::default());
    log.task(&event_loop, 1);
    log.callback(&event_loop, 2);
    log.task(&event_loop, 3);
    log.callback(&event_loop, 4);
    event_loop.run_until_complete(sleep(&event_loop, 1)).unwrap();
    assert_eq!(log.0.take(), [3, 2, 4, 1]);
}

/// Waits for a number of seconds.
fn sleep(event_loop: &LoopRef, seconds: u64) -> impl Future<Output = ()> {
    let event_loop = event_loop.clone();
    let when = event_loop.time() + Duration::from_secs(seconds);
    let mut deadline = None;
    poll_fn(move |cx| {
        if event_loop.time() >= when {
            return Poll::Ready(());
        }
        let waker = asyncio_loop::LoopWaker::from_context(cx);
        deadline.get_or_insert_with(|| event_loop.wake_at(when, waker));
        Poll::Pending
    })
}

#[test]
fn what_a_run_leaves_runs_in_the_next_one() {
    let ((event_loop, director), log) = (directed(), Log::default());
    (1..=4).for_each(|number| log.task(&event_loop, number));
    director.stop_after.set(Some(2));
    assert_eq!(event_loop.run_forever(), Ok(()));
    assert_eq!(log.0.take(), [4, 3]);

    director.stop_after.set(None);
    event_loop.set_director(None);
    event_loop.run_until_complete(async {}).unwrap();
    assert_eq!(log.0.take(), [1, 2]);
}

#[test]
fn what_a_run_leaves_is_dropped_by_a_close() {
    let ((event_loop, director), held) = (directed(), Rc::new(()));
    for _ in 0..3 {
        let held = Rc::clone(&held);
        drop(event_loop.spawn(async move { drop(held) }, TaskOptions::new().hidden()).unwrap());
        let director = Rc::clone(&director);
        event_loop.call_soon(move || drop(director));
    }
    director.stop_after.set(Some(0));
    event_loop.run_forever().unwrap();
    assert_eq!(Rc::strong_count(&held), 4);
    event_loop.close().unwrap();
    assert_eq!(Rc::strong_count(&held), 1);
    drop(event_loop);
    assert_eq!(Rc::strong_count(&director), 1);
}

#[test]
fn a_task_that_is_put_off_runs_at_its_moment_or_when_it_is_woken() {
    for wakes in [false, true] {
        let (event_loop, director) = directed();
        let this = event_loop.loop_ref();
        let future = async move { this.time() };
        let mut task = event_loop.spawn(future, TaskOptions::new()).unwrap();
        director.put_off.set(Some(Duration::from_secs(60)));
        let woken = task.task().clone();
        event_loop.call_later(Duration::from_secs(1), move || {
            if wakes {
                woken.wake();
            }
        });
        let joined = task.task().clone();
        event_loop.run_until_complete(sleep(&event_loop, 100)).unwrap();
        assert!(joined.is_done());
        let Some(asyncio_loop::Outcome::Value(time)) = task.take() else { panic!("no value") };
        assert_eq!(time.as_secs_f64(), if wakes { 1.0 } else { 60.0 });
    }
}

#[test]
fn a_stalled_run_is_stopped() {
    let (event_loop, _) = directed();
    let stalled = event_loop.run_until_complete(std::future::pending::<()>());
    assert_eq!(stalled, Err(RunError::Stopped));
}

#[test]
fn jobs_go_to_the_director() {
    let (event_loop, _) = directed();
    let this = std::thread::current().id();
    let job = event_loop.run_in_executor(None, move || std::thread::current().id() == this);
    assert!(event_loop.run_until_complete(job).unwrap().unwrap());
}

#[test]
#[should_panic(expected = "virtual time")]
fn it_needs_virtual_time() {
    let event_loop = EventLoop::new().unwrap();
    event_loop.set_director(Some(Rc::new(LastInFirstOut::default())));
}

#[test]
fn tasks_are_numbered_from_one() {
    let event_loop = EventLoop::new().unwrap();
    let name = || {
        let task = event_loop.spawn(async {}, TaskOptions::new()).unwrap();
        task.task().name()
    };
    let outside = name();
    {
        let _numbers = NumbersFromOne::new();
        assert_eq!(&*name(), "Task-1");
        (0..2000).for_each(|_| drop(name()));
        assert_eq!(&*name(), "Task-2002");
    }
    assert_ne!(name(), outside);
    event_loop.run_until_complete(async {}).unwrap();
}
