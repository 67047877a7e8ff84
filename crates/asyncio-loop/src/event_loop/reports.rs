//! The exception handler, and debug mode.

use std::time::Duration;

use super::hooks::traced;
use super::marks::DEBUG;
use super::running::{try_running_loop, with_running};
use super::{ExceptionHandler, LoopRef};
use crate::kernel::{
    Failure, Host, Payload, RunnableRef, TaskRef, catch, drop_payload, owner_of, panic_message,
};
use crate::report::{self, ErrorContext};

/// The functions of this crate that the kernel calls.
pub(super) static HOST: Host =
    Host { report: report_failure, notice_panic, check_await, polled, traced };

/// The beginnings of the messages with which tokio panics when its runtime is missing.
const NO_REACTOR: &str = "there is no reactor running";

/// Logs advice about a crate that needs tokio's runtime. The panic itself may end in the handle of
/// the task, and its message does not know this project.
fn notice_panic(task: &RunnableRef, payload: &Payload) {
    let event_loop = owner_of(task).and_then(LoopRef::from_owner);
    if let Some(recorder) = event_loop.and_then(|event_loop| event_loop.recorder()) {
        // A logger may panic, and this runs in the middle of the end of a task.
        report::quietly(|| recorder.keep(Some("panic")), || ());
    }
    if panic_message(&**payload).starts_with(NO_REACTOR) {
        let message = "a crate needs tokio's runtime: enable the feature `tokio-runtime` of the \
                       crate `asyncio`, and run with `#[asyncio::main(tokio)]` or \
                       `Runner::builder().tokio(true)`";
        let task = TaskRef::from_runnable(task.clone()).ok();
        report_anywhere(&ErrorContext::new(message).with_optional_task(task));
    }
}

/// Reports to the running loop, or if none runs to the default handler. It does not unwind, because
/// the kernel calls it while a task is being taken apart.
fn report_failure(failure: Failure<'_>) {
    let task = |runnable: &RunnableRef| TaskRef::from_runnable(runnable.clone()).ok();
    match failure {
        Failure::Callback { name, payload } => {
            let context = ErrorContext::new("unhandled panic in a callback").with_callback(name);
            report_panic(context, payload);
        }
        Failure::Task { task: runnable, payload } => {
            let context = ErrorContext::new("task panic was never retrieved");
            report_panic(context.with_optional_task(task(runnable)), payload);
        }
        Failure::Error { task: runnable, text } => {
            let context = ErrorContext::new("task error was never retrieved").with_error(text);
            report_anywhere(&context.with_optional_task(task(runnable)));
        }
        Failure::Destroyed { task: runnable } => {
            let context = ErrorContext::new("task was destroyed but it is pending");
            report_anywhere(&context.with_optional_task(task(runnable)));
        }
    }
}

fn report_panic(context: ErrorContext, payload: Payload) {
    report_anywhere(&context.with_panic(&*payload));
    drop_payload(payload);
}

fn report_anywhere(context: &ErrorContext) {
    match try_running_loop() {
        Ok(event_loop) => event_loop.report(context),
        Err(_) => report::last_resort(context),
    }
}

/// Panics unless the loop of the waiter is the task's: while another loop runs, waiting for the
/// task would hang. The loop of a waiter of another executor is the running one, if there is one.
fn polled() -> Option<RunnableRef> {
    let task = with_running(|running| running.stepped_task()).ok().flatten();
    task.map(TaskRef::into_runnable)
}

fn check_await(task: &RunnableRef, waiter: Option<&RunnableRef>) {
    let Ok(task) = TaskRef::from_runnable(task.clone()) else { return };
    match waiter {
        Some(waiter) => task.check_loop(owner_of(waiter).and_then(LoopRef::from_owner).as_ref()),
        None => {
            let _ = with_running(|running| {
                if !running.0.scheduler.owns(task.runnable()) {
                    task.check_loop(Some(running));
                }
            });
        }
    }
}

/// Calls the handler, or the default one. A panic of the handler does not stop the loop.
fn call_handler(handler: Option<ExceptionHandler>, event_loop: &LoopRef, context: &ErrorContext) {
    let Some(handler) = handler else { return report::last_resort(context) };
    // The handler is moved into the closure, since it may have replaced itself, and is dropped here
    // then.
    if let Err(payload) = catch(move || handler(event_loop, context)) {
        let second = ErrorContext::new("unhandled panic in the exception handler")
            .with_panic(&*payload)
            .field("while handling", report::shown(context));
        report::last_resort(&second);
        drop_payload(payload);
    }
}

impl LoopRef {
    /// Sets the handler of failures that are not awaited, or restores the default one, which writes
    /// an error record of the `log` crate. A closed loop ignores this.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(RefCell::new(String::new()));
    /// let see = Rc::clone(&seen);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
    ///     see.replace(context.panic().unwrap_or_default().to_owned());
    /// })));
    /// event_loop.call_soon(|| panic!("no luck"));
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(*seen.borrow(), "no luck");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        if self.is_closed() {
            // A closed loop must not keep the handler, because it may own a reference to the loop.
            return;
        }
        let old = self.0.handler.replace(handler);
        drop(old);
    }

    /// The handler that was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::new()?.exception_handler().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_exception_handler")]
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.0.handler.borrow().clone()
    }

    /// The default handler: it writes one error-level record.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{ErrorContext, EventLoop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let context = ErrorContext::new("cannot refill the cache");
    /// event_loop.default_exception_handler(&context); // writes one error record
    /// assert_eq!(context.to_string(), "cannot refill the cache");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn default_exception_handler(&self, context: &ErrorContext) {
        report::default_handler(context);
    }

    /// Calls the exception handler, in the context of the task that `context` names.
    ///
    /// If the handler panics, that is reported too, and the loop goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::{ErrorContext, EventLoop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let count = Rc::new(Cell::new(0));
    /// let counter = Rc::clone(&count);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, _| counter.set(counter.get() + 1))));
    /// event_loop.report(&ErrorContext::new("cannot refill the cache"));
    /// assert_eq!(count.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, context: &ErrorContext) {
        self.record_report(|| report::shown(context));
        let tell = || call_handler(self.exception_handler(), self, context);
        // The values in the context of the task help to explain the report.
        let in_task = context.task().map(|task| task.context().try_run(tell));
        if !matches!(in_task, Some(Ok(()))) {
            tell();
        }
    }

    /// Whether debug mode is on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::builder().debug(true).build()?.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_debug")]
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.0.marks.has(DEBUG)
    }

    /// Turns debug mode on or off: callbacks and polls that take longer than
    /// [`slow_callback_duration`](Self::slow_callback_duration) are reported by name, and more
    /// checks are made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_debug(true);
    /// assert!(event_loop.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_debug(&self, yes: bool) {
        self.0.marks.set(DEBUG, yes);
    }

    /// The time that a callback or a poll may take in debug mode before it is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// assert_eq!(EventLoop::new()?.slow_callback_duration(), Duration::from_millis(100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_callback_duration(&self) -> Duration {
        self.0.slow_callback.get()
    }

    /// Sets the time that a callback or a poll may take in debug mode before it is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_slow_callback_duration(Duration::from_millis(10));
    /// assert_eq!(event_loop.slow_callback_duration(), Duration::from_millis(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.slow_callback.set(duration);
    }
}
