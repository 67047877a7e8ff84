//! Queues between threads and tasks: one side blocks, the other is awaited.
//!
//! ```
//! use std::thread;
//! use asyncio_sync::mixed;
//!
//! # futures::executor::block_on(async {
//! let queue = mixed::Queue::bounded(100);
//! let side = queue.sync_side();
//! thread::spawn(move || {
//!     for line in ["one", "two"] {
//!         side.put(line).unwrap(); // blocks the thread while the queue is full
//!     }
//!     side.shutdown();
//! });
//!
//! let side = queue.async_side();
//! let mut lines = vec![];
//! while let Ok(line) = side.get().await {
//!     lines.push(line);
//! }
//! assert_eq!(lines, ["one", "two"]);
//! # });
//! ```
//!
//! Both sides see the same items in the same order, the same count of unfinished items, and the
//! same shutdown. A queue can be made without a loop, and closing a loop does not affect it.
//!
//! # From janus
//!
//! `queue.sync_q` is [`BaseQueue::sync_side`], `queue.async_q` is [`BaseQueue::async_side`]; both
//! are handles that can be kept. A blocking call with a timeout is a method of its own, such as
//! [`SyncQueue::put_timeout`]. The async side is not bound to a loop: any number of loops may use
//! it.

mod async_side;
mod core;
mod error;
#[cfg(feature = "futures-core")]
mod stream;
mod sync_side;
mod waiting;

use std::fmt;
use std::sync::Arc;

pub use async_side::AsyncQueue;
pub use error::NotClosedError;
#[cfg(feature = "futures-core")]
pub use stream::Items;
pub use sync_side::SyncQueue;

use asyncio_loop::machinery::at_await;

use self::core::{Core, Deadline};
use self::waiting::For;
use crate::error::{TaskDoneError, TryGetError, TryPutError};
use crate::queue::{Fifo, Lifo, Order, Priority};

/// A mixed queue that gives items out in the order in which they came.
pub type Queue<T> = BaseQueue<T, Fifo<T>>;

/// A mixed queue that gives the newest item out first.
pub type LifoQueue<T> = BaseQueue<T, Lifo<T>>;

/// A mixed queue that gives the smallest item out first.
pub type PriorityQueue<T> = BaseQueue<T, Priority<T>>;

/// The queue behind [`Queue`], [`LifoQueue`] and [`PriorityQueue`], which differ only in their
/// order.
///
/// Both sides dereference to this, so they have its methods too. None of the methods blocks.
pub struct BaseQueue<T, O> {
    core: Arc<Core<T, O>>,
}

impl<T, O: Order<T>> BaseQueue<T, O> {
    /// Creates a queue that holds at most `maxsize` items.
    ///
    /// # Panics
    ///
    /// If `maxsize` is 0, since no item could ever be put.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::bounded(1);
    /// queue.sync_side().put(1).unwrap();
    /// assert!(queue.async_side().is_full());
    /// ```
    #[must_use]
    pub fn bounded(maxsize: usize) -> Self {
        Self { core: Arc::new(Core::new(maxsize)) }
    }

