//! Unretrieved errors, in outputs that the kernel drops.

use super::error_text::ErrorText;
use super::header::TaskPtr;
use crate::kernel::header::RunnableRef;
use crate::kernel::host::{self, Failure, report_panic};
use crate::kernel::panics::catch;

/// The text of the error in an output that is about to be dropped, if reports were requested.
///
/// # Safety
///
/// `output` is the address of an output of `task`.
#[cold]
pub(super) unsafe fn unseen_error(task: TaskPtr, output: *const ()) -> Option<String> {
    let ErrorText(text) = task.with_extra(|extra| extra.get().and_then(|x| x.error_text))?;
    // To show an error is code of a user.
    // SAFETY: `set` gave the task a function for its type of output; the caller's promise.
    catch(|| unsafe { text(output) }).unwrap_or_else(|payload| {
        report_panic(task.type_name(), payload);
        None
    })
}

/// Reports an unretrieved error.
#[cold]
pub(super) fn report(task: &RunnableRef, text: String) {
    host::report(Failure::Error { task, text });
}
