//! What the body of a test returns.

use std::fmt::Debug;

/// What the body of a test may return: nothing, or a `Result` whose error can be shown.
pub trait TestOutcome {
    /// The error in words, if it is one.
    fn failure(&self) -> Option<String>;
}

impl TestOutcome for () {
    fn failure(&self) -> Option<String> {
        None
    }
}

impl<T, E: Debug> TestOutcome for Result<T, E> {
    fn failure(&self) -> Option<String> {
        self.as_ref().err().map(|error| format!("returned Err({error:?})"))
    }
}
