//! `wait`.

use std::cell::RefCell;
use std::fmt;
use std::future::{IntoFuture, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::{AtAwait, TaskControl, at_await};
use asyncio_loop::{CallbackRef, Deadline, LoopWaker, WaitsFor, running_loop};

use crate::task::Task;

/// Waits until all tasks have ended, or as many as [`WaitTasks::return_when`] says.
///
/// Gives the tasks back: those that have ended, and those that have not, in the order in which they
/// were given. Nothing is cancelled.
///
/// # Panics
///
/// When awaited, if there are no tasks, and if no loop runs on this thread.
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

/// The condition that [`wait`] waits for.
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

/// The builder that [`wait`] returns; `.await` runs it.
#[must_use = "does nothing unless awaited"]
pub struct WaitTasks<T> {
    tasks: Vec<Task<T>>,
    timeout: Option<Duration>,
    return_when: ReturnWhen,
    is_failure: fn(&Task<T>) -> bool,
}

impl<T> WaitTasks<T> {
    /// Waits no longer than `limit`, and then returns the tasks as they are. Passing the limit is
    /// no error.
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
    ///     let first_exception = wait([fails, waits]).return_when(ReturnWhen::FirstException);
    ///     let (done, pending) = first_exception.await;
    ///     assert_eq!((done.len(), pending.len()), (1, 1));
    ///     # done.into_iter().next().unwrap().await.unwrap_err();
    /// });
    /// ```
    pub fn return_when(mut self, when: ReturnWhen) -> Self {
        self.return_when = when;
        self
    }

    async fn run(self) -> (Vec<Task<T>>, Vec<Task<T>>) {
        assert!(!self.tasks.is_empty(), "there are no tasks to wait for");
        let watch = Watch::new(&self);
        let mut deadline = None;
        poll_fn(|cx| watch.poll(&mut deadline, cx)).await;
        drop(watch);
        self.tasks.into_iter().partition(|task| task.is_done())
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

/// Whether a task has ended by a panic. The panic still counts as not retrieved.
fn has_panicked<T>(task: &Task<T>) -> bool {
    task.is_done() && task.task_ref().is_panicked()
}

impl<T> IntoFuture for WaitTasks<T>
where
    T: 'static,
{
    type Output = (Vec<Task<T>>, Vec<Task<T>>);
    type IntoFuture = AtAwait<Pin<Box<dyn Future<Output = Self::Output>>>>;

    fn into_future(self) -> Self::IntoFuture {
        at_await(Box::pin(self.run()))
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

/// Counts the tasks that end, so that the cost of a wake grows with the tasks that ended since the
/// last one, and not with all tasks.
struct Watch<'a, T> {
    wait: &'a WaitTasks<T>,
    state: Rc<RefCell<State>>,
    callbacks: Vec<(&'a Task<T>, CallbackRef)>,
}

struct State {
    /// The tasks that have ended since the last poll.
    ended: Vec<usize>,
    /// How many tasks have not ended.
    open: usize,
    /// Whether only the end of the last task wakes the waiter.
    last_only: bool,
    waker: Option<LoopWaker>,
}

impl<'a, T> Watch<'a, T> {
    fn new(wait: &'a WaitTasks<T>) -> Self {
        let event_loop = running_loop();
        let waiter = event_loop.current_task().map(|task| task.id());
        let state = Rc::new(RefCell::new(State {
            ended: Vec::new(),
            open: 0,
            last_only: wait.return_when == ReturnWhen::AllCompleted,
            waker: None,
        }));
        let mut callbacks = Vec::new();
        for (number, task) in wait.tasks.iter().enumerate() {
            if task.is_done() {
                state.borrow_mut().ended.push(number);
                continue;
            }
            task.task_ref().check_loop(Some(&event_loop));
            let told = Rc::clone(&state);
            let callback = event_loop.callback(move || State::ended(&told, number));
            task.task_ref().on_done_for(callback.clone(), waiter);
            callbacks.push((task, callback));
            state.borrow_mut().open += 1;
        }
        Self { wait, state, callbacks }
    }

    /// Whether a task that has ended since the last poll ends the wait.
    fn is_over(&self) -> bool {
        let (ended, open) = {
            let mut state = self.state.borrow_mut();
            (std::mem::take(&mut state.ended), state.open)
        };
        let mut tasks = ended.into_iter().map(|number| &self.wait.tasks[number]);
        open == 0
            || match self.wait.return_when {
                ReturnWhen::AllCompleted => false,
                ReturnWhen::FirstCompleted => tasks.next().is_some(),
                ReturnWhen::FirstException => tasks.any(self.wait.is_failure),
            }
    }

    fn poll(&self, deadline: &mut Option<Deadline>, cx: &Context<'_>) -> Poll<()> {
        if self.is_over() {
            return Poll::Ready(());
        }
        match (self.wait.timeout, &deadline) {
            (Some(Duration::ZERO), _) => return Poll::Ready(()),
            (Some(limit), None) => {
                let event_loop = running_loop();
                let when = event_loop.time() + limit;
                *deadline = Some(event_loop.wake_at(when, LoopWaker::from_context(cx)));
            }
            (Some(_), Some(deadline)) if !deadline.set_waker(cx) => return Poll::Ready(()),
            _ => {}
        }
        // The waker is cloned and dropped with nothing borrowed: both may run code of a user.
        let waker = LoopWaker::for_wait(cx, WaitsFor::Tasks);
        let old = self.state.borrow_mut().waker.replace(waker);
        drop(old);
        Poll::Pending
    }
}

impl State {
    fn ended(this: &RefCell<Self>, number: usize) {
        let waker = {
            let mut state = this.borrow_mut();
            state.ended.push(number);
            state.open -= 1;
            if state.open == 0 || !state.last_only { state.waker.take() } else { None }
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Watch<'_, T> {
    fn drop(&mut self) {
        for (task, callback) in &self.callbacks {
            task.task_ref().remove_on_done(callback);
            callback.cancel();
        }
    }
}
