//! In debug mode: things that had to be closed, and were dropped or outlived their loop instead.

use std::panic::Location;
use std::thread;

use super::LoopRef;
use super::running::try_running_loop;
use crate::inspect::is_of_user;
use crate::report::ErrorContext;

impl LoopRef {
    /// Reports, in debug mode, something that had to be closed. `message` says what became of it,
    /// `describe` adds what it is. Nothing is reported while a panic unwinds: that is why it is
    /// dropped.
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

/// [`LoopRef::report_unclosed`] of the loop that runs on this thread, for things that belong to no
/// loop.
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
