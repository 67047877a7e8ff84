//! Tasks: futures that the loop runs independently of the code that made them.

use std::fmt::{self, Display};
use std::ops::Deref;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{
    CallbackRef, LoopClosed, LoopRef, Outcome, Panic, RawTask, TaskOptions, TaskRef, running_loop,
};

use crate::cancel::{self, Kind, Link};
use crate::error::JoinError;

/// Makes a task: the running loop polls `future` independently of the caller, from its next turn
/// on.
///
/// The task belongs to the loop, so it goes on if the handle is dropped. It gets a copy of the
/// current context, and a name with its number in the order of creation, unless
/// [`named`](Task::named) gives it another.
///
/// # Panics
///
/// If no loop runs on this thread. See [`TaskLoopExt::create_task`] to make tasks before a run.
///
/// # Cancel safety
///
/// Dropping the handle detaches the task; [`Task::cancel`] ends it.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, run};
///
/// let sum = run(async {
///     let (one, two) = (create_task(async { 1 }), create_task(async { 2 }));
///     one.await.unwrap() + two.await.unwrap()
/// });
/// assert_eq!(sum, 3);
/// ```
#[doc(alias = "ensure_future")]
#[doc(alias = "spawn")]
#[inline]
#[track_caller]
pub fn create_task<F>(future: F) -> Task<F::Output>
where
    F: IntoFuture<IntoFuture: 'static>,
{
    create_task_with(future, TaskOptions::new())
}

/// [`create_task`] with a name, a context or an eager start.
///
/// # Panics
///
/// As [`create_task`].
///
/// # Examples
///
/// ```
/// use asyncio_task::{TaskOptions, create_task_with, current_task, run};
///
/// run(async {
///     let options = TaskOptions::new().name("worker").eager_start(true);
///     let mut task = create_task_with(async { current_task().unwrap().name() }, options);
///     assert_eq!(&*task.try_result().unwrap().unwrap(), "worker");
/// });
/// ```
#[inline]
#[track_caller]
pub fn create_task_with<F>(future: F, options: TaskOptions) -> Task<F::Output>
where
    F: IntoFuture<IntoFuture: 'static>,
{
    // The future goes from call to call, and into no closure or tuple: it is copied once, to its
    // place in the task.
    let event_loop = match asyncio_loop::machinery::with_running(LoopRef::clone) {
        Ok(event_loop) => event_loop,
        Err(error) => panic!("cannot create a task: {error}"),
    };
    match event_loop.spawn(future.into_future(), options) {
        Ok(raw) => Task::new(raw),
        Err(error) => panic!("cannot create a task: {error}"),
    }
}

/// The task that is being polled; `None` inside a plain callback.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, current_task, run};
///
/// run(async {
///     let task = create_task(async { current_task().unwrap().id() });
///     assert_eq!(task.id(), task.await.unwrap());
/// });
/// ```
#[must_use]
#[track_caller]
pub fn current_task() -> Option<TaskRef> {
    match asyncio_loop::machinery::with_running(LoopRef::current_task) {
        Ok(task) => task,
        Err(error) => panic!("{error}"),
    }
}

/// Every unfinished task of the running loop, oldest first, including the calling one.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_task::{all_tasks, create_task, run, sleep};
/// use std::time::Duration;
///
/// run(async {
///     create_task(sleep(Duration::from_secs(3600))).named("clean up hourly");
///     let names: Vec<_> = all_tasks().iter().map(|task| task.name()).collect();
///     assert_eq!(&*names[1], "clean up hourly");
/// });
/// ```
#[must_use]
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    running_loop().all_tasks()
}

/// The handle of a task that the loop runs, by which its outcome is awaited.
///
/// A future of `Result<T, JoinError>`. Dropping the handle detaches the task, which goes on; a
/// panic that was never retrieved is reported to the loop's exception handler.
///
/// The handle dereferences to a [`TaskRef`], which has the task's name, number, context, loop,
/// state and stack.
///
/// The handle is not `Send`. Where `Send` is required, such as in a handler of axum, put the code
/// into `local(async { … })` (feature `send`).
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, run, yield_now};
///
/// run(async {
///     let mut task = create_task(async { "value" });
///     assert!(task.try_result().is_none(), "it has not started");
///     yield_now().await;
///     assert!(task.is_done());
///     assert_eq!(task.await.unwrap(), "value");
/// });
/// ```
#[doc(alias = "JoinHandle")]
pub struct Task<T> {
    raw: RawTask<T>,
    /// The place of this await in the cancel tree of the awaiting task.
    link: Link,
}

