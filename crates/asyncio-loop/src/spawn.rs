//! The options of a new task.

use std::panic::Location;
use std::rc::Rc;

use crate::context::{Context, ContextSlot};
use crate::kernel::Spawn;

/// Options of a new task.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let task = event_loop.spawn(async { 7 }, TaskOptions::new().name("seven"))?;
/// assert_eq!(&*task.task().name(), "seven");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TaskOptions {
    pub(crate) name: Option<Rc<str>>,
    pub(crate) context: Option<Context>,
    pub(crate) site: &'static Location<'static>,
    pub(crate) eager: Option<bool>,
    pub(crate) hidden: bool,
}

impl TaskOptions {
    /// The default options: a generated name, a copy of the current context, a start in the next
    /// turn, and this call as the place where the task is made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::TaskOptions;
    ///
    /// assert_eq!(TaskOptions::new().get_name(), None);
    /// ```
    #[inline]
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        let site = Location::caller();
        Self { name: None, context: None, site, eager: None, hidden: false }
    }

    /// Gives the task a name.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::TaskOptions;
    ///
    /// assert_eq!(TaskOptions::new().name("worker").get_name(), Some("worker"));
    /// ```
    #[must_use]
    pub fn name(mut self, name: impl AsRef<str>) -> Self {
        self.name = Some(Rc::from(name.as_ref()));
        self
    }

    /// Runs the task in this context itself instead of a copy of the current one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, EventLoop, TaskOptions, context_var};
    ///
    /// context_var! { static STEP: u32 = 0; }
    ///
    /// let (event_loop, context) = (EventLoop::new()?, Context::new());
    /// event_loop.run_task(async { drop(STEP.set(1)) }, TaskOptions::new().context(&context))?;
    /// assert_eq!(context.run(|| STEP.get()), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn context(mut self, context: &Context) -> Self {
        self.context = Some(context.clone());
        self
    }

    /// Sets whether the task starts inside the call that makes it, and runs up to its first wait.
    /// This overrides the loop's task factory. While the loop does not run, the task waits for the
    /// next run.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.run_until_complete(async {
    ///     let options = TaskOptions::new().eager_start(true);
    ///     let task = asyncio_loop::running_loop().spawn(async {}, options);
    ///     assert!(task.unwrap().task().is_done());
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn eager_start(mut self, eager: bool) -> Self {
        self.eager = Some(eager);
        self
    }

    /// Sets the place where the task was made, for functions that make tasks for their callers.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::Location;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let (event_loop, here) = (EventLoop::new()?, Location::caller());
    /// let task = event_loop.spawn(async {}, TaskOptions::new().site(here))?;
    /// assert_eq!(task.task().site(), here);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn site(mut self, site: &'static Location<'static>) -> Self {
        self.site = site;
        self
    }

    /// Makes a hidden task: it is not in `all_tasks`, and never the current task.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.spawn(async {}, TaskOptions::new().hidden())?;
    /// assert!(event_loop.all_tasks().is_empty());
    /// # drop(task);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn hidden(mut self) -> Self {
        self.hidden = true;
        self
    }

    /// The name that was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::TaskOptions;
    ///
    /// assert_eq!(TaskOptions::new().name("worker").get_name(), Some("worker"));
    /// ```
    #[must_use]
    pub fn get_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The context that was set.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Context, TaskOptions};
    ///
    /// assert!(TaskOptions::new().get_context().is_none());
    /// assert!(TaskOptions::new().context(&Context::new()).get_context().is_some());
    /// ```
    #[must_use]
    pub fn get_context(&self) -> Option<&Context> {
        self.context.as_ref()
    }

    /// Whether an eager start was requested or refused; `None` if neither.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::TaskOptions;
    ///
    /// assert_eq!(TaskOptions::new().get_eager_start(), None);
    /// assert_eq!(TaskOptions::new().eager_start(false).get_eager_start(), Some(false));
    /// ```
    #[must_use]
    pub fn get_eager_start(&self) -> Option<bool> {
        self.eager
    }

    /// Takes the options that the kernel needs, without moving the whole.
    /// `may_start` is asked about an eager start.
    ///
    /// Always inlined: a copy of what was just written in smaller pieces makes the processor wait.
    #[inline(always)]
    pub(crate) fn take_spawn(&mut self, may_start: impl FnOnce() -> bool) -> Spawn {
        let context = match &self.context {
            Some(context) => ContextSlot::explicit(context),
            None => ContextSlot::copy_current(),
        };
        Spawn {
            name: self.name.take(),
            context,
            site: self.site,
            hidden: self.hidden,
            eager: self.eager.unwrap_or(false) && may_start(),
        }
    }
}

impl Default for TaskOptions {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}
