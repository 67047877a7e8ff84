//! A reference to a task of any output type.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::extra::Extra;
use super::header::TaskPtr;
use super::name::TaskName;
use crate::cancel_reason::CancelReason;
use crate::context::{Context as Variables, ContextSlot};
use crate::kernel::header::{
    CANCELLED, DONE, ENDING, PANICKED, RUNNING, RunnableRef, SCHEDULED, TASK,
};
use crate::kernel::waits_for::WaitsFor;
use crate::kernel::waker::LoopWaker;

/// A reference to a task of any output type.
///
/// # Examples
///
/// ```
/// # use asyncio_loop::machinery::TaskControl;
/// use asyncio_loop::{EventLoop, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
/// let task = raw.task().clone();
/// drop(raw);
/// assert!(!task.is_done(), "the loop owns it");
/// task.request_cancel();
/// event_loop.run_until_complete(async {})?;
/// assert!(task.is_cancelled());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct TaskRef(RunnableRef);

impl TaskRef {
    /// # Safety
    ///
    /// `runnable` is a task.
    pub(super) unsafe fn from_raw(runnable: RunnableRef) -> Self {
        Self(runnable)
    }

    pub(in crate::kernel) fn share(task: TaskPtr) -> Self {
        Self(RunnableRef::share(task.get()))
    }

    /// The task, or the callback if it is none.
    pub(crate) fn from_runnable(runnable: RunnableRef) -> Result<Self, RunnableRef> {
        if runnable.header().has(TASK) { Ok(Self(runnable)) } else { Err(runnable) }
    }

    pub(crate) fn into_runnable(self) -> RunnableRef {
        self.0
    }

    pub(crate) fn runnable(&self) -> &RunnableRef {
        &self.0
    }

    #[inline]
    pub(in crate::kernel) fn ptr(&self) -> TaskPtr {
        // SAFETY: a `TaskRef` is made of tasks only.
        unsafe { TaskPtr::new(self.0.get()) }
    }

