//! Reports, in debug mode, objects that should have been closed, and were dropped or outlived their
//! loop instead.

use std::panic::Location;
use std::thread;

use super::LoopRef;
use super::running::try_running_loop;
use crate::inspect::is_of_user;
use crate::report::ErrorContext;

impl LoopRef {
    /// Reports, in debug mode, an object that should have been closed. `message` says how it ended,
    /// and `describe` adds its properties. Nothing is reported while a panic unwinds, because then
    /// the panic drops it.
    #[doc(hidden)]
    pub fn report_unclosed(
        &self,
        message: &'static str,
        created_at: Option<&'static Location<'static>>,
        describe: impl FnOnce(ErrorContext) -> ErrorContext,
    ) {
        if !self.is_debug() || thread::panicking() {
            return;
        }
        let context = describe(ErrorContext::new(message));
        self.report(&match created_at.filter(|site| is_of_user(site)) {
            Some(site) => context.field("created at", site),
            None => context,
        });
    }
}

/// Calls [`LoopRef::report_unclosed`] of the running loop, for objects that belong to no loop.
#[doc(hidden)]
pub fn report_unclosed(
    message: &'static str,
    created_at: &'static Location<'static>,
    describe: impl FnOnce(ErrorContext) -> ErrorContext,
) {
    if let Ok(event_loop) = try_running_loop() {
        event_loop.report_unclosed(message, Some(created_at), describe);
    }
}