    /// Creates a queue that is never full.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::new().maxsize(), None);
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::bounded(usize::MAX)
    }

    /// Returns the side for threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::PriorityQueue::new();
    /// queue.sync_side().put(2).unwrap();
    /// queue.sync_side().put(1).unwrap();
    /// assert_eq!(queue.sync_side().get(), Ok(1));
    /// ```
    #[doc(alias = "sync_q")]
    pub fn sync_side(&self) -> SyncQueue<T, O> {
        SyncQueue { queue: self.clone() }
    }

    /// Returns the side for tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::new();
    /// assert!(queue.async_side().put_nowait(1).is_ok());
    /// ```
    #[doc(alias = "async_q")]
    pub fn async_side(&self) -> AsyncQueue<T, O> {
        AsyncQueue { queue: self.clone() }
    }

    /// The maximum number of items, if there is a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::bounded(3).maxsize(), Some(3));
    /// ```
    pub fn maxsize(&self) -> Option<usize> {
        (self.core.maxsize < usize::MAX).then_some(self.core.maxsize)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    ///
    /// [`TryPutError::Full`] or [`TryPutError::ShutDown`], with the item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{TryPutError, mixed};
    /// let queue = mixed::Queue::bounded(1);
    /// assert!(queue.put_nowait(1).is_ok());
    /// assert_eq!(queue.put_nowait(2), Err(TryPutError::Full(2)));
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<(), TryPutError<T>> {
        self.core.put(item, Deadline::Now)
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// [`TryGetError::Empty`] or [`TryGetError::ShutDown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{TryGetError, mixed};
    /// let queue = mixed::Queue::<i32>::new();
    /// assert_eq!(queue.get_nowait(), Err(TryGetError::Empty));
    /// ```
    pub fn get_nowait(&self) -> Result<T, TryGetError> {
        self.core.get(Deadline::Now)
    }

    /// Reports that an item taken from the queue, on either side, has been processed.
    ///
    /// # Errors
    ///
    /// [`TaskDoneError`] if this is called more often than items were put. The count does not
    /// change then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// assert!(queue.task_done().is_ok());
    /// assert!(queue.task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.core.task_done()
    }

    /// Shuts the queue down, for both sides: no item can be put any more, and remaining items can
    /// be taken.
    ///
    /// Threads and tasks that wait in vain are woken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{TryPutError, mixed};
    /// let queue = mixed::Queue::new();
    /// queue.shutdown();
    /// assert_eq!(queue.put_nowait(1), Err(TryPutError::ShutDown(1)));
    /// ```
    pub fn shutdown(&self) {
        self.core.shut_down(false, false);
    }

    /// Shuts the queue down at once, for both sides: remaining items are dropped, and count as
    /// done.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{TryGetError, mixed};
    /// let queue = mixed::Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// queue.shutdown_now();
    /// assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown));
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
    /// assert!(!mixed::Queue::<i32>::new().is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.core.with_inside(|inside| inside.shut_down)
    }

    /// The number of items in the queue. Other threads may change it at any time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::new().len(), 0);
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
    /// assert!(mixed::Queue::<i32>::new().is_empty());
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
    /// assert!(!mixed::Queue::<i32>::new().is_full());
    /// ```
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.len() == self.core.maxsize
    }

    /// The number of items that were put and not yet reported by [`task_done`](Self::task_done).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::new().unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.core.with_inside(|inside| inside.unfinished)
    }

    /// Shuts the queue down at once: remaining items are dropped, and every waiting thread and task
    /// is woken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::new();
    /// queue.close();
    /// assert!(queue.sync_side().put(1).is_err());
    /// ```
    pub fn close(&self) {
        self.core.shut_down(true, true);
    }

    /// Waits until no thread and no task is blocked in the queue any more.
    ///
    /// Threads and tasks in `join` are blocked until [`task_done`](Self::task_done) was called for
    /// the items that are being processed.
    ///
    /// # Errors
    ///
    /// [`NotClosedError`] if the queue was not [closed](Self::close).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::<i32>::new();
    /// assert!(queue.wait_closed().await.is_err());
    /// queue.close();
    /// assert!(queue.wait_closed().await.is_ok());
    /// # });
    /// ```
    pub fn wait_closed(&self) -> impl Future<Output = Result<(), NotClosedError>> {
        at_await(async move {
            if !self.core.with_inside(|inside| inside.is_closing()) {
                return Err(NotClosedError(()));
            }
            async_side::wait_for(&self.core, For::Closed, |inside| inside.is_closed()).await;
            Ok(())
        })
    }

    /// Whether the queue was closed, and no thread or task is blocked in it any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::<i32>::new();
    /// assert!(!queue.is_closed());
    /// queue.close();
    /// assert!(queue.is_closed());
    /// ```
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        self.core.with_inside(|inside| inside.is_closed())
    }
}

impl<T, O> Clone for BaseQueue<T, O> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T, O: Order<T>> Default for BaseQueue<T, O> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T, O: Order<T>> fmt::Debug for BaseQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f.debug_struct("Queue"))
    }
}
