//! Reports to the exception handler, in tests.

use std::cell::RefCell;
use std::rc::Rc;
use std::thread;

use asyncio_loop::{ExceptionHandler, LoopRef, running_loop};

/// Collects the reports of the running loop from now on. Dropping the guard panics if there is one.
///
/// A [`Simulation`](crate::Simulation) fails by itself on a report. This is for other tests, and
/// for a part of a test.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_testing::{expect_no_reports, wait_all_tasks_blocked};
///
/// asyncio_task::run(async {
///     let reports = expect_no_reports();
///     drop(asyncio_task::create_task(async { panic!("no luck") }));
///     wait_all_tasks_blocked().await;
///     assert_eq!(reports.take().len(), 1, "taken reports are expected");
/// });
/// ```
#[must_use = "reports are collected until this is dropped"]
#[track_caller]
pub fn expect_no_reports() -> ExpectNoReports {
    let event_loop = running_loop();
    let seen = Rc::new(RefCell::new(Vec::new()));
    let before = event_loop.exception_handler();
    let list = Rc::clone(&seen);
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        list.borrow_mut().push(context.to_string());
    })));
    ExpectNoReports { event_loop, seen, before }
}

/// Collects reports. [`expect_no_reports`] returns it.
pub struct ExpectNoReports {
    event_loop: LoopRef,
    seen: Rc<RefCell<Vec<String>>>,
    before: Option<ExceptionHandler>,
}

impl ExpectNoReports {
    /// Takes the reports so far, which then count as no failure.
    #[must_use]
    pub fn take(&self) -> Vec<String> {
        self.seen.take()
    }
}

impl Drop for ExpectNoReports {
    fn drop(&mut self) {
        self.event_loop.set_exception_handler(self.before.take());
        let seen = self.seen.take();
        // A panic during another panic would abort the process.
        if !thread::panicking() {
            assert!(seen.is_empty(), "reported: {}", seen.join("\nreported: "));
        }
    }
}

impl std::fmt::Debug for ExpectNoReports {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExpectNoReports").field("seen", &self.seen).finish_non_exhaustive()
    }
}
