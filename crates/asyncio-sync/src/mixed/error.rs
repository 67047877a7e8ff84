//! The error of closing a mixed queue. Its other errors are those of the other queues.

use std::error::Error;
use std::fmt;

/// `wait_closed` was called before `close`, when it might wait forever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotClosedError(pub(super) ());

impl fmt::Display for NotClosedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the queue was not closed")
    }
}

impl Error for NotClosedError {}
