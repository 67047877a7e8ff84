//! Panics of code of a user: catching them, and their payloads.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The value that a panic carries.
pub(crate) type Payload = Box<dyn Any + Send + 'static>;

/// Calls code of a user.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Drops the payload of a panic. If that panics in turn, the second payload is leaked: dropping it
/// might panic again, and so on.
pub(crate) fn drop_payload(payload: Payload) {
    if let Err(next) = catch(|| drop(payload)) {
        std::mem::forget(next);
    }
}

/// The text of a panic.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is no text"
    }
}

/// A new payload with the text of another one, which stays where it is.
pub(crate) fn copy_payload(payload: &(dyn Any + Send)) -> Payload {
    Box::new(panic_message(payload).to_owned())
}
