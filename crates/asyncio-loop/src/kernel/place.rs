//! Where a task waits, as a watched poll finds it.

use std::panic::Location;

use super::waits_for::Wait;

/// A place at which a task waits.
#[derive(Clone)]
pub(crate) struct Place {
    /// Addresses inside of the calls that were active, innermost first. Empty where that cannot be
    /// had.
    pub(crate) calls: Vec<usize>,
    /// What the future has said that it waits for, and where.
    pub(crate) wait: Option<(Wait, &'static Location<'static>)>,
}
