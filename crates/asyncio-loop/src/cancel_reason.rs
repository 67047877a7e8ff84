//! What a cancellation says about itself.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// Why something was cancelled: a message, who asked, and where.
///
/// # Examples
///
/// ```
/// use asyncio_loop::CancelReason;
///
/// let reason = CancelReason::new("too slow");
/// assert_eq!(reason.message(), Some("too slow"));
/// assert_eq!(reason.to_string(), "cancelled: too slow");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CancelReason {
    message: Option<Arc<str>>,
    by: Option<By>,
    site: Option<&'static Location<'static>>,
}

/// A task that asked. Most have no name of their own, and then nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
enum By {
    Number(u64),
    Name(Arc<str>),
}

impl CancelReason {
    /// A reason with a message.
    #[must_use]
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self { message: Some(message.into()), ..Self::default() }
    }

    /// Adds the place in the program that asked.
    #[must_use]
    pub fn at(mut self, site: &'static Location<'static>) -> Self {
        self.site = Some(site);
        self
    }

    /// Adds the task that asked, if one did.
    #[must_use]
    pub(crate) fn by(mut self, id: u64, name: Option<&str>) -> Self {
        self.by = Some(name.map_or(By::Number(id), |name| By::Name(name.into())));
        self
    }

    /// The message, if one was given.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The name of the task that asked, if it was one.
    #[must_use]
    pub fn asked_by(&self) -> Option<String> {
        match self.by.as_ref()? {
            By::Number(id) => Some(format!("Task-{id}")),
            By::Name(name) => Some(name.to_string()),
        }
    }

    /// Where in the program it was asked for.
    #[must_use]
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.site
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.message {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}
