//! [`Event`]: a flag that tasks wait for.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::WaitsFor;

use crate::line::{Line, Signal};

/// A flag that tasks can wait for.
///
/// [`set`](Self::set) wakes every waiting task. While the flag stays set, [`wait`](Self::wait)
/// returns at once.
///
/// # From asyncio
///
/// No difference: setting and clearing in the same turn still wakes the tasks that waited.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Event;
///
/// # futures::executor::block_on(async {
/// let started = Event::new();
/// let waiter = async {
///     started.wait().await;
///     "go"
/// };
/// let starter = async { started.set() };
/// assert_eq!(futures::join!(waiter, starter), ("go", ()));
/// # });
/// ```
#[doc(alias = "Notify")]
pub struct Event {
    set: Cell<bool>,
    line: Line,
}

impl Default for Event {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl Event {
    /// Creates an event that is not set.
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self { set: Cell::new(false), line: Line::new(WaitsFor::Event) }
    }

    /// Sets the flag and wakes every waiting task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// assert!(event.is_set());
    /// ```
    pub fn set(&self) {
        if !self.set.replace(true) {
            self.line.signal();
        }
    }

    /// Clears the flag, so that later calls of [`wait`](Self::wait) wait. Tasks that were woken go
    /// on.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Event;
    /// let event = Event::new();
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// ```
    pub fn clear(&self) {
        self.set.set(false);
    }

    /// Whether the flag is set.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(!asyncio_sync::Event::new().is_set());
    /// ```
    pub fn is_set(&self) -> bool {
        self.set.get()
    }

    /// Waits until the flag is set. If it is set already, this does not suspend.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the event or on other tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Event;
    /// # futures::executor::block_on(async {
    /// let event = Event::new();
    /// event.set();
    /// event.wait().await;
    /// assert!(event.is_set());
    /// # });
    /// ```
    pub fn wait(&self) -> EventWait<'_> {
        EventWait { event: self, signal: Signal::new(&self.line) }
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .field("waiters", &self.line.len())
            .finish()
    }
}

/// The future of [`Event::wait`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct EventWait<'a> {
    event: &'a Event,
    signal: Signal<'a>,
}

impl Future for EventWait<'_> {
    type Output = ();

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // A waiting future was notified if the event was set, even if it was cleared again.
        if !self.signal.is_in_line() && self.event.is_set() {
            return Poll::Ready(());
        }
        self.signal.poll_signal(cx)
    }
}