impl<T, E: Display> Task<Result<T, E>> {
    /// Makes the loop report an error that the task returns, unless the outcome is taken or looked
    /// at, so that a task that is not awaited does not fail unnoticed. The exception handler gets
    /// the error's text and the place where the task was made.
    ///
    /// [`LoopRef::report_errors`] does this for all tasks of an output type.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run, running_loop, yield_now};
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    ///
    /// run(async {
    ///     let seen = Rc::new(RefCell::new(String::new()));
    ///     let see = Rc::clone(&seen);
    ///     running_loop().set_exception_handler(Some(Rc::new(move |_, context| {
    ///         see.replace(context.to_string());
    ///     })));
    ///     create_task(async { "seven".parse::<u32>() }).report_errors();
    ///     yield_now().await;
    ///     let report = seen.borrow();
    ///     assert!(report.starts_with("task error was never retrieved: invalid digit"));
    /// });
    /// ```
    pub fn report_errors(self) -> Self {
        self.raw.report_errors();
        self
    }
}

impl<T> Task<T> {
    pub(crate) fn new(raw: RawTask<T>) -> Self {
        Self { raw, link: Link::default() }
    }

    /// Gives the task a name, and returns the handle: for a task that is just being made.
    ///
    /// [`TaskRef::set_name`] renames a task that a variable holds. Task hooks, which are told about
    /// a task inside `create_task`, see a name from the beginning if [`TaskOptions::name`] gives
    /// it.
    ///
    /// # From asyncio
    ///
    /// `create_task(coroutine, name="fetch")`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, current_task, run};
    ///
    /// run(async {
    ///     let page = 7;
    ///     let task = create_task(async { current_task().unwrap().name() });
    ///     let task = task.named(format!("fetch page {page}"));
    ///     assert_eq!(&*task.await.unwrap(), "fetch page 7");
    /// });
    /// ```
    pub fn named(self, name: impl AsRef<str>) -> Self {
        self.set_name(name);
        self
    }

    /// Asks the task to end. Returns false if it has ended already.
    ///
    /// In the next turn the future is dropped at the await where it waits, after its handlers have
    /// run, from the inside out: [`catch_cancel`](crate::catch_cancel()),
    /// [`finally`](crate::finally()), groups, and tasks that it awaits, which are cancelled first.
    /// A task that was never polled runs none of its code; a task that cancels itself goes on to
    /// its next wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     let task = create_task(std::future::pending::<()>());
    ///     assert!(task.cancel());
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        self.raw.task().cancel()
    }

    /// [`cancel`](Self::cancel) with a message, for the handlers that are asked and for the awaiter
    /// of the task.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     let task = create_task(std::future::pending::<()>());
    ///     task.cancel_with("too slow");
    ///     assert_eq!(task.await.unwrap_err().to_string(), "task was cancelled: too slow");
    /// });
    /// ```
    #[track_caller]
    pub fn cancel_with(&self, message: &str) -> bool {
        self.raw.task().cancel_with(message)
    }

    /// The number of cancel requests, less those that were taken back.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     let task = create_task(std::future::pending::<()>());
    ///     assert_eq!(task.cancelling(), 0);
    ///     task.cancel();
    ///     task.cancel();
    ///     assert_eq!(task.cancelling(), 2);
    /// });
    /// ```
    #[must_use]
    pub fn cancelling(&self) -> usize {
        self.raw.task().cancelling()
    }

    /// Takes one request back, and returns the number of those left. When none is left, a request
    /// that was not delivered yet is withdrawn.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     let task = create_task(async { "alive" });
    ///     task.cancel();
    ///     assert_eq!(task.uncancel(), 0);
    ///     assert_eq!(task.await.unwrap(), "alive");
    /// });
    /// ```
    pub fn uncancel(&self) -> usize {
        self.raw.task().uncancel()
    }

    /// Takes the outcome if the task has ended. Returns `None` before the end, and when the outcome
    /// was taken already.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task was cancelled or panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run, yield_now};
    ///
    /// run(async {
    ///     let mut task = create_task(async { 5 });
    ///     assert!(task.try_result().is_none());
    ///     yield_now().await;
    ///     assert_eq!(task.try_result().unwrap().unwrap(), 5);
    ///     assert!(task.try_result().is_none(), "it was taken");
    /// });
    /// ```
    pub fn try_result(&mut self) -> Option<Result<T, JoinError>> {
        let outcome = self.raw.take()?;
        Some(into_result(self.raw.task(), outcome))
    }

    /// Borrows the outcome if the task has ended and its outcome was not taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run, yield_now};
    ///
    /// run(async {
    ///     let task = create_task(async { 5 });
    ///     yield_now().await;
    ///     assert_eq!(*task.peek().unwrap().unwrap(), 5);
    ///     assert_eq!(task.await.unwrap(), 5, "it is still there");
    /// });
    /// ```
    #[must_use]
    pub fn peek(&self) -> Option<Result<&T, JoinError>> {
        self.raw.peek().map(|outcome| into_result(self.raw.task(), outcome))
    }

    /// The task without the type of its output: to store, to compare, and to look up.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, current_task, run};
    ///
    /// run(async {
    ///     let task = create_task(async { current_task().unwrap() });
    ///     let this = task.task_ref().clone();
    ///     assert_eq!(task.await.unwrap(), this);
    /// });
    /// ```
    #[must_use]
    pub fn task_ref(&self) -> &TaskRef {
        self.raw.task()
    }

    /// Runs `callback` with the task in the turn after its end, in a copy of the current context;
    /// in the next turn if it has ended. Callbacks run in the order in which they were added.
    ///
    /// Returns the registration, for [`remove_done_callback`](Self::remove_done_callback).
    ///
    /// # Panics
    ///
    /// If the loop is gone.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use std::rc::Rc;
    /// use asyncio_task::{create_task, run, yield_now};
    ///
    /// run(async {
    ///     let ended = Rc::new(RefCell::new(String::new()));
    ///     let seen = Rc::clone(&ended);
    ///     let task = create_task(async {}).named("worker");
    ///     task.add_done_callback(move |task| seen.borrow_mut().push_str(&task.name()));
    ///     task.await.unwrap();
    ///     yield_now().await;
    ///     assert_eq!(*ended.borrow(), "worker");
    /// });
    /// ```
    #[track_caller]
    pub fn add_done_callback<F>(&self, callback: F) -> CallbackRef
    where
        F: FnOnce(&TaskRef) + 'static,
    {
        self.task_ref().add_done_callback(callback)
    }

    /// Does the same as `poll`, without a link in the cancel tree.
    #[track_caller]
    pub(crate) fn poll_alone(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, JoinError>> {
        let outcome = self.raw.poll_join(cx);
        outcome.map(|outcome| into_result(self.raw.task(), outcome))
    }

    /// Removes a callback that has not been scheduled yet. Returns the number of removed
    /// registrations: 1, or 0 if the task has ended or does not have the callback.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run, yield_now};
    ///
    /// run(async {
    ///     let task = create_task(async {});
    ///     let callback = task.add_done_callback(|_| unreachable!("removed"));
    ///     assert_eq!(task.remove_done_callback(&callback), 1);
    ///     task.await.unwrap();
    ///     yield_now().await;
    /// });
    /// ```
    pub fn remove_done_callback(&self, callback: &CallbackRef) -> usize {
        self.task_ref().remove_done_callback(callback)
    }
}