    /// Runs `f`, which calls no code of a user, with the rare parts, which are made if they are
    /// missing.
    pub(super) fn with_extra<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        self.ptr().with_extra(|extra| f(extra.get_or_insert()))
    }

    /// Runs `f`, which calls no code of a user, with the rare parts, if there are any.
    pub(super) fn if_extra<R>(&self, f: impl FnOnce(&mut Extra) -> Option<R>) -> Option<R> {
        self.ptr().with_extra(|extra| extra.get_mut().and_then(f))
    }

    /// The task's number: unique in the process, and rising on each thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let first = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let second = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(first.task().id() < second.task().id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.ptr().id
    }

    /// The task's given name, or `Task-N` with its number.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(raw.task().name(), format!("Task-{}", raw.task().id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> TaskName {
        match self.if_extra(|extra| extra.name.clone()) {
            Some(name) => TaskName::new(name),
            None => TaskName::new(format!("Task-{}", self.id())),
        }
    }

    /// [`name`](Self::name), as a text of its own.
    pub(crate) fn name_text(&self) -> String {
        let given = self.if_extra(|extra| extra.name.as_deref().map(str::to_owned));
        given.unwrap_or_else(|| format!("Task-{}", self.id()))
    }

    /// Changes the task's name.
    ///
    /// To name a task where it is made, write `create_task(future).named("name")`, or use
    /// [`TaskOptions::name`](crate::TaskOptions::name).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let main = async {
    ///     let task = running_loop().current_task().unwrap();
    ///     task.set_name("main");
    ///     task.name()
    /// };
    /// assert_eq!(EventLoop::new()?.run_until_complete(main)?, "main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_name(&self, name: impl AsRef<str>) {
        let name = Some(Rc::from(name.as_ref()));
        self.record_name(name.as_deref());
        let scheduler = self.ptr().get().scheduler();
        scheduler.renaming(|| self.with_extra(|extra| extra.name = name));
    }

    /// The place where the task was made.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(raw.task().site().line() > 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.ptr().site()
    }

    /// The Rust type of the task's future.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::Ready;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::ready(1), TaskOptions::new())?;
    /// assert_eq!(raw.task().type_name(), std::any::type_name::<Ready<i32>>());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.ptr().type_name()
    }

    /// The context that the task runs in: its own copy, or the context that it was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions, context_var};
    ///
    /// context_var! { static STEP: u32 = 0; }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { drop(STEP.set(1)) }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(raw.task().context().run(|| STEP.get()), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn context(&self) -> Variables {
        // The slot of a task that is being stepped is empty. An eager child may be on top of it,
        // so it has to be the innermost one.
        if self.ptr().has(RUNNING) {
            ContextSlot::current()
        } else {
            self.ptr().context.to_context()
        }
    }

    /// Whether the task has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(!raw.task().is_done());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ptr().has(DONE)
    }

    /// Whether the task has ended by a cancellation.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_cancel();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.ptr().has(CANCELLED)
    }

    /// Whether the task was asked to end and has not ended yet.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_cancel();
    /// assert!(raw.task().is_ending() && !raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ptr().has(ENDING)
    }

    /// Whether the task has ended by a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { panic!("no luck") }, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_panicked());
    /// assert!(!raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.ptr().has(PANICKED)
    }

    /// Whether the task is being polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, running_loop};
    ///
    /// let this = EventLoop::new()?.run_until_complete(async {
    ///     let this = running_loop().current_task().unwrap();
    ///     assert!(this.is_running());
    ///     this
    /// })?;
    /// assert!(!this.is_running());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ptr().has(RUNNING)
    }

    /// Whether the task is in the ready queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert!(raw.task().is_scheduled());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(!raw.task().is_scheduled(), "it waits");
    /// raw.task().wake();
    /// assert!(raw.task().is_scheduled());
    /// # raw.task().request_cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.ptr().has(SCHEDULED)
    }

    /// What the task waits for, if it is blocked and its future has noted that.
    ///
    /// If the task waits for several futures at once, this is the last one that it polled.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, TaskOptions, WaitsFor};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let blocked = poll_fn(|cx| (WaitsFor::Signal.note(cx), Poll::<()>::Pending).1);
    /// let raw = event_loop.spawn(blocked, TaskOptions::new())?;
    /// assert_eq!(raw.task().waits_for(), None, "it has not started");
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(raw.task().waits_for(), Some(WaitsFor::Signal));
    /// # raw.task().request_cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn waits_for(&self) -> Option<WaitsFor> {
        let flags = self.ptr().flags.get();
        let is_blocked = flags & (DONE | RUNNING | SCHEDULED) == 0;
        is_blocked.then(|| WaitsFor::of_flags(flags)).flatten()
    }

    /// The reason of the last cancel request.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_loop::machinery::TaskControl;
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert_eq!(raw.task().cancel_reason(), None);
    /// raw.task().add_request(CancelReason::new("enough"));
    /// assert_eq!(raw.task().cancel_reason().unwrap().message(), Some("enough"));
    /// # raw.task().request_cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.ptr().with_extra(|extra| extra.reason())
    }

    /// Wakes the task, as its waker does.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let mut polls = 0;
    /// let second_poll = poll_fn(move |_| {
    ///     polls += 1;
    ///     if polls < 2 { Poll::Pending } else { Poll::Ready(()) }
    /// });
    /// let raw = event_loop.spawn(second_poll, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert!(!raw.task().is_done());
    /// raw.task().wake();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    pub fn wake(&self) {
        self.0.schedule();
    }
}

impl LoopWaker {
    /// The task that this wakes, if it is a task of this project.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, LoopWaker, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(poll_fn(|cx| {
    ///     let task = LoopWaker::from_context(cx).task();
    ///     assert_eq!(task, running_loop().current_task());
    ///     Poll::Ready(())
    /// }))?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn task(&self) -> Option<TaskRef> {
        TaskRef::from_runnable(self.runnable()?.clone()).ok()
    }
}

impl fmt::Debug for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.ptr().flags.get();
        let state = match flags {
            _ if flags & CANCELLED != 0 => "cancelled",
            _ if flags & PANICKED != 0 => "panicked",
            _ if flags & DONE != 0 => "finished",
            _ if flags & ENDING != 0 => "cancelling",
            _ if flags & RUNNING != 0 => "running",
            _ if flags & SCHEDULED != 0 => "ready",
            _ => "pending",
        };
        write!(f, "<Task {:?} {state}", self.name())?;
        match (self.ptr().awaited().map(Self::share), self.waits_for()) {
            (Some(task), _) => write!(f, ", waits for {:?},", task.name())?,
            (None, Some(wait)) => write!(f, ", waits for {wait},")?,
            (None, None) => {}
        }
        write!(f, " created at {}>", self.site())
    }
}
