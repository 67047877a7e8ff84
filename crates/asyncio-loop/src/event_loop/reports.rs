//! The exception handler, and debug mode.

use std::time::Duration;

use super::LoopRef;
use crate::report::{self, ErrorContext, ExceptionHandler};

impl LoopRef {
    /// Has failures that nobody awaits reported to `handler`, or to the default one: an error
    /// record of the `log` crate.
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        let old = self.0.handler.replace(handler);
        drop(old);
    }

    /// The handler that was set.
    #[doc(alias = "get_exception_handler")]
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.0.handler.borrow().clone()
    }

    /// What happens to a report without a handler: one error-level record.
    pub fn default_exception_handler(&self, context: &ErrorContext) {
        report::default_handler(context);
    }

    /// Tells the exception handler, which runs in the context of the task that `context` names.
    ///
    /// A handler that panics is reported in turn, and the loop goes on.
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, context: &ErrorContext) {
        let tell = || report::call_handler(self.exception_handler(), self, context);
        // What the task has set helps to tell what it was about.
        let in_task = context.task().map(|task| task.context().try_run(tell));
        if !matches!(in_task, Some(Ok(()))) {
            tell();
        }
    }

    /// Whether debug mode is on.
    #[doc(alias = "get_debug")]
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.0.debug.get()
    }

    /// Turns debug mode on or off: steps that take longer than
    /// [`slow_callback_duration`](Self::slow_callback_duration) are reported by name, and more
    /// checks are made.
    pub fn set_debug(&self, yes: bool) {
        self.0.debug.set(yes);
    }

    /// How long a step may take in debug mode before it is reported.
    #[must_use]
    pub fn slow_callback_duration(&self) -> Duration {
        self.0.slow_callback.get()
    }

    /// Sets how long a step may take in debug mode before it is reported.
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.slow_callback.set(duration);
    }
}