impl<T> Deref for Task<T> {
    type Target = TaskRef;

    fn deref(&self) -> &TaskRef {
        self.raw.task()
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(value) = this.link.take_value(&mut this.raw, cx) {
            return Poll::Ready(Ok(value));
        }
        let outcome = this.link.poll(&mut this.raw, || Kind::Link, cx);
        outcome.map(|outcome| into_result(this.raw.task(), outcome))
    }
}

// The output is not in the handle, so moving the handle moves no pinned value.
impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

pub(crate) fn into_result<T>(task: &TaskRef, outcome: Outcome<T>) -> Result<T, JoinError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Panicked(payload) => Err(JoinError::Panicked(Panic::new(payload))),
        Outcome::Cancelled => Err(JoinError::Cancelled(task.cancel_reason().unwrap_or_default())),
    }
}

/// Methods that this crate adds to [`TaskRef`].
///
/// # Examples
///
/// ```
/// use asyncio_task::{TaskRefExt, all_tasks, create_task, current_task, run, yield_now};
///
/// run(async {
///     let task = create_task(std::future::pending::<()>());
///     let this = current_task().unwrap();
///     all_tasks().iter().filter(|task| **task != this).for_each(|task| {
///         task.cancel();
///     });
///     assert!(task.await.unwrap_err().is_cancelled());
/// });
/// ```
///
/// A registry that forgets its tasks as they end:
///
/// ```
/// use std::{cell::RefCell, rc::Rc};
/// use asyncio_task::{TaskRefExt, create_task, current_task, run, yield_now};
///
/// run(async {
///     let running = Rc::new(RefCell::new(Vec::new()));
///     let seen = Rc::clone(&running);
///     let task = create_task(async move {
///         let this = current_task().unwrap();
///         seen.borrow_mut().push(this.clone());
///         this.add_done_callback(move |ended| seen.borrow_mut().retain(|task| task != ended));
///         yield_now().await;
///     });
///     yield_now().await;
///     assert_eq!(running.borrow().len(), 1);
///     task.await.unwrap();
///     yield_now().await;
///     assert!(running.borrow().is_empty());
/// });
/// ```
pub trait TaskRefExt {
    /// Asks the task to end, as [`Task::cancel`] does.
    #[track_caller]
    fn cancel(&self) -> bool;

