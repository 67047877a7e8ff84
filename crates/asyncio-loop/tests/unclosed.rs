//! Debug mode: loops and executors that had to be closed.
// I-006

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;

use asyncio_loop::{EventLoop, ThreadPoolExecutor};

type Reports = Rc<RefCell<Vec<String>>>;

fn reports_of(event_loop: &EventLoop) -> Reports {
    let reports = Reports::default();
    let heard = Rc::clone(&reports);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        heard.borrow_mut().push(context.to_string());
    })));
    reports
}

fn made_here(line: u32) -> String {
    format!("created at: {}:{line}:", file!())
}

#[test]
fn a_loop_that_is_dropped_unclosed_is_reported_with_the_call_that_made_it() {
    let (event_loop, line) = (EventLoop::builder().debug(true).build().unwrap(), line!());
    let reports = reports_of(&event_loop);
    drop(event_loop);
    let report = &reports.borrow()[0];
    assert!(report.starts_with("an event loop was dropped without being closed"), "{report}");
    assert!(report.contains(&made_here(line)), "{report}");
    assert_eq!(reports.borrow().len(), 1);
}

#[test]
fn one_that_is_closed_is_not_nor_any_without_debug_mode() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let reports = reports_of(&event_loop);
    event_loop.close().unwrap();
    drop(event_loop);
    assert!(reports.borrow().is_empty(), "{reports:?}");

    let event_loop = EventLoop::builder().debug(false).build().unwrap();
    let reports = reports_of(&event_loop);
    drop(event_loop);
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

#[test]
fn what_a_panic_drops_is_not_reported_beside_it() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let reports = reports_of(&event_loop);
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
        let _dropped = event_loop;
        std::panic::resume_unwind(Box::new("for show"));
    }));
    assert!(unwound.is_err());
    assert!(reports.borrow().is_empty(), "{reports:?}");
}

/// Drops a pool with a job that runs and one that waits. Returns the line that made the pool.
fn drop_busy_pool(shut_down: bool) -> u32 {
    let (pool, line) = (ThreadPoolExecutor::new(1), line!());
    let ((tell, started), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
    let first = pool.submit(move || (tell.send(()), held.recv().is_err()).1);
    started.recv().unwrap();
    let second = pool.submit(|| ());
    if shut_down {
        drop(pool.shutdown());
    }
    drop(pool);
    drop(release);
    assert!(first.result(None).unwrap());
    second.result(None).unwrap();
    line
}

#[test]
fn a_thread_pool_that_is_dropped_with_jobs_left_is_reported_by_the_running_loop() {
    let event_loop = EventLoop::builder().debug(true).build().unwrap();
    let reports = reports_of(&event_loop);
    let line = event_loop.run_until_complete(async { drop_busy_pool(false) }).unwrap();
    let report = reports.borrow()[0].clone();
    assert!(report.starts_with("a thread pool was dropped with jobs left"), "{report}");
    assert!(report.contains("running: 1, queued: 1"), "{report}");
    assert!(report.contains(&made_here(line)), "{report}");

    event_loop.run_until_complete(async { drop_busy_pool(true) }).unwrap();
    event_loop.run_until_complete(async { drop(ThreadPoolExecutor::default()) }).unwrap();
    drop_busy_pool(false);
    assert_eq!(reports.borrow().len(), 1, "{reports:?}");
    event_loop.close().unwrap();
}
