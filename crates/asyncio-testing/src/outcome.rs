//! The return types of a test's body.

use std::fmt::Debug;

/// A type that the body of a test may return: `()`, or a `Result` whose error is `Debug`.
pub trait TestOutcome {
    /// The error's text, if the outcome is an error.
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
