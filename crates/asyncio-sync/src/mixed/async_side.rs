//! The side of tasks.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Context;

use super::core::{Core, Inside, Patience};
use super::waiting::For;
use crate::error::{PutError, QueueShutDown, TaskDoneError, TryGetError, TryPutError};
use crate::queue::{Fifo, Order};
use crate::waiters::Key;

/// The side of a [mixed queue](super) that tasks use: its calls are awaited.
///
/// It works like [`Queue`](crate::Queue). Tasks are served first come, first served among each other;
/// threads of the other side may come in between.
///
/// # Examples
///
/// ```
/// use asyncio_sync::mixed;
///
/// # futures::executor::block_on(async {
/// let queue = mixed::Queue::bounded(1);
/// let side = queue.sync_side();
/// let thread = std::thread::spawn(move || (1..=3).try_for_each(|n| side.put(n)));
/// let mut sum = 0;
/// for _ in 0..3 {
///     sum += queue.async_side().get().await.unwrap();
/// }
/// assert_eq!(sum, 6);
/// # thread.join().unwrap().unwrap();
/// # });
/// ```
pub struct AsyncQueue<T, O = Fifo<T>> {
    core: Arc<Core<T, O>>,
}

impl<T, O: Order<T>> AsyncQueue<T, O> {
    pub(super) fn new(core: Arc<Core<T, O>>) -> Self {
        Self { core }
    }

    /// Waits for room and puts an item in.
    ///
    /// # Errors
    ///
    /// [`PutError`] with the item if the queue was shut down, before or while we waited.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its item, which was not put. Room that was promised to it goes to the
    /// next.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::unbounded();
    /// queue.async_side().put("item").await.unwrap();
    /// assert_eq!(queue.sync_side().get(), Ok("item"));
    /// # });
    /// ```
    pub async fn put(&self, item: T) -> Result<(), PutError<T>> {
        let mut item = Some(item);
        let mut place = Place::new(&self.core, For::Room);
        poll_fn(|cx| self.core.poll_put(&mut place.key, &mut item, cx)).await.map_err(PutError)
    }

    /// Waits for an item and takes it.
    ///
    /// # Errors
    ///
    /// [`QueueShutDown`] if there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::unbounded();
    /// queue.sync_side().put("item").unwrap();
    /// assert_eq!(queue.async_side().get().await, Ok("item"));
    /// # });
    /// ```
    pub async fn get(&self) -> Result<T, QueueShutDown> {
        let mut place = Place::new(&self.core, For::Item);
        poll_fn(|cx| self.core.poll_get(&mut place.key, cx)).await.ok_or(QueueShutDown)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    ///
    /// [`TryPutError`] with the item if the queue is full or was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::bounded(1).async_side();
    /// assert!(side.put_nowait(1).is_ok());
    /// assert!(side.put_nowait(2).unwrap_err().is_full());
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<(), TryPutError<T>> {
        self.core.put(item, Patience::None)
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// [`TryGetError`] if the queue is empty, and says whether it was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{TryGetError, mixed};
    /// let side = mixed::Queue::<i32>::bounded(1).async_side();
    /// assert_eq!(side.get_nowait(), Err(TryGetError::Empty));
    /// ```
    pub fn get_nowait(&self) -> Result<T, TryGetError> {
        self.core.get(Patience::None)
    }

    /// Says that an item taken from the queue, on either side, has been dealt with.
    ///
    /// # Errors
    ///
    /// If it is called more often than items were put. Nothing changes.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert!(mixed::Queue::<i32>::unbounded().async_side().task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.core.task_done()
    }

    /// Waits until every item that was put, on either side, has been dealt with.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing for the queue or for others.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::unbounded();
    /// let side = queue.sync_side();
    /// side.put(1).unwrap();
    /// std::thread::spawn(move || {
    ///     side.get().unwrap();
    ///     side.task_done().unwrap();
    /// });
    /// queue.async_side().join().await;
    /// assert_eq!(queue.async_side().unfinished(), 0);
    /// # });
    /// ```
    pub async fn join(&self) {
        wait_for(&self.core, For::Done, |inside| inside.unfinished == 0).await;
    }

    /// Ends the queue gently, for both sides. See [`SyncQueue::shutdown`](super::SyncQueue::shutdown).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::unbounded();
    /// queue.async_side().shutdown();
    /// assert!(queue.sync_side().put(1).is_err());
    /// ```
    pub fn shutdown(&self) {
        self.core.shut_down(false, false);
    }

    /// Ends the queue at once, for both sides. See
    /// [`SyncQueue::shutdown_now`](super::SyncQueue::shutdown_now).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::unbounded();
    /// queue.sync_side().put(1).unwrap();
    /// queue.async_side().shutdown_now();
    /// assert!(queue.sync_side().is_empty());
    /// ```
    pub fn shutdown_now(&self) {
        self.core.shut_down(true, false);
    }

    /// Whether the queue was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert!(!mixed::Queue::<i32>::unbounded().async_side().is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.core.look(|inside| inside.shut_down)
    }

    /// How many items there are to get. By the time you look at it, a thread may have changed it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::unbounded().async_side().len(), 0);
    /// ```
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.core.len()
    }

    /// Whether there was no item to get.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert!(mixed::Queue::<i32>::unbounded().async_side().is_empty());
    /// ```
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there was no room for an item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert!(!mixed::Queue::<i32>::unbounded().async_side().is_full());
    /// ```
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.len() == self.core.maxsize
    }

    /// How many items were put and not yet reported by [`task_done`](Self::task_done).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::unbounded().async_side().unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.core.look(|inside| inside.unfinished)
    }
}

/// Waits for something that is told to everybody, unless it is so already.
pub(super) async fn wait_for<T, O: Order<T>>(
    core: &Core<T, O>,
    what: For,
    is_so: impl Fn(&Inside<O>) -> bool,
) {
    let mut place = Place::new(core, what);
    let wait = |cx: &mut Context<'_>| core.poll_signal(what, &mut place.key, &is_so, cx);
    poll_fn(wait).await;
}

/// A task's place in line, given up when dropped.
struct Place<'a, T, O: Order<T>> {
    core: &'a Core<T, O>,
    what: For,
    key: Option<Key>,
}

impl<'a, T, O: Order<T>> Place<'a, T, O> {
    fn new(core: &'a Core<T, O>, what: For) -> Self {
        Self { core, what, key: None }
    }
}

impl<T, O: Order<T>> Drop for Place<'_, T, O> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.core.leave(self.what, key);
        }
    }
}

impl<T, O> Clone for AsyncQueue<T, O> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T, O: Order<T>> fmt::Debug for AsyncQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f.debug_struct("AsyncQueue"))
    }
}
