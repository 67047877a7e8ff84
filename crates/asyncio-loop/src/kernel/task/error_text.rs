//! A function that finds the error in the output of a task.
//!
//! The output of a task is of any type. A caller that knows it to be a `Result` gives the task
//! such a function, which the kernel calls for an output that it is about to drop.

use std::fmt::Display;

/// The function that gives the text of the error in an output of one type.
///
/// Its parameter is the address of such an output.
#[derive(Clone, Copy)]
pub(super) struct ErrorText(pub(super) unsafe fn(*const ()) -> Option<String>);

impl ErrorText {
    pub(super) fn of<T, E: Display>() -> Self {
        Self(text::<T, E>)
    }
}

/// # Safety
///
/// `output` is the address of a `Result<T, E>`.
unsafe fn text<T, E: Display>(output: *const ()) -> Option<String> {
    // SAFETY: the caller's promise.
    let output = unsafe { &*output.cast::<Result<T, E>>() };
    // Some errors show what has caused them in this form.
    output.as_ref().err().map(|error| format!("{error:#}"))
}
