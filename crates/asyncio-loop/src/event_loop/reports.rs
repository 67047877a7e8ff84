//! The exception handler, and debug mode.

use std::time::Duration;

use super::LoopRef;
use super::marks::DEBUG;
use crate::report::{self, ErrorContext, ExceptionHandler};

impl LoopRef {
    /// Has failures that nobody awaits reported to `handler`, or to the default one: an error
    /// record of the `log` crate. A closed loop ignores this.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(RefCell::new(String::new()));
    /// let see = Rc::clone(&seen);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, context| {
    ///     see.replace(context.panic().unwrap_or_default().to_owned());
    /// })));
    /// event_loop.call_soon(|| panic!("no luck"));
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(*seen.borrow(), "no luck");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_exception_handler(&self, handler: Option<ExceptionHandler>) {
        if self.is_closed() {
            // It would be kept for nothing, and may keep this very loop.
            return;
        }
        let old = self.0.handler.replace(handler);
        drop(old);
    }

    /// The handler that was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::new()?.exception_handler().is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_exception_handler")]
    #[must_use]
    pub fn exception_handler(&self) -> Option<ExceptionHandler> {
        self.0.handler.borrow().clone()
    }

    /// What happens to a report without a handler: one error-level record.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{ErrorContext, EventLoop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let context = ErrorContext::new("cannot refill the cache");
    /// event_loop.default_exception_handler(&context); // writes one error record
    /// assert_eq!(context.to_string(), "cannot refill the cache");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn default_exception_handler(&self, context: &ErrorContext) {
        report::default_handler(context);
    }

    /// Tells the exception handler, which runs in the context of the task that `context` names.
    ///
    /// A handler that panics is reported in turn, and the loop goes on.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::rc::Rc;
    /// use asyncio_loop::{ErrorContext, EventLoop};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let count = Rc::new(Cell::new(0));
    /// let counter = Rc::clone(&count);
    /// event_loop.set_exception_handler(Some(Rc::new(move |_, _| counter.set(counter.get() + 1))));
    /// event_loop.report(&ErrorContext::new("cannot refill the cache"));
    /// assert_eq!(count.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "call_exception_handler")]
    pub fn report(&self, context: &ErrorContext) {
        let tell = || report::call_handler(self.exception_handler(), self, context);
        // What the task has set helps to tell what it was about.
        let in_task = context.task().map(|task| task.context().try_run(tell));
        if !matches!(in_task, Some(Ok(()))) {
            tell();
        }
    }

    /// Whether debug mode is on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// assert!(EventLoop::builder().debug(true).build()?.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "get_debug")]
    #[must_use]
    pub fn is_debug(&self) -> bool {
        self.0.marks.has(DEBUG)
    }

    /// Turns debug mode on or off: steps that take longer than
    /// [`slow_callback_duration`](Self::slow_callback_duration) are reported by name, and more
    /// checks are made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_debug(true);
    /// assert!(event_loop.is_debug());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_debug(&self, yes: bool) {
        self.0.marks.set(DEBUG, yes);
    }

    /// How long a step may take in debug mode before it is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// assert_eq!(EventLoop::new()?.slow_callback_duration(), Duration::from_millis(100));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn slow_callback_duration(&self) -> Duration {
        self.0.slow_callback.get()
    }

    /// Sets how long a step may take in debug mode before it is reported.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::EventLoop;
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.set_slow_callback_duration(Duration::from_millis(10));
    /// assert_eq!(event_loop.slow_callback_duration(), Duration::from_millis(10));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_slow_callback_duration(&self, duration: Duration) {
        self.0.slow_callback.set(duration);
    }
}
