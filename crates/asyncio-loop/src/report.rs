//! Reports of failures that are not awaited, and the default exception handler.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::inspect::StuckStep;
pub(crate) use crate::kernel::caught;
use crate::kernel::{TaskRef, catch, drop_payload, panic_message};

/// A report to the exception handler.
///
/// # Examples
///
/// ```
/// use asyncio_loop::ErrorContext;
///
/// let context = ErrorContext::new("cannot refill the cache").field("key", "user:7");
/// assert_eq!(context.to_string(), "cannot refill the cache (key: user:7)");
/// ```
#[derive(Debug)]
pub struct ErrorContext {
    message: String,
    error: Option<Box<dyn Error>>,
    panic: Option<String>,
    task: Option<TaskRef>,
    callback: Option<&'static str>,
    fields: Vec<(&'static str, String)>,
}

impl ErrorContext {
    /// Makes a context with a message of one line.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("cannot refill the cache");
    /// assert_eq!(context.message(), "cannot refill the cache");
    /// ```
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error: None,
            panic: None,
            task: None,
            callback: None,
            fields: Vec::new(),
        }
    }

    /// Adds the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let error = std::io::Error::other("no luck");
    /// let context = ErrorContext::new("cannot accept").with_error(error);
    /// assert_eq!(context.to_string(), "cannot accept: no luck");
    /// ```
    #[must_use]
    pub fn with_error(mut self, error: impl Into<Box<dyn Error>>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Adds the text of a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let payload = std::panic::catch_unwind(|| panic!("no luck")).unwrap_err();
    /// let context = ErrorContext::new("a plug-in failed").with_panic(&*payload);
    /// assert_eq!(context.panic(), Some("no luck"));
    /// ```
    #[must_use]
    pub fn with_panic(mut self, payload: &(dyn Any + Send)) -> Self {
        self.panic = Some(panic_message(payload).to_owned());
        self
    }

    /// Adds the task in which it happened.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{ErrorContext, EventLoop, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let task = running_loop().current_task().unwrap();
    ///     let context = ErrorContext::new("late").with_task(task.clone());
    ///     assert_eq!(context.task(), Some(&task));
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_task(mut self, task: TaskRef) -> Self {
        self.task = Some(task);
        self
    }

    pub(crate) fn with_optional_task(mut self, task: Option<TaskRef>) -> Self {
        self.task = task;
        self
    }

    /// Adds the callback in which it happened, by the Rust type of its closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("slow").with_callback("main::tick");
    /// assert_eq!(context.callback(), Some("main::tick"));
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn with_callback(mut self, type_name: &'static str) -> Self {
        self.callback = Some(type_name);
        self
    }

    /// Adds any other property, such as the peer's address or the transport.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("reset").field("peer", "10.0.0.7:50000");
    /// assert_eq!(context.to_string(), "reset (peer: 10.0.0.7:50000)");
    /// ```
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// The message.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// assert_eq!(ErrorContext::new("reset").field("peer", 7).message(), "reset");
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The error, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("cannot accept").with_error("no luck");
    /// assert_eq!(context.error().unwrap().to_string(), "no luck");
    /// ```
    #[must_use]
    pub fn error(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_deref()
    }

    /// The text of the panic, if it was one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// assert_eq!(ErrorContext::new("reset").panic(), None);
    /// ```
    #[must_use]
    pub fn panic(&self) -> Option<&str> {
        self.panic.as_deref()
    }

    /// The task in which it happened.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// assert_eq!(ErrorContext::new("reset").task(), None);
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<&TaskRef> {
        self.task.as_ref()
    }

    /// The callback in which it happened.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// assert_eq!(ErrorContext::new("reset").callback(), None);
    /// ```
    #[must_use]
    pub fn callback(&self) -> Option<&'static str> {
        self.callback
    }

    /// The other properties, in the order in which they were added.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("reset").field("peer", 7).field("bytes", 100);
    /// assert_eq!(context.fields().collect::<Vec<_>>(), [("peer", "7"), ("bytes", "100")]);
    /// ```
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.fields.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

impl fmt::Display for ErrorContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(error) = &self.error {
            write!(f, ": {error}")?;
        }
        if let Some(panic) = &self.panic {
            write!(f, ": panicked: {panic}")?;
        }
        let mut facts: Vec<String> = Vec::new();
        facts.extend(self.task.as_ref().map(|task| format!("task: {task:?}")));
        facts.extend(self.callback.map(|callback| format!("callback: {callback}")));
        facts.extend(self.fields.iter().map(|(name, value)| format!("{name}: {value}")));
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

/// The default exception handler: it writes one error record of [`log`] with the target `asyncio`,
/// or, in a program without a logger, a line on standard error.
pub(crate) fn default_handler(context: &ErrorContext) {
    write_record(log::Level::Error, &shown(context));
}

/// The text of a context, or its message alone if the error in it panics when it is shown.
pub(crate) fn shown(context: &ErrorContext) -> String {
    catch(|| context.to_string()).unwrap_or_else(|payload| {
        drop_payload(payload);
        context.message.clone()
    })
}

fn write_record(level: log::Level, text: &str) {
    if log::max_level() == log::LevelFilter::Off {
        eprintln!("asyncio: {text}");
    } else {
        log::log!(target: "asyncio", level, "{text}");
    }
}

/// The default handler; if the program's logger panics too, a plain line.
pub(crate) fn last_resort(context: &ErrorContext) {
    quietly(
        || default_handler(context),
        || {
            eprintln!("asyncio: the logger panicked while reporting: {}", context.message());
        },
    );
}

/// Tries `f`, and if it panics `otherwise`, whose own panic is dropped.
pub(crate) fn quietly(f: impl FnOnce(), otherwise: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        drop_payload(payload);
        if let Err(payload) = catch(otherwise) {
            drop_payload(payload);
        }
    }
}

/// Reports a callback or a poll that took long, in debug mode.
#[cold]
pub(crate) fn slow_run(what: &str, took: Duration) {
    let text = format!("executing {what} took {:.3} seconds", took.as_secs_f64());
    quietly(|| write_record(log::Level::Warn, &text), || ());
}

/// Reports a step that blocks its loop.
pub(crate) fn stuck(step: &StuckStep) {
    quietly(|| write_record(log::Level::Warn, &step.to_string()), || ());
}
