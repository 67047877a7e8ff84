//! The reason of a cancellation.

use std::cell::Cell;
use std::fmt;
use std::panic::Location;
use std::ptr;
use std::sync::Arc;

/// The reason of a cancellation: a message, the task that asked for it, and the place of the call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CancelReason(pub(crate) Option<Arc<Reason>>);

/// Shared, because one request reaches many tasks: those that were asked, and their awaiters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reason {
    message: Option<Arc<str>>,
    by: Option<By>,
    site: Option<&'static Location<'static>>,
}

/// The task that asked. Most tasks have no given name, and then nothing is allocated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Number(u64),
    Name(Arc<str>),
}

thread_local! {
    /// The last reason without a message. It is reused, because many tasks are usually cancelled at
    /// one place.
    static LAST: Cell<Option<Arc<Reason>>> = const { Cell::new(None) };
}

impl CancelReason {
    /// Makes a reason with a message.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::CancelReason;
    ///
    /// assert_eq!(CancelReason::new("too slow").message(), Some("too slow"));
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn new(message: impl Into<Arc<str>>) -> Self {
        Self::of(Reason { message: Some(message.into()), ..Reason::default() })
    }

    fn of(reason: Reason) -> Self {
        Self(Some(Arc::new(reason)))
    }

    /// Makes a reason without a message, of the place and the number of the task that asked.
    #[inline]
    pub(crate) fn at_by(site: &'static Location<'static>, id: u64) -> Self {
        let is_it = |last: &Reason| {
            let same_site = last.site.is_some_and(|last| ptr::eq(last, site));
            same_site && matches!(last.by, Some(By::Number(last)) if last == id)
        };
        let make =
            || Arc::new(Reason { message: None, by: Some(By::Number(id)), site: Some(site) });
        // While the thread ends, the thread-local is gone.
        let last = LAST.try_with(Cell::take).ok().flatten();
        let reason = last.filter(|last| is_it(last)).unwrap_or_else(make);
        let _ = LAST.try_with(|last| last.set(Some(Arc::clone(&reason))));
        Self(Some(reason))
    }

    /// Adds the place of the call that asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::Location;
    /// use asyncio_loop::CancelReason;
    ///
    /// let here = Location::caller();
    /// assert_eq!(CancelReason::default().at(here).site(), Some(here));
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn at(mut self, site: &'static Location<'static>) -> Self {
        Arc::make_mut(self.0.get_or_insert_default()).site = Some(site);
        self
    }

    /// Adds the task that asked, if one did.
    #[must_use]
    pub(crate) fn by(mut self, id: u64, name: Option<&str>) -> Self {
        let by = name.map_or(By::Number(id), |name| By::Name(name.into()));
        Arc::make_mut(self.0.get_or_insert_default()).by = Some(by);
        self
    }

    /// The message, if one was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::CancelReason;
    ///
    /// assert_eq!(CancelReason::default().message(), None);
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.0.as_ref()?.message.as_deref()
    }

    /// The name of the task that asked, if a task did.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use std::panic::Location;
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let reason = EventLoop::new()?.run_until_complete(async {
    ///     let this = running_loop().current_task().unwrap();
    ///     this.set_name("watchdog");
    ///     this.reason_to_cancel(None, Location::caller())
    /// })?;
    /// assert_eq!(reason.asked_by().as_deref(), Some("watchdog"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn asked_by(&self) -> Option<String> {
        match self.0.as_ref()?.by.as_ref()? {
            By::Number(id) => Some(format!("Task-{id}")),
            By::Name(name) => Some(name.to_string()),
        }
    }

    /// The place of the call that asked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::CancelReason;
    ///
    /// assert_eq!(CancelReason::new("somewhere").site(), None);
    /// ```
    #[must_use]
    pub fn site(&self) -> Option<&'static Location<'static>> {
        self.0.as_ref()?.site
    }
}

impl fmt::Display for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "cancelled: {message}"),
            None => f.write_str("cancelled"),
        }
    }
}

impl fmt::Debug for CancelReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelReason")
            .field("message", &self.message())
            .field("asked_by", &self.asked_by())
            .field("site", &self.site())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_again_in_the_same_place_shares_its_reason() {
        let (here, there) = (Location::caller(), {
            #[track_caller]
            fn there() -> &'static Location<'static> {
                Location::caller()
            }
            there()
        });
        let shared = |a: &CancelReason, b: &CancelReason| {
            Arc::ptr_eq(a.0.as_ref().unwrap(), b.0.as_ref().unwrap())
        };
        let first = CancelReason::at_by(here, 1);
        assert!(shared(&first, &CancelReason::at_by(here, 1)));
        for other in [CancelReason::at_by(here, 2), CancelReason::at_by(there, 1)] {
            assert_ne!(first, other);
        }
        assert_eq!(first, CancelReason::at_by(here, 1));
        assert_eq!(first, CancelReason::default().at(here).by(1, None));
        assert_eq!(first.clone().at(there).site(), Some(there));
        assert_eq!(first.site(), Some(here), "a shared one is not changed");
    }
}
