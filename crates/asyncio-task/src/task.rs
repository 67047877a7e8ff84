//! Tasks: futures that the loop runs by themselves.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{
    CallbackRef, Context as Variables, LoopClosed, LoopRef, Outcome, RawTask, TaskOptions, TaskRef,
    running_loop,
};

use crate::error::{CancelReason, JoinError, TaskPanic};

/// Has the running loop run `future` by itself, from its next turn on.
///
/// The task belongs to the loop: it goes on if the handle is dropped. It gets a copy of the current
/// context, and a name that tells where it stands in the order of creation.
///
/// # Panics
///
/// Where no loop runs. See [`TaskLoopExt::create_task`] to make tasks before a run.
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
#[inline]
#[track_caller]
pub fn create_task<F: Future + 'static>(future: F) -> Task<F::Output> {
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
pub fn create_task_with<F: Future + 'static>(future: F, options: TaskOptions) -> Task<F::Output> {
    let spawned = asyncio_loop::with_running(|event_loop| event_loop.spawn(future, options));
    match spawned {
        Ok(Ok(raw)) => Task { raw },
        Ok(Err(error)) => panic!("cannot create a task: {error}"),
        Err(error) => panic!("cannot create a task: {error}"),
    }
}

/// The task that is being stepped; `None` inside a plain callback.
///
/// # Panics
///
/// Where no loop runs.
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
    match asyncio_loop::with_running(LoopRef::current_task) {
        Ok(task) => task,
        Err(error) => panic!("{error}"),
    }
}

/// Every unfinished task of the running loop, oldest first, the calling one among them.
///
/// # Panics
///
/// Where no loop runs.
#[must_use]
#[track_caller]
pub fn all_tasks() -> Vec<TaskRef> {
    running_loop().all_tasks()
}

/// A task that the loop runs, and the way to its outcome.
///
/// A future of `Result<T, JoinError>`. Dropping it detaches the task, which then goes on by itself;
/// a panic that nobody looked at is reported to the loop's exception handler.
pub struct Task<T> {
    raw: RawTask<T>,
}

impl<T> Task<T> {
    pub(crate) fn new(raw: RawTask<T>) -> Self {
        Self { raw }
    }

    /// Asks the task to end: its future is dropped at its next step, in the coming turn. A task
    /// that cancels itself goes on to its next wait.
    ///
    /// Returns whether the task was still there to be asked.
    pub fn cancel(&self) -> bool {
        self.raw.task().request_end()
    }

    /// Whether the task has ended: with a value, a panic, or cancelled.
    #[doc(alias = "done")]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.raw.task().is_done()
    }

    /// Whether the task has ended by a cancellation.
    #[doc(alias = "cancelled")]
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.raw.task().is_cancelled()
    }

    /// Takes the outcome if the task has ended; `None` before, and after it was taken.
    ///
    /// # Errors
    ///
    /// [`JoinError`] if the task was cancelled or panicked.
    pub fn try_result(&mut self) -> Option<Result<T, JoinError>> {
        self.raw.take().map(into_result)
    }

    /// Looks at the value, if the task has ended with one that nobody has taken.
    #[must_use]
    pub fn peek(&self) -> Option<Result<&T, JoinError>> {
        self.raw.peek().map(into_result)
    }

    /// The task itself, without its type.
    #[must_use]
    pub fn task_ref(&self) -> &TaskRef {
        self.raw.task()
    }

    /// Its number: unique in the process, and rising on each thread.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.raw.task().id()
    }

    /// Its name: the one it was given, or `Task-N`.
    #[doc(alias = "get_name")]
    #[must_use]
    pub fn name(&self) -> Rc<str> {
        self.raw.task().name()
    }

    /// Gives it another name.
    pub fn set_name(&self, name: &str) {
        self.raw.task().set_name(name);
    }

    /// Where it was made.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.raw.task().site()
    }

    /// The context that it runs in.
    #[doc(alias = "get_context")]
    #[must_use]
    pub fn context(&self) -> Variables {
        self.raw.task().context()
    }

    /// The loop that it belongs to, unless that is gone.
    #[doc(alias = "get_loop")]
    #[must_use]
    pub fn event_loop(&self) -> Option<LoopRef> {
        self.raw.task().event_loop()
    }

    /// Runs `callback` with the task in the turn after its end, in a copy of the current context;
    /// in the next turn if it has ended. Callbacks run in the order in which they were added.
    ///
    /// What is returned is the registration, for
    /// [`remove_done_callback`](Self::remove_done_callback).
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
    ///     let task = create_task(async {});
    ///     task.set_name("worker");
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
        let this = self.task_ref().clone();
        self.register(self.home().callback(move || callback(&this)))
    }

    /// [`add_done_callback`](Self::add_done_callback) in the given context.
    ///
    /// # Panics
    ///
    /// If the loop is gone.
    #[track_caller]
    pub fn add_done_callback_in<F>(&self, context: &Variables, callback: F) -> CallbackRef
    where
        F: FnOnce(&TaskRef) + 'static,
    {
        let this = self.task_ref().clone();
        self.register(self.home().callback_in(context, move || callback(&this)))
    }

    #[track_caller]
    fn home(&self) -> LoopRef {
        self.event_loop().expect("the loop of the task is gone")
    }

    fn register(&self, callback: CallbackRef) -> CallbackRef {
        self.task_ref().on_done(callback.clone());
        callback
    }

    /// Takes a callback back that has not been scheduled yet; returns how many registrations that
    /// ended: 1, or 0 if the task has ended or does not know it.
    pub fn remove_done_callback(&self, callback: &CallbackRef) -> usize {
        self.raw.task().remove_on_done(callback)
    }
}

impl<T> Future for Task<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.raw.poll_join(cx).map(into_result)
    }
}

// The output is not in the handle, so moving the handle moves no pinned value.
impl<T> Unpin for Task<T> {}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw.fmt(f)
    }
}

pub(crate) fn into_result<T>(outcome: Outcome<T>) -> Result<T, JoinError> {
    match outcome {
        Outcome::Value(value) => Ok(value),
        Outcome::Panicked(payload) => Err(JoinError::Panicked(TaskPanic::new(payload))),
        Outcome::Cancelled => Err(JoinError::Cancelled(CancelReason::default())),
    }
}

/// What this crate adds to a loop.
pub trait TaskLoopExt {
    /// Makes a task of this loop, also while it is not running.
    ///
    /// # Errors
    ///
    /// [`LoopClosed`]; the future is dropped unpolled.
    #[track_caller]
    fn create_task<F: Future + 'static>(&self, future: F) -> Result<Task<F::Output>, LoopClosed>;

    /// A promise of this loop.
    #[track_caller]
    fn create_future<T>(&self) -> crate::Promise<T>;
}

impl TaskLoopExt for LoopRef {
    #[track_caller]
    fn create_task<F: Future + 'static>(&self, future: F) -> Result<Task<F::Output>, LoopClosed> {
        self.spawn(future, TaskOptions::new()).map(Task::new)
    }

    #[track_caller]
    fn create_future<T>(&self) -> crate::Promise<T> {
        crate::Promise::of(self)
    }
}

/// A task factory that starts every task at once, inside the call that makes it, up to its first
/// wait.
///
/// A task that never waits is done when that call returns, and the loop has nothing to do with it.
/// [`TaskOptions::eager_start`] says otherwise for a single task.
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
