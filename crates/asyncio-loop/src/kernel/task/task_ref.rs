//! A task to look at, name, wake and end, whatever it returns.

use std::fmt;
use std::panic::Location;
use std::rc::Rc;

use super::extra::Extra;
use super::header::TaskPtr;
use super::supervisor::Supervisor;
use crate::cancel_reason::CancelReason;
use crate::context::{Context as Variables, ContextSlot};
use crate::kernel::callback::CallbackRef;
use crate::kernel::header::{
    CANCELLED, CHILD, DONE, ENDING, OBSERVED, PANICKED, RUNNING, RunnableRef, SCHEDULED,
    SUPERVISED, TASK,
};
use crate::kernel::waits_for::WaitsFor;
use crate::kernel::waker::LoopWaker;

/// A task, whatever it returns: to look at, name, wake and end it.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, TaskOptions};
///
/// let event_loop = EventLoop::new()?;
/// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
/// let task = raw.task().clone();
/// drop(raw);
/// assert!(!task.is_done(), "the loop owns it");
/// task.request_end();
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

    /// The name it was given, or `Task-N` with its number.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert_eq!(*raw.task().name(), format!("Task-{}", raw.task().id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> Rc<str> {
        self.if_extra(|extra| extra.name.clone())
            .unwrap_or_else(|| format!("Task-{}", self.id()).into())
    }

    /// Gives it another name.
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
    /// assert_eq!(&*EventLoop::new()?.run_until_complete(main)?, "main");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_name(&self, name: &str) {
        let name = Some(Rc::from(name));
        self.with_extra(|extra| extra.name = name);
    }

    /// Where it was made.
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
        self.ptr().site
    }

    /// The Rust type of its future.
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
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.ptr().type_name()
    }

    /// The context it runs in: its own copy, unless it was made in a given one.
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

    /// Whether it has ended.
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

    /// Whether it has ended without returning and without a panic.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.ptr().has(CANCELLED)
    }

    /// Whether it was asked to end and has not yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// assert!(raw.task().is_ending() && !raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ptr().has(ENDING)
    }

    /// Whether it has ended by a panic.
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
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        self.ptr().has(PANICKED)
    }

    /// Whether it is one of [`Children`](crate::Children), which their owner steps.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Children, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let children = Children::new(&event_loop.handle_to_self());
    /// let child = children.spawn(async {}, TaskOptions::new());
    /// let other = event_loop.spawn(async {}, TaskOptions::new())?;
    /// assert!(child.task().is_child() && !other.task().is_child());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_child(&self) -> bool {
        self.ptr().has(CHILD)
    }

    /// Whether it is being stepped.
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
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.ptr().has(RUNNING)
    }

    /// Whether it stands in line to be stepped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert!(raw.task().is_scheduled());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(!raw.task().is_scheduled(), "it waits");
    /// raw.task().wake();
    /// assert!(raw.task().is_scheduled());
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_scheduled(&self) -> bool {
        self.ptr().has(SCHEDULED)
    }

    /// What it waits for, if it is blocked and has said so.
    ///
    /// Where it waits for several things at once, the last one that it looked at.
    ///
    /// # Examples
    ///
    /// ```
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
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn waits_for(&self) -> Option<WaitsFor> {
        let flags = self.ptr().flags.get();
        let is_blocked = flags & (DONE | RUNNING | SCHEDULED) == 0;
        is_blocked.then(|| WaitsFor::of_flags(flags)).flatten()
    }

    /// The unfinished task that it awaits outside of every frame.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::task::Poll;
    /// use asyncio_loop::{EventLoop, Join, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// let task = raw.task().clone();
    /// let mut raw = raw;
    /// let awaiter = std::future::poll_fn(move |cx| match raw.poll_linked(cx) {
    ///     Join::Ready { .. } => Poll::Ready(()),
    ///     Join::Linked | Join::Noted => Poll::Pending,
    /// });
    /// let awaiter = event_loop.spawn(awaiter, TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(awaiter.task().awaited(), Some(task.clone()));
    /// task.request_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert_eq!(awaiter.task().awaited(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn awaited(&self) -> Option<Self> {
        // Promise 10: not DONE, so alive.
        self.ptr().awaiting.get().map(Self::share)
    }

    /// Counts a request to end, which says this about itself.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// let task = raw.task();
    /// task.add_request(CancelReason::new("too slow"));
    /// task.add_request(CancelReason::new("enough"));
    /// assert_eq!(task.requests(), 2);
    /// assert_eq!(task.cancel_reason(), Some(CancelReason::new("enough")));
    /// assert_eq!(task.remove_request(), 1);
    /// assert!(!task.is_ending(), "counting does not end it");
    /// # task.request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_request(&self, reason: CancelReason) {
        let old = self.ptr().with_extra(|extra| extra.add_request(reason));
        drop(old);
    }

    /// Counts one request less; returns how many are left.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// raw.task().add_request(CancelReason::default());
    /// assert_eq!(raw.task().remove_request(), 0);
    /// assert_eq!(raw.task().remove_request(), 0, "there is none to take back");
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_request(&self) -> usize {
        if self.requests() == 0 {
            return 0;
        }
        self.with_extra(|extra| {
            extra.requests -= 1;
            extra.requests
        })
    }

    /// How often it was asked to end, less what was taken back.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert_eq!(raw.task().requests(), 0);
    /// raw.task().add_request(CancelReason::default());
    /// assert_eq!(raw.task().requests(), 1);
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn requests(&self) -> usize {
        self.ptr().with_extra(|extra| extra.requests())
    }

    /// What the last request to end said.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert_eq!(raw.task().cancel_reason(), None);
    /// raw.task().add_request(CancelReason::new("enough"));
    /// assert_eq!(raw.task().cancel_reason().unwrap().message(), Some("enough"));
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn cancel_reason(&self) -> Option<CancelReason> {
        self.ptr().with_extra(|extra| extra.reason())
    }

    /// Sets what is said when it ends cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{CancelReason, EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// raw.task().set_cancel_reason(CancelReason::new("enough"));
    /// assert_eq!(raw.task().requests(), 0, "it is not counted");
    /// assert_eq!(raw.task().cancel_reason().unwrap().message(), Some("enough"));
    /// # raw.task().request_end();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_cancel_reason(&self, reason: CancelReason) {
        let old = self.with_extra(|extra| extra.reason.replace(reason));
        drop(old);
    }

    /// What is said by a request that this task makes there, perhaps with a message.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::Location;
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let options = TaskOptions::new().name("watchdog");
    /// let raw = event_loop.spawn(async {}, options)?;
    /// let reason = raw.task().reason_to_cancel(Some("too slow"), Location::caller());
    /// assert_eq!(reason.message(), Some("too slow"));
    /// assert_eq!(reason.asked_by().as_deref(), Some("watchdog"));
    /// event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn reason_to_cancel(
        &self,
        message: Option<&str>,
        site: &'static Location<'static>,
    ) -> CancelReason {
        let name = self.if_extra(|extra| extra.name.clone());
        if message.is_none() && name.is_none() {
            return CancelReason::at_by(site, self.id());
        }
        let reason = message.map(CancelReason::new).unwrap_or_default();
        reason.at(site).by(self.id(), name.as_deref())
    }

    /// Has it stepped again, as its waker would.
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
    pub fn wake(&self) {
        self.0.schedule();
    }

    /// Asks it to end: at its next step (in this one, if it is being stepped) its future is
    /// dropped, unless its [`Supervisor`] decides otherwise. False if it has ended already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// assert!(raw.task().request_end());
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// assert!(!raw.task().request_end(), "it has ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_end(&self) -> bool {
        if self.is_done() {
            return false;
        }
        self.ptr().set(ENDING);
        if !self.is_running() {
            self.0.schedule();
        }
        true
    }

    /// Notes that it was asked to end, for its [`Supervisor`] to look at when it is stepped next.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(std::future::pending::<()>(), TaskOptions::new())?;
    /// event_loop.run_until_complete(async {})?;
    /// raw.task().mark_ending();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_ending() && !raw.task().is_done(), "nobody has woken it");
    /// raw.task().wake();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn mark_ending(&self) {
        if !self.is_done() {
            self.ptr().set(ENDING);
        }
    }

    /// Clears the request: it was taken back, or answered.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// raw.task().request_end();
    /// raw.task().withdraw_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done() && !raw.task().is_cancelled());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn withdraw_end(&self) {
        self.ptr().clear(ENDING);
    }

    /// Puts a supervisor in charge, or nobody. Returns the one before.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::any::Any;
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, Supervisor, TaskOptions, Verdict};
    ///
    /// struct Lenient;
    ///
    /// impl Supervisor for Lenient {
    ///     fn before_poll(self: Rc<Self>) -> Verdict {
    ///         Verdict::Continue
    ///     }
    ///     // ...
    /// #     fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
    /// #         Verdict::Continue
    /// #     }
    /// #     fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
    /// #         self
    /// #     }
    /// }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { "value" }, TaskOptions::new())?;
    /// assert!(raw.task().set_supervisor(Some(Rc::new(Lenient))).is_none());
    /// raw.task().request_end();
    /// event_loop.run_until_complete(async {})?;
    /// assert!(raw.task().is_done() && !raw.task().is_cancelled(), "its value wins");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_supervisor(&self, new: Option<Rc<dyn Supervisor>>) -> Option<Rc<dyn Supervisor>> {
        match &new {
            _ if self.is_done() => return None,
            Some(_) => self.ptr().set(SUPERVISED),
            None => self.ptr().clear(SUPERVISED),
        }
        self.with_extra(|extra| std::mem::replace(&mut extra.supervisor, new))
    }

    /// The supervisor in charge.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::any::Any;
    /// use std::rc::Rc;
    /// use asyncio_loop::{EventLoop, Supervisor, TaskOptions, Verdict};
    ///
    /// struct Lenient;
    ///
    /// impl Supervisor for Lenient {
    ///     fn before_poll(self: Rc<Self>) -> Verdict {
    ///         Verdict::Continue
    ///     }
    ///     // ...
    /// #     fn after_poll(self: Rc<Self>, _ready: bool) -> Verdict {
    /// #         Verdict::Continue
    /// #     }
    /// #     fn into_any(self: Rc<Self>) -> Rc<dyn Any> {
    /// #         self
    /// #     }
    /// }
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async { "value" }, TaskOptions::new())?;
    /// assert!(raw.task().supervisor().is_none());
    /// raw.task().set_supervisor(Some(Rc::new(Lenient)));
    /// let supervisor = raw.task().supervisor().unwrap();
    /// assert!(supervisor.into_any().downcast::<Lenient>().is_ok());
    /// # event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn supervisor(&self) -> Option<Rc<dyn Supervisor>> {
        if self.ptr().has(SUPERVISED) {
            self.if_extra(|extra| extra.supervisor.clone())
        } else {
            None
        }
    }

    /// Schedules `callback` when the task ends, or now if it has.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let this = event_loop.handle_to_self();
    /// raw.task().on_done(event_loop.callback(move || this.stop()));
    /// event_loop.run_forever()?;
    /// assert!(raw.task().is_done());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_done(&self, callback: CallbackRef) {
        if self.is_done() {
            callback.schedule();
        } else {
            self.with_extra(|extra| extra.on_done.push(callback));
        }
    }

    /// Says that somebody knows how the task has ended: its panic need not be reported.
    #[doc(hidden)]
    pub fn mark_seen(&self) {
        if self.is_done() {
            self.ptr().set(OBSERVED);
        }
    }

    /// Takes back callbacks that were given to [`on_done`](Self::on_done) and are not scheduled
    /// yet; returns how many there were.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, TaskOptions};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let raw = event_loop.spawn(async {}, TaskOptions::new())?;
    /// let callback = event_loop.callback(|| unreachable!("removed"));
    /// raw.task().on_done(callback.clone());
    /// assert_eq!(raw.task().remove_on_done(&callback), 1);
    /// event_loop.run_until_complete(async {})?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remove_on_done(&self, callback: &CallbackRef) -> usize {
        self.if_extra(|extra| Some(extra.remove_on_done(callback))).map_or(0, |gone| gone.len())
    }
}

impl LoopWaker {
    /// The task that is woken, if it is one of ours.
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
        match (self.awaited(), self.waits_for()) {
            (Some(task), _) => write!(f, ", waits for {:?},", task.name())?,
            (None, Some(wait)) => write!(f, ", waits for {wait},")?,
            (None, None) => {}
        }
        write!(f, " created at {}>", self.site())
    }
}
