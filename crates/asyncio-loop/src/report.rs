//! Where failures go that nobody awaits: the exception handler and its default.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use crate::event_loop::LoopRef;
use crate::kernel::TaskRef;
use crate::running::try_running_loop;

/// What an exception handler is told.
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
    /// A context that says what happened, in one line.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// assert_eq!(ErrorContext::new("cannot refill the cache").message(), "cannot refill the cache");
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
    /// let context = ErrorContext::new("cannot accept").with_error(std::io::Error::other("no luck"));
    /// assert_eq!(context.to_string(), "cannot accept: no luck");
    /// ```
    #[must_use]
    pub fn with_error(mut self, error: impl Into<Box<dyn Error>>) -> Self {
        self.error = Some(error.into());
        self
    }

    /// Adds what a panic said.
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

    /// Adds the task that it happened in.
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

    /// Adds the callback that it happened in, by the Rust type of its closure.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ErrorContext;
    ///
    /// let context = ErrorContext::new("slow").with_callback("main::tick");
    /// assert_eq!(context.callback(), Some("main::tick"));
    /// ```
    #[must_use]
    pub fn with_callback(mut self, type_name: &'static str) -> Self {
        self.callback = Some(type_name);
        self
    }

    /// Adds anything else that helps: the peer's address, the transport.
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

    /// What happened.
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

    /// What the panic said, if it was one.
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

    /// The task that it happened in.
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

    /// The callback that it happened in.
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

    /// The other facts, in the order in which they were added.
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

/// What [`LoopRef::set_exception_handler`] takes.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_loop::{EventLoop, ExceptionHandler};
///
/// // Lets the default handler do it, after a look.
/// let handler: ExceptionHandler = Rc::new(|event_loop, context| {
///     assert!(!context.message().is_empty());
///     event_loop.default_exception_handler(context);
/// });
/// let event_loop = EventLoop::new()?;
/// event_loop.set_exception_handler(Some(Rc::clone(&handler)));
/// assert!(Rc::ptr_eq(&event_loop.exception_handler().unwrap(), &handler));
/// # Ok::<(), std::io::Error>(())
/// ```
pub type ExceptionHandler = Rc<dyn Fn(&LoopRef, &ErrorContext)>;

/// The default of the exception handler: one error record of [`log`] with target `asyncio`, or a
/// line on standard error in a program that has no logger at all.
pub(crate) fn default_handler(context: &ErrorContext) {
    write_record(log::Level::Error, &shown(context));
}

/// The text of a context, or its message alone if the error in it panics when it is shown.
fn shown(context: &ErrorContext) -> String {
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

/// Tells the handler, or the default one; nothing that a handler does stops the loop.
pub(crate) fn call_handler(
    handler: Option<ExceptionHandler>,
    event_loop: &LoopRef,
    context: &ErrorContext,
) {
    let Some(handler) = handler else { return last_resort(context) };
    // Moved in, since it may have replaced itself and be dropped here.
    if let Err(payload) = catch(move || handler(event_loop, context)) {
        let second = ErrorContext::new("unhandled panic in the exception handler")
            .with_panic(&*payload)
            .field("while handling", shown(context));
        last_resort(&second);
        drop_payload(payload);
    }
}

/// The default handler; if the program's logger panics too, a plain line.
fn last_resort(context: &ErrorContext) {
    quietly(
        || default_handler(context),
        || {
            eprintln!("asyncio: the logger panicked while reporting: {}", context.message());
        },
    );
}

/// Calls code of a user.
pub(crate) fn catch<R>(f: impl FnOnce() -> R) -> Result<R, Box<dyn Any + Send>> {
    catch_unwind(AssertUnwindSafe(f))
}

/// Calls code of a user; what it panics with is reported as the failure of `what`.
pub(crate) fn caught(what: &'static str, f: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        callback_panicked(what, payload);
    }
}

/// Tries `f`, and if it panics `otherwise`, whose own panic is dropped.
fn quietly(f: impl FnOnce(), otherwise: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        drop_payload(payload);
        if let Err(payload) = catch(otherwise) {
            drop_payload(payload);
        }
    }
}

/// Drops what a panic carried. If that panics in turn, what that one carries is leaked: there is no
/// other end to it.
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(next) = catch(|| drop(payload)) {
        std::mem::forget(next);
    }
}

/// Reports to the running loop, or where none runs by the default handler. Nothing unwinds out of
/// this: the kernel calls it where a cell is half taken apart.
pub(crate) fn report(context: &ErrorContext) {
    match try_running_loop() {
        Ok(event_loop) => event_loop.report(context),
        Err(_) => last_resort(context),
    }
}

/// A callback, or a destructor, panicked. Does not unwind itself.
#[cold]
pub(crate) fn callback_panicked(type_name: &'static str, payload: Box<dyn Any + Send>) {
    let context = ErrorContext::new("unhandled panic in a callback")
        .with_panic(&*payload)
        .with_callback(type_name);
    report(&context);
    drop_payload(payload);
}

/// A task panicked, and nobody is going to look at it. Does not unwind itself.
#[cold]
pub(crate) fn task_panicked(task: &TaskRef, payload: Box<dyn Any + Send>) {
    let context = ErrorContext::new("task panic was never retrieved")
        .with_panic(&*payload)
        .with_task(task.clone());
    report(&context);
    drop_payload(payload);
}

/// A loop was closed with the task unfinished.
#[cold]
pub(crate) fn task_destroyed(task: &TaskRef) {
    report(&ErrorContext::new("task was destroyed but it is pending").with_task(task.clone()));
}

/// A step took long, in debug mode.
#[cold]
pub(crate) fn slow_step(what: &str, took: Duration) {
    let text = format!("executing {what} took {:.3} seconds", took.as_secs_f64());
    quietly(|| write_record(log::Level::Warn, &text), || ());
}

/// What a panic said.
pub(crate) fn panic_message(payload: &(dyn Any + Send)) -> &str {
    if let Some(text) = payload.downcast_ref::<&'static str>() {
        text
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text
    } else {
        "a value that is no text"
    }
}

/// A payload that says the same as another one, which stays where it is.
pub(crate) fn copy_payload(payload: &(dyn Any + Send)) -> Box<dyn Any + Send> {
    Box::new(panic_message(payload).to_owned())
}
