//! `wait`.

use std::cell::RefCell;
use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{CallbackRef, Deadline, LocalWaker, running_loop};

use crate::task::Task;

/// Waits until tasks have ended: all of them, or as [`WaitTasks::return_when`] says.
///
/// Gives the tasks back: those that have ended, and those that have not, in the order in which they were
/// given. Nothing is cancelled.
///
/// # Panics
///
/// When awaited, if there are no tasks, and where no loop runs.
///
/// # Cancel safety
///
/// Cancelling or dropping it leaves the tasks running, and their handles are dropped with it.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{ReturnWhen, create_task, run, sleep, wait};
///
/// run(async {
///     let tasks = [1, 3600].map(|ms| {
///         create_task(async move {
///             sleep(Duration::from_millis(ms)).await;
///             ms
///         })
///     });
///     let (done, pending) = wait(tasks).return_when(ReturnWhen::FirstCompleted).await;
///     assert_eq!((done.len(), pending.len()), (1, 1));
///     assert_eq!(done.into_iter().next().unwrap().await.unwrap(), 1);
/// });
/// ```
pub fn wait<T>(tasks: impl IntoIterator<Item = Task<T>>) -> WaitTasks<T> {
    let tasks = tasks.into_iter().collect();
    WaitTasks {
        tasks,
        timeout: None,
        return_when: ReturnWhen::AllCompleted,
        is_failure: has_panicked,
    }
}

/// What [`wait`] waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnWhen {
    /// All tasks have ended.
    #[default]
    AllCompleted,
    /// One has ended.
    FirstCompleted,
    /// One has failed, or all have ended.
    FirstException,
}

/// What [`wait`] is going to do; `.await` does it.
#[must_use = "does nothing unless awaited"]
pub struct WaitTasks<T> {
    tasks: Vec<Task<T>>,
    timeout: Option<Duration>,
    return_when: ReturnWhen,
    is_failure: fn(&Task<T>) -> bool,
}

impl<T> WaitTasks<T> {
    /// Waits no longer than `limit`, and then gives what there is. That is no error.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{create_task, run, wait};
    ///
    /// run(async {
    ///     let task = create_task(std::future::pending::<()>());
    ///     let (done, pending) = wait([task]).timeout(Duration::from_millis(1)).await;
    ///     assert_eq!((done.len(), pending.len()), (0, 1));
    /// });
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = Some(limit);
        self
    }

    /// Waits for all tasks, for one, or for a failure. A failure is a panic; see
    /// [`fail_on_error`](Self::fail_on_error).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{ReturnWhen, create_task, run, wait};
    ///
    /// run(async {
    ///     let fails = create_task(async { panic!("no luck") });
    ///     let waits = create_task(std::future::pending::<()>());
    ///     let (done, pending) = wait([fails, waits]).return_when(ReturnWhen::FirstException).await;
    ///     assert_eq!((done.len(), pending.len()), (1, 1));
    ///     # done.into_iter().next().unwrap().await.unwrap_err();
    /// });
    /// ```
    pub fn return_when(mut self, when: ReturnWhen) -> Self {
        self.return_when = when;
        self
    }

    fn is_over(&self) -> bool {
        let all = || self.tasks.iter().all(Task::is_done);
        match self.return_when {
            ReturnWhen::AllCompleted => all(),
            ReturnWhen::FirstCompleted => self.tasks.iter().any(Task::is_done),
            ReturnWhen::FirstException => self.tasks.iter().any(self.is_failure) || all(),
        }
    }

    async fn run(self) -> (Vec<Task<T>>, Vec<Task<T>>) {
        assert!(!self.tasks.is_empty(), "there are no tasks to wait for");
        let watch = Watch::new(&self);
        let mut deadline = None;
        poll_fn(|cx| watch.poll(&self, &mut deadline, cx)).await;
        drop(watch);
        self.tasks.into_iter().partition(Task::is_done)
    }
}

impl<T, E> WaitTasks<Result<T, E>> {
    /// Counts `Err` as a failure, for [`ReturnWhen::FirstException`].
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{ReturnWhen, create_task, run, wait};
    ///
    /// run(async {
    ///     let tasks = [Ok(1), Err("no luck")].map(|result| create_task(async move { result }));
    ///     let first = wait(tasks).return_when(ReturnWhen::FirstException).fail_on_error();
    ///     let (done, _) = first.await;
    ///     assert_eq!(done.len(), 2, "both have ended in the same turn");
    /// });
    /// ```
    pub fn fail_on_error(mut self) -> Self {
        self.is_failure = |task| has_panicked(task) || matches!(task.peek(), Some(Ok(Err(_))));
        self
    }
}

/// Whether a task has ended by a panic, which stays unlooked at.
fn has_panicked<T>(task: &Task<T>) -> bool {
    task.is_done() && task.task_ref().is_panicked()
}

impl<T> IntoFuture for WaitTasks<T>
where
    T: 'static,
{
    type Output = (Vec<Task<T>>, Vec<Task<T>>);
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T> fmt::Debug for WaitTasks<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WaitTasks")
            .field("tasks", &self.tasks)
            .field("timeout", &self.timeout)
            .field("return_when", &self.return_when)
            .finish_non_exhaustive()
    }
}

/// Counts tasks that end, so that a wake costs one look.
struct Watch {
    state: Rc<RefCell<State>>,
    callbacks: Vec<CallbackRef>,
}

struct State {
    /// Ends that have to come before it is worth looking at the tasks.
    missing: usize,
    waker: Option<LocalWaker>,
}

impl Watch {
    fn new<T>(wait: &WaitTasks<T>) -> Self {
        let open: Vec<_> = wait.tasks.iter().filter(|task| !task.is_done()).collect();
        let missing = match wait.return_when {
            ReturnWhen::AllCompleted => open.len(),
            ReturnWhen::FirstCompleted | ReturnWhen::FirstException => 1,
        };
        let state = Rc::new(RefCell::new(State { missing, waker: None }));
        let event_loop = running_loop();
        let watched = |task: &&Task<T>| {
            let state = Rc::clone(&state);
            let callback = event_loop.callback(move || State::ended(&state));
            task.task_ref().on_done(callback.clone());
            callback
        };
        let callbacks = open.iter().map(watched).collect();
        Self { state, callbacks }
    }

    fn poll<T>(
        &self,
        wait: &WaitTasks<T>,
        deadline: &mut Option<Deadline>,
        cx: &Context<'_>,
    ) -> Poll<()> {
        let first = self.state.borrow().waker.is_none();
        if (first || self.state.borrow().missing == 0) && wait.is_over() {
            return Poll::Ready(());
        }
        match (wait.timeout, &deadline) {
            (Some(Duration::ZERO), _) => return Poll::Ready(()),
            (Some(limit), None) => {
                let event_loop = running_loop();
                let when = event_loop.time() + limit;
                *deadline = Some(event_loop.wake_at(when, LocalWaker::from_context(cx)));
            }
            (Some(_), Some(deadline)) if !deadline.set_waker(cx) => return Poll::Ready(()),
            _ => {}
        }
        // Made and dropped with nothing borrowed: both may be code of a user.
        let waker = LocalWaker::from_context(cx);
        let old = self.state.borrow_mut().waker.replace(waker);
        drop(old);
        Poll::Pending
    }
}

impl State {
    fn ended(this: &RefCell<Self>) {
        let waker = {
            let mut state = this.borrow_mut();
            state.missing = state.missing.saturating_sub(1);
            if state.missing == 0 { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.callbacks.iter().for_each(CallbackRef::cancel);
    }
}
