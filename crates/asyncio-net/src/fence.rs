//! The fence around user code that runs where several connections share a task, a hook or a list.
//!
//! Protocols, factories, destructors, wakers and streams of users may panic. Where such a panic
//! would unwind through work for other connections, it stops here: it is reported once, and only
//! the connection that it came from ends.

use std::any::Any;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use asyncio_loop::{ErrorContext, LoopRef, LoopWaker};

/// Calls user code; a panic is an error.
#[inline]
pub(crate) fn call<R>(user_code: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(user_code)).map_err(|payload| Panic(Some(payload)))
}

/// Drops a value of a user; a panic of its destructor is reported.
#[inline]
pub(crate) fn drop_value<T>(event_loop: &LoopRef, what: &'static str, value: T) {
    if let Err(panic) = call(|| drop(value)) {
        panic.report_from(event_loop, "unhandled panic in a destructor", what);
    }
}

/// Wakes a task; a panic of another executor's waker is reported.
#[inline]
pub(crate) fn wake(event_loop: &LoopRef, waker: LoopWaker) {
    if let Err(panic) = call(|| waker.wake()) {
        panic.report_from(event_loop, "unhandled panic in a waker", "waker of a task");
    }
}

/// The payload of a panic in user code.
pub(crate) struct Panic(Option<Box<dyn Any + Send>>);

impl Panic {
    /// Adds the text of the panic to a report.
    #[cold]
    pub(crate) fn describe(&self, context: ErrorContext) -> ErrorContext {
        match &self.0 {
            Some(payload) => context.with_panic(&**payload),
            None => context,
        }
    }

    /// An error that says that `who` panicked, with the text of the panic.
    #[cold]
    pub(crate) fn to_error(&self, who: &str) -> io::Error {
        let context = self.describe(ErrorContext::new(""));
        io::Error::other(format!("{who} panicked: {}", context.panic().unwrap_or_default()))
    }

    #[cold]
    fn report_from(&self, event_loop: &LoopRef, message: &str, owner: &str) {
        event_loop.report(&self.describe(ErrorContext::new(message)).field("of", owner));
    }
}

/// The destructor of a payload is user code, too. If it panics, the second payload is leaked,
/// because dropping payloads could go on without end.
impl Drop for Panic {
    fn drop(&mut self) {
        let payload = self.0.take();
        if let Err(next) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            std::mem::forget(next);
        }
    }
}

impl fmt::Debug for Panic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panic").finish_non_exhaustive()
    }
}
