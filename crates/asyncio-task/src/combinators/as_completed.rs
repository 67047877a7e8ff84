//! `as_completed`.

#[cfg(feature = "futures-core")]
use std::cell::Cell;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
#[cfg(feature = "futures-core")]
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::{TaskControl, WaitKey, WaitList, at_await};
use asyncio_loop::{CallbackRef, Deadline, LoopWaker, WaitsFor, running_loop};

use crate::task::Task;
use crate::timeout::TimeoutError;

/// Returns an iterator-like [`AsCompleted`] that gives the tasks back one by one, as they end.
///
/// The tasks go on whether or not [`next`](AsCompleted::next) is called.
///
/// # Panics
///
/// If no loop runs on this thread.
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
    let shared = Rc::new(RefCell::new(Shared::new()));
    let event_loop = running_loop();
    let maker = event_loop.current_task().map(|task| task.id());
    let mut callbacks = Vec::new();
    for (number, task) in tasks.into_iter().enumerate() {
        task.task_ref().check_loop(Some(&event_loop));
        let told = Rc::clone(&shared);
        let callback = event_loop.callback(move || Shared::ended(&told, number));
        task.task_ref().on_done_for(callback.clone(), maker);
        callbacks.push(callback);
        let mut shared = shared.borrow_mut();
        shared.tasks.push(Some(task));
        shared.left += 1;
        shared.running += 1;
    }
    AsCompleted {
        shared,
        callbacks,
        #[cfg(feature = "futures-core")]
        stream: Cell::default(),
    }
}

/// The tasks given to [`as_completed`], in the order in which they end.
///
/// # From asyncio
///
/// [`next`](Self::next) takes `&self`, so several may be awaited at once, in any order. With the
/// feature `futures-core` it is a `Stream`, with the same items.
#[must_use = "the tasks go on by themselves; `next` waits for them"]
pub struct AsCompleted<T> {
    shared: Rc<RefCell<Shared<T>>>,
    callbacks: Vec<CallbackRef>,
    /// The place of the `Stream` among the waiting calls.
    #[cfg(feature = "futures-core")]
    stream: Cell<Option<WaitKey>>,
}

struct Shared<T> {
    tasks: Vec<Option<Task<T>>>,
    /// The tasks that have ended and were not handed out.
    ended: VecDeque<usize>,
    /// How many tasks are still to be handed out.
    left: usize,
    /// How many tasks have not ended.
    running: usize,
    /// The calls of `next` that wait. A task that ends wakes the first of them.
    waiters: WaitList<LoopWaker>,
    limit: Option<Deadline>,
}

impl<T> Shared<T> {
    fn new() -> Self {
        Self {
            tasks: Vec::new(),
            ended: VecDeque::new(),
            left: 0,
            running: 0,
            waiters: WaitList::new(),
            limit: None,
        }
    }

    fn ended(this: &RefCell<Self>, number: usize) {
        let mut shared = this.borrow_mut();
        shared.ended.push_back(number);
        shared.running -= 1;
        if shared.running > 0 {
            drop(shared);
            Self::wake_one(this);
        } else {
            // All waiters are woken: one that was woken before may never be polled.
            drop(shared);
            Self::wake_all(this);
        }
    }

    fn wake_one(this: &RefCell<Self>) {
        let waiter = this.borrow_mut().waiters.pop();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    fn wake_all(this: &RefCell<Self>) {
        let waiters = std::mem::take(&mut this.borrow_mut().waiters);
        waiters.for_each(LoopWaker::wake);
    }

    fn take(&mut self) -> Option<Task<T>> {
        if self.left == 0 {
            return None;
        }
        let number = self.ended.pop_front()?;
        self.left -= 1;
        if self.left == 0 {
            self.limit = None;
        }
        self.tasks[number].take()
    }

    /// The next item, if it is known already.
    fn next(&mut self) -> Poll<Option<Result<Task<T>, TimeoutError>>> {
        if let Some(task) = self.take() {
            return Poll::Ready(Some(Ok(task)));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if self.limit.as_ref().is_some_and(|limit| !limit.is_pending()) {
            self.left = 0;
            return Poll::Ready(Some(Err(TimeoutError)));
        }
        Poll::Pending
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
        let wake = event_loop.callback(move || Shared::wake_all(&shared));
        let when = event_loop.time() + limit;
        if self.shared.borrow().left > 0 {
            let limit = event_loop.wake_at(when, wake.clone().into());
            self.shared.borrow_mut().limit = Some(limit);
        }
        self.callbacks.push(wake);
        self
    }

    /// The next task that ends; `None` when all were handed out.
    ///
    /// # Errors
    ///
    /// [`TimeoutError`], once, when the limit has passed and every task that has ended was handed
    /// out; `None` from then on. The other tasks go on. Their handles are dropped with this value,
    /// which detaches them.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no task; the tasks go on.
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
    pub fn next(&self) -> impl Future<Output = Option<Result<Task<T>, TimeoutError>>> {
        at_await(async move {
            let mut wait = Wait { shared: &self.shared, place: None };
            poll_fn(|cx| wait.poll(cx)).await
        })
    }
}

/// A call of `next`. Dropped after it was woken, it wakes the one behind it.
struct Wait<'a, T> {
    shared: &'a RefCell<Shared<T>>,
    place: Option<WaitKey>,
}

impl<T> Wait<'_, T> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Result<Task<T>, TimeoutError>>> {
        let next = self.shared.borrow_mut().next();
        match (&next, self.place) {
            (Poll::Ready(_), Some(place)) => {
                self.place = None;
                let waiter = self.shared.borrow_mut().waiters.remove(place);
                drop(waiter);
            }
            (Poll::Ready(_), None) => {}
            (Poll::Pending, _) => self.wait(cx),
        }
        next
    }

    fn wait(&mut self, cx: &Context<'_>) {
        // The waker is cloned and dropped with nothing borrowed: both may run code of a user.
        let waiter = LoopWaker::for_wait(cx, WaitsFor::Tasks);
        let mut shared = self.shared.borrow_mut();
        let stale = match self.place.and_then(|place| shared.waiters.get_mut(place)) {
            Some(old) => Some(std::mem::replace(old, waiter)),
            None => {
                self.place = Some(shared.waiters.push(waiter));
                None
            }
        };
        drop(shared);
        drop(stale);
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place else { return };
        let mut shared = self.shared.borrow_mut();
        let waiter = shared.waiters.remove(place);
        let was_woken = waiter.is_none() && !shared.ended.is_empty();
        drop(shared);
        drop(waiter);
        if was_woken {
            Shared::wake_one(self.shared);
        }
    }
}

#[cfg(feature = "futures-core")]
impl<T: 'static> futures_core::Stream for AsCompleted<T> {
    type Item = Result<Task<T>, TimeoutError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut wait = Wait { shared: &self.shared, place: self.stream.take() };
        let next = wait.poll(cx);
        self.stream.set(wait.place.take());
        next
    }

    /// Without a limit every task comes; with one, at least those that have ended.
    fn size_hint(&self) -> (usize, Option<usize>) {
        let shared = self.shared.borrow();
        let sure = if shared.limit.is_some() { shared.ended.len() } else { shared.left };
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
