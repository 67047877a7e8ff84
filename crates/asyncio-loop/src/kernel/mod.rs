//! The unit the loop runs.

mod waker;

pub use waker::LocalWaker;
