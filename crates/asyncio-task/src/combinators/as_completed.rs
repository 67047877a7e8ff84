//! `as_completed`.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
#[cfg(feature = "futures-core")]
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::{CallbackRef, Deadline, LocalWaker, running_loop};

use crate::task::Task;
use crate::timeout::TimeoutError;

/// Gives tasks back one by one, as they end.
///
/// The tasks go on whether or not anybody asks for the next.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{as_completed, create_task, run, sleep};
///
/// run(async {
///     let tasks = [3, 1].map(|ms| {
///         create_task(async move {
///             sleep(Duration::from_millis(ms)).await;
///             ms
///         })
///     });
///     let ended = as_completed(tasks);
///     let mut order = Vec::new();
///     while let Some(task) = ended.next().await {
///         order.push(task?.await.unwrap());
///     }
///     assert_eq!(order, [1, 3]);
///     # Ok::<(), asyncio_task::TimeoutError>(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn as_completed<T: 'static>(tasks: impl IntoIterator<Item = Task<T>>) -> AsCompleted<T> {
    let shared = Rc::new(RefCell::new(Shared {
        tasks: Vec::new(),
        ended: VecDeque::new(),
        left: 0,
        waiters: Vec::new(),
    }));
    let event_loop = running_loop();
    let mut callbacks = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        let told = Rc::clone(&shared);
        let callback = event_loop.callback(move || Shared::ended(&told, number));
        task.task_ref().on_done(callback.clone());
        callbacks.push(callback);
        let mut shared = shared.borrow_mut();
        shared.tasks.push(Some(task));
        shared.left += 1;
    }
    AsCompleted { shared, callbacks, deadline: None }
}

/// What [`as_completed`] gives: the tasks in the order in which they end.
///
/// # From asyncio
///
/// [`next`](Self::next) takes `&self`, so several may be awaited at once, in any order. With the feature
/// `futures-core` it is a `Stream`, with the same items.
#[must_use = "the tasks go on by themselves; `next` waits for them"]
pub struct AsCompleted<T> {
    shared: Rc<RefCell<Shared<T>>>,
    callbacks: Vec<CallbackRef>,
    deadline: Option<Deadline>,
}

struct Shared<T> {
    tasks: Vec<Option<Task<T>>>,
    /// Those that have ended, and were not handed out.
    ended: VecDeque<usize>,
    /// How many are still to be handed out.
    left: usize,
    waiters: Vec<LocalWaker>,
}

impl<T> Shared<T> {
    fn ended(this: &RefCell<Self>, number: usize) {
        let waiters = {
            let mut shared = this.borrow_mut();
            shared.ended.push_back(number);
            std::mem::take(&mut shared.waiters)
        };
        waiters.into_iter().for_each(LocalWaker::wake);
    }

    fn take(&mut self) -> Option<Task<T>> {
        if self.left == 0 {
            return None;
        }
        let number = self.ended.pop_front()?;
        self.left -= 1;
        self.tasks[number].take()
    }
}

impl<T: 'static> AsCompleted<T> {
    /// Gives up after `limit`, counted from now.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::pending;
    /// use std::time::Duration;
    /// use asyncio_task::{TimeoutError, as_completed, create_task, run};
    ///
    /// run(async {
    ///     let tasks = [create_task(pending::<()>())];
    ///     let ended = as_completed(tasks).timeout(Duration::from_millis(1));
    ///     assert_eq!(ended.next().await.unwrap().unwrap_err(), TimeoutError);
    ///     assert!(ended.next().await.is_none());
    /// });
    /// ```
    pub fn timeout(mut self, limit: Duration) -> Self {
        let event_loop = running_loop();
        let shared = Rc::clone(&self.shared);
        let wake = event_loop.callback(move || {
            let waiters = std::mem::take(&mut shared.borrow_mut().waiters);
            waiters.into_iter().for_each(LocalWaker::wake);
        });
        self.deadline = Some(event_loop.wake_at(event_loop.time() + limit, wake.clone().into()));
        self.callbacks.push(wake);
        self
    }

    /// The next task that ends; `None` when all were handed out.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`], once, when the limit has passed and what has ended was handed out; `None` from
    /// then on. The other tasks go on, and are dropped (detached) with this.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; the tasks go on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{as_completed, create_task, run, yield_now};
    ///
    /// run(async {
    ///     let slow = create_task(async {
    ///         yield_now().await;
    ///         "slow"
    ///     });
    ///     let ended = as_completed([slow, create_task(async { "quick" })]);
    ///     let first = ended.next().await.unwrap().unwrap();
    ///     assert_eq!(first.await.unwrap(), "quick");
    /// });
    /// ```
    pub async fn next(&self) -> Option<Result<Task<T>, TimeoutError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next task.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::future::poll_fn;
    /// use asyncio_task::{as_completed, create_task, run};
    ///
    /// run(async {
    ///     let ended = as_completed([create_task(async { 7 })]);
    ///     let task = poll_fn(|cx| ended.poll_next(cx)).await.unwrap().unwrap();
    ///     assert_eq!(task.await.unwrap(), 7);
    ///     assert!(poll_fn(|cx| ended.poll_next(cx)).await.is_none());
    /// });
    /// ```
    pub fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<Result<Task<T>, TimeoutError>>> {
        let mut shared = self.shared.borrow_mut();
        if let Some(task) = shared.take() {
            return Poll::Ready(Some(Ok(task)));
        }
        if shared.left == 0 {
            return Poll::Ready(None);
        }
        if self.deadline.as_ref().is_some_and(|deadline| !deadline.is_pending()) {
            shared.left = 0;
            return Poll::Ready(Some(Err(TimeoutError)));
        }
        if !shared.waiters.iter().any(|waiter| waiter.will_wake(cx)) {
            drop(shared);
            // Made out here: it may be foreign, and do anything.
            let waiter = LocalWaker::from_context(cx);
            self.shared.borrow_mut().waiters.push(waiter);
        }
        Poll::Pending
    }
}

#[cfg(feature = "futures-core")]
impl<T: 'static> futures_core::Stream for AsCompleted<T> {
    type Item = Result<Task<T>, TimeoutError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        AsCompleted::poll_next(&self, cx)
    }

    /// Without a limit every task comes; with one, at least those that have ended.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let shared = self.shared.borrow();
        let sure = if self.deadline.is_some() { shared.ended.len() } else { shared.left };
        (sure.min(shared.left), Some(shared.left))
    }
}

#[cfg(feature = "futures-core")]
impl<T: 'static> futures_core::FusedStream for AsCompleted<T> {
    fn is_terminated(&self) -> bool {
        self.shared.borrow().left == 0
    }
}

impl<T> Drop for AsCompleted<T> {
    fn drop(&mut self) {
        self.callbacks.iter().for_each(CallbackRef::cancel);
    }
}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.shared.borrow().left).finish()
    }
}
