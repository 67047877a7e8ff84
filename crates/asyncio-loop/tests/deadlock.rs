//! Debug mode: "all tasks wait, and nothing is left that could wake one".

use std::cell::RefCell;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::{
    Burst, Direction, EventLoop, Guest, Host, Source, TaskOptions, WaitsFor, running_loop,
};

type Reports = Rc<RefCell<Vec<String>>>;

/// A loop that stops at its first report.
fn stopping(debug: bool) -> (EventLoop, Reports) {
    let event_loop = EventLoop::builder().debug(debug).build().unwrap();
    let reports = Reports::default();
    let heard = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |event_loop, context| {
        if !context.message().contains("destroyed") {
            heard.borrow_mut().push(context.to_string());
        }
        event_loop.stop();
    })));
    (event_loop, reports)
}

async fn wait_for_ever() {
    std::future::poll_fn(|cx| {
        WaitsFor::Resource.note(cx);
        std::task::Poll::<()>::Pending
    })
    .await;
}

#[test]
fn tasks_that_nothing_can_wake_are_reported_with_what_they_wait_for() {
    let (event_loop, reports) = stopping(true);
    // The watchdog cannot wake a loop.
    event_loop.set_watchdog(Some(Duration::from_secs(60)));
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new().name("stuck")).unwrap();
    event_loop.run_forever().unwrap();
    let text = reports.borrow().join("\n");
    assert!(text.starts_with("all tasks wait, and nothing is left that could wake one"), "{text}");
    assert!(text.contains("\"stuck\" created at "), "{text}");
    assert!(text.contains(" waits for a resource at "), "{text}");
    assert_eq!(reports.borrow().len(), 1);
    drop(task);
}

#[test]
fn a_loop_that_a_timer_can_wake_is_not_reported() {
    let (event_loop, reports) = stopping(true);
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new()).unwrap();
    event_loop.call_later(Duration::from_millis(5), || running_loop().stop());
    event_loop.run_forever().unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
    drop(task);
}

#[test]
fn nor_is_one_that_another_thread_can_wake() {
    let (event_loop, reports) = stopping(true);
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new()).unwrap();
    let handle = event_loop.handle();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(5));
        handle.call_soon_threadsafe(|| running_loop().stop()).unwrap();
    });
    event_loop.run_forever().unwrap();
    thread.join().unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
    drop(task);
}

#[test]
fn nor_is_one_that_watches_a_descriptor() {
    let (event_loop, reports) = stopping(true);
    let (mut near, far) = UnixStream::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    let source = Source::new(&event_loop, far);
    let main = async move {
        let mut ready = std::pin::pin!(source.ready(Direction::Read));
        source.clear_ready(Direction::Read);
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            near.write_all(b"x").unwrap();
            near
        });
        std::future::poll_fn(|cx| ready.as_mut().poll(cx)).await.unwrap();
        drop(thread.join().unwrap());
    };
    event_loop.run_until_complete(main).unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

/// A host that makes turns until the loop is stopped, for a number of bursts at most.
struct Spins {
    may_wake: bool,
    bursts: usize,
}

impl Host for Spins {
    fn drive(&self, guest: Guest) {
        for _ in 0..self.bursts {
            if guest.burst(std::task::Waker::noop(), true) == Ok(Burst::Over) {
                return;
            }
            std::thread::yield_now();
        }
    }

    fn may_wake(&self) -> bool {
        self.may_wake
    }
}

#[test]
fn a_guest_is_reported_if_its_host_says_that_it_wakes_no_task() {
    let (event_loop, reports) = stopping(true);
    event_loop.set_host(Rc::new(Spins { may_wake: false, bursts: usize::MAX })).unwrap();
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new().name("stuck")).unwrap();
    event_loop.run_forever().unwrap();
    let text = reports.borrow().join("\n");
    assert!(text.starts_with("all tasks wait, and nothing is left that could wake one"), "{text}");
    assert!(text.contains("\"stuck\" created at "), "{text}");
    assert_eq!(reports.borrow().len(), 1);
    drop(task);
}

#[test]
fn a_guest_is_not_reported_if_a_timer_may_wake_a_task() {
    let (event_loop, reports) = stopping(true);
    event_loop.set_host(Rc::new(Spins { may_wake: false, bursts: usize::MAX })).unwrap();
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new()).unwrap();
    event_loop.call_later(Duration::from_millis(5), || running_loop().stop());
    event_loop.run_forever().unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
    drop(task);
}

#[test]
fn nor_if_its_host_may() {
    let (event_loop, reports) = stopping(true);
    event_loop.set_host(Rc::new(Spins { may_wake: true, bursts: 10 })).unwrap();
    let task = event_loop.spawn(wait_for_ever(), TaskOptions::new()).unwrap();
    event_loop.run_forever().unwrap();
    assert!(reports.borrow().is_empty(), "{reports:?}");
    drop(task);
}
