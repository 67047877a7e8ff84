//! Helpers for the tests of this crate.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::cell::RefCell;
use std::rc::Rc;

use asyncio_loop::{EventLoop, LoopRef};
use asyncio_task::Runner;

/// A loop whose time is virtual.
pub(crate) fn new_loop() -> EventLoop {
    EventLoop::builder().virtual_time(true).build().unwrap()
}

/// `asyncio_task::run` with virtual time.
#[track_caller]
pub(crate) fn run<F: IntoFuture>(future: F) -> F::Output {
    Runner::builder().virtual_time(true).run(future)
}

/// Events, in order.
#[derive(Debug)]
pub(crate) struct Log<T = &'static str>(Rc<RefCell<Vec<T>>>);

impl<T> Log<T> {
    pub(crate) fn new() -> Self {
        Self(Rc::default())
    }

    pub(crate) fn add(&self, entry: T) {
        self.0.borrow_mut().push(entry);
    }

    /// Removes and returns the entries logged so far.
    pub(crate) fn take(&self) -> Vec<T> {
        self.0.take()
    }
}

impl<T: 'static> Log<T> {
    /// A callback that logs `entry`.
    pub(crate) fn adder(&self, entry: T) -> impl FnOnce() + use<T> {
        let log = self.clone();
        move || log.add(entry)
    }
}

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

/// A call of the exception handler.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) message: String,
    pub(crate) error: Option<String>,
    pub(crate) panic: Option<String>,
    pub(crate) task: Option<String>,
}

/// Keeps the reports of `event_loop`.
pub(crate) fn reports(event_loop: &LoopRef) -> Log<Report> {
    let log = Log::new();
    let reports = log.clone();
    event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
        log.add(Report {
            message: context.message().to_owned(),
            error: context.error().map(ToString::to_string),
            panic: context.panic().map(str::to_owned),
            task: context.task().map(|task| task.name().to_string()),
        });
    })));
    reports
}

/// Adds `entry` to a log when it is dropped.
pub(crate) struct OnDrop<T: Copy>(pub(crate) Log<T>, pub(crate) T);

impl<T: Copy> Drop for OnDrop<T> {
    fn drop(&mut self) {
        self.0.add(self.1);
    }
}