    /// Asks the task to end, with a message.
    #[track_caller]
    fn cancel_with(&self, message: &str) -> bool;

    /// The number of cancel requests, less those that were taken back. For the running task,
    /// requests to the scopes around the caller, such as a timeout's, are counted too.
    fn cancelling(&self) -> usize;

    /// Takes one request back, and returns the number of those left.
    fn uncancel(&self) -> usize;

    /// Runs `callback` after the end of the task, as [`Task::add_done_callback`] does.
    ///
    /// # Panics
    ///
    /// If the loop is gone.
    #[track_caller]
    fn add_done_callback<F>(&self, callback: F) -> CallbackRef
    where
        F: FnOnce(&TaskRef) + 'static;

    /// Takes a callback back, as [`Task::remove_done_callback`] does.
    fn remove_done_callback(&self, callback: &CallbackRef) -> usize;
}

impl TaskRefExt for TaskRef {
    #[track_caller]
    fn cancel(&self) -> bool {
        self.mark_seen();
        cancel::cancel(self, cancel::reason(None, Location::caller()))
    }

    #[track_caller]
    fn cancel_with(&self, message: &str) -> bool {
        self.mark_seen();
        cancel::cancel(self, cancel::reason(Some(message), Location::caller()))
    }

    fn cancelling(&self) -> usize {
        self.requests() + cancel::ending_scopes_of(self)
    }

    fn uncancel(&self) -> usize {
        cancel::uncancel(self)
    }

    #[track_caller]
    fn add_done_callback<F>(&self, callback: F) -> CallbackRef
    where
        F: FnOnce(&TaskRef) + 'static,
    {
        let this = self.clone();
        register(self, home(self).callback(move || callback(&this)))
    }

    fn remove_done_callback(&self, callback: &CallbackRef) -> usize {
        self.remove_on_done(callback)
    }
}

#[track_caller]
fn home(task: &TaskRef) -> LoopRef {
    task.event_loop().expect("the loop of the task is gone")
}

fn register(task: &TaskRef, callback: CallbackRef) -> CallbackRef {
    task.on_done(callback.clone());
    callback
}

/// Methods that this crate adds to [`LoopRef`].
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
/// use asyncio_task::TaskLoopExt;
///
/// let event_loop = EventLoop::new()?;
/// let promise = event_loop.create_future();
/// let setter = promise.clone();
/// let task = event_loop.create_task(async move { setter.set_result(2).unwrap() })?;
/// assert_eq!(event_loop.run_until_complete(promise)??, 2);
/// assert!(task.is_done());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TaskLoopExt {
    /// Makes a task of this loop, which need not be running.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]; the future is dropped unpolled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    /// use asyncio_task::TaskLoopExt;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let task = event_loop.create_task(async { 1 })?;
    /// assert_eq!(event_loop.run_until_complete(task)??, 1);
    /// event_loop.close()?;
    /// assert!(event_loop.create_task(async { 2 }).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    fn create_task<F>(&self, future: F) -> Result<Task<F::Output>, LoopClosed>
    where
        F: IntoFuture<IntoFuture: 'static>;

    /// Makes a promise of this loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::EventLoop;
    /// use asyncio_task::TaskLoopExt;
    ///
    /// let event_loop = EventLoop::new()?;
    /// let promise = event_loop.create_future();
    /// promise.set_result(1).unwrap();
    /// assert_eq!(event_loop.run_until_complete(promise)??, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    fn create_future<T>(&self) -> crate::Promise<T>;
}

impl TaskLoopExt for LoopRef {
    #[track_caller]
    fn create_task<F>(&self, future: F) -> Result<Task<F::Output>, LoopClosed>
    where
        F: IntoFuture<IntoFuture: 'static>,
    {
        self.spawn(future.into_future(), TaskOptions::new()).map(Task::new)
    }

    #[track_caller]
    fn create_future<T>(&self) -> crate::Promise<T> {
        crate::Promise::of(self)
    }
}

/// A task factory that starts every task at once: inside the call that makes it, the task runs up
/// to its first wait.
///
/// A task that never waits is done when that call returns, and is never scheduled.
/// [`TaskOptions::eager_start`] overrides this for a single task.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, eager_task_factory, run, running_loop};
///
/// run(async {
///     running_loop().set_task_factory(Some(eager_task_factory()));
///     assert!(create_task(async { 1 }).is_done());
/// });
/// ```
#[must_use]
pub fn eager_task_factory() -> asyncio_loop::TaskFactory {
    Rc::new(|_, options| {
        if options.get_eager_start().is_none() {
            *options = options.clone().eager_start(true);
        }
    })
}
