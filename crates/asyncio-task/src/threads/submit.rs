//! Futures that another thread submits to a loop.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, Location, catch_unwind, resume_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;

use asyncio_loop::{
    JobError, LoopClosed, LoopHandle, Panic, TaskOptions, TaskRef, ThreadFuture, ThreadPromise,
    running_loop,
};

use crate::task::{TaskRefExt, create_task_with};

/// Runs a future as a task of another thread's loop.
///
/// `make` is called on the loop's thread, so the future itself need not be `Send`. The task sees
/// the values of the calling thread's context that can travel between threads.
///
/// Wait for the value with [`ThreadFuture::result`], or await it, on whatever loop or executor.
/// [`ThreadFuture::cancel`] cancels the task.
///
/// The future fails with [`JobError::Panicked`] if the task panics, with [`JobError::Cancelled`] if
/// it is cancelled, and with [`JobError::LoopClosed`] if the loop is closed.
///
/// # From asyncio
///
/// asyncio passes the coroutine itself. A future that is made here could run there only if it were
/// `Send`, so this takes a function that makes it.
///
/// # Examples
///
/// ```
/// use asyncio_task::{LoopThread, run_coroutine_threadsafe};
///
/// let thread = LoopThread::start()?;
/// let answer = run_coroutine_threadsafe(thread.handle(), || async { 6 * 7 });
/// assert_eq!(answer.result(None)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn run_coroutine_threadsafe<F, Fut>(
    event_loop: &LoopHandle,
    make: F,
) -> ThreadFuture<Fut::Output>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let (future, task) = submit(event_loop, make);
    future.add_done_callback(move |future| {
        if future.is_cancelled() {
            task.cancel();
        }
    });
    future
}

/// [`run_coroutine_threadsafe`], but cancelling the future does not cancel the task.
#[track_caller]
pub(super) fn submit<F, Fut>(
    event_loop: &LoopHandle,
    make: F,
) -> (ThreadFuture<Fut::Output>, RemoteTask)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    let site = Location::caller();
    let (promise, future) = ThreadPromise::of_loop(event_loop);
    let task = RemoteTask::new(event_loop);
    let number = task.number;
    // A closed loop refuses; the promise inside says why when it is dropped.
    match event_loop.call_soon_threadsafe(move || start(make, promise, number, site)) {
        Ok(()) => {}
        Err(LoopClosed(refused)) => drop(refused),
    }
    (future, task)
}

/// The handle of other threads to a task of a loop.
#[derive(Clone)]
pub(super) struct RemoteTask {
    event_loop: LoopHandle,
    number: u64,
}

impl RemoteTask {
    fn new(event_loop: &LoopHandle) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { event_loop: event_loop.clone(), number }
    }

    pub(super) fn cancel(&self) {
        let number = self.number;
        // A closed loop refuses the call; it has dropped the task.
        let _ = self.event_loop.call_soon_threadsafe(move || {
            let tasks = running_loop().local::<SubmittedTasks>();
            let task = tasks.0.borrow().get(&number).cloned();
            if let Some(task) = task {
                task.cancel();
            }
        });
    }
}

/// The unfinished tasks of a loop that other threads have submitted, by their numbers.
#[derive(Default)]
struct SubmittedTasks(RefCell<HashMap<u64, TaskRef>>);

/// Takes a task out of [`SubmittedTasks`] when it ends.
struct Listed {
    tasks: Rc<SubmittedTasks>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let task = self.tasks.0.borrow_mut().remove(&self.number);
        drop(task);
    }
}

/// Methods that this crate adds to [`LoopHandle`].
pub trait TaskHandleExt {
    /// Runs a future as a task of this loop; see [`run_coroutine_threadsafe`].
    #[track_caller]
    fn run_coroutine_threadsafe<F, Fut>(&self, make: F) -> ThreadFuture<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static;
}

impl TaskHandleExt for LoopHandle {
    #[track_caller]
    fn run_coroutine_threadsafe<F, Fut>(&self, make: F) -> ThreadFuture<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        run_coroutine_threadsafe(self, make)
    }
}

/// Runs on the loop's thread.
fn start<F, Fut>(
    make: F,
    promise: ThreadPromise<Fut::Output>,
    number: u64,
    site: &'static Location<'static>,
) where
    F: FnOnce() -> Fut,
    Fut: Future + 'static,
    Fut::Output: Send + 'static,
{
    if promise.is_cancelled() {
        return;
    }
    // Both the task and this function can reach the promise: if a task factory panics and no task
    // is made, this function has to settle the promise.
    let promise = Rc::new(Cell::new(Some(promise)));
    let tasks = running_loop().local::<SubmittedTasks>();
    let listed = Listed { tasks: Rc::clone(&tasks), number };
    let task = catch_unwind(AssertUnwindSafe(|| {
        let future = keep(make(), Rc::clone(&promise), listed);
        create_task_with(future, TaskOptions::new().site(site))
    }));
    match task {
        // An eager task may have ended already.
        Ok(task) if task.is_done() => {}
        Ok(task) => {
            tasks.0.borrow_mut().insert(number, task.task_ref().clone());
        }
        Err(payload) => {
            let panic = Panic::new(payload);
            let text = panic.message();
            if let Some(promise) = promise.take() {
                promise.set_error(JobError::Panicked(panic));
            }
            // The loop reports it.
            resume_unwind(Box::new(text));
        }
    }
}

/// The body of the task: settles the promise with the outcome of `future`.
async fn keep<Fut: Future>(
    future: Fut,
    promise: Rc<Cell<Option<ThreadPromise<Fut::Output>>>>,
    _listed: Listed,
) where
    Fut::Output: Send + 'static,
{
    let mut future = pin!(future);
    let outcome = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(payload) => Poll::Ready(Err(JobError::Panicked(Panic::new(payload)))),
    })
    .await;
    if let Some(promise) = promise.take() {
        promise.set_outcome(outcome);
    }
}
