//! How a task ended.

use crate::kernel::panics::Payload;

/// How a task ended.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Outcome, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let mut raw = event_loop.spawn(async { 7 }, TaskOptions::new())?;
/// event_loop.run_until_complete(async {})?;
/// assert!(matches!(raw.take(), Some(Outcome::Value(7))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub enum Outcome<T> {
    /// The future returned this.
    Value(T),
    /// The future panicked with this payload.
    Panicked(Payload),
    /// The future was dropped before it returned.
    Cancelled,
}
