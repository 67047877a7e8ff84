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
//! Both sides see the same items in the same order, the same count of unfinished items, and the same
//! shutdown. Neither needs a loop to be made, and a loop that has closed is nothing to either.
//!
//! # From janus
//!
//! `queue.sync_q` is [`BaseQueue::sync_side`], `queue.async_q` is [`BaseQueue::async_side`]; both are
//! handles that may be kept. A blocking call with a timeout has a name of its own, such as
//! [`SyncQueue::put_timeout`]. The async side is not bound to a loop: any number of loops may use it.

mod async_side;
mod core;
mod error;
mod sync_side;
mod waiting;

use std::fmt;
use std::sync::Arc;

pub use async_side::AsyncQueue;
pub use error::{NotClosedError, SyncGetError, SyncPutError};
pub use sync_side::SyncQueue;

use self::core::Core;
use self::waiting::For;
use crate::queue::{Fifo, Lifo, Order, Priority};

/// A mixed queue that gives items out in the order in which they came.
pub type Queue<T> = BaseQueue<T, Fifo<T>>;

/// A mixed queue that gives the newest item out first.
pub type LifoQueue<T> = BaseQueue<T, Lifo<T>>;

/// A mixed queue that gives the smallest item out first.
pub type PriorityQueue<T> = BaseQueue<T, Priority<T>>;

/// What [`Queue`], [`LifoQueue`] and [`PriorityQueue`] have in common, which is all but the order.
pub struct BaseQueue<T, O> {
    core: Arc<Core<T, O>>,
}

impl<T, O: Order<T>> BaseQueue<T, O> {
    /// Creates a queue that holds at most `maxsize` items.
    ///
    /// # Panics
    ///
    /// If `maxsize` is 0: nothing could ever be put.
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
    /// assert_eq!(mixed::LifoQueue::<i32>::unbounded().maxsize(), None);
    /// ```
    #[must_use]
    pub fn unbounded() -> Self {
        Self::bounded(usize::MAX)
    }

    /// The side for threads.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::PriorityQueue::unbounded();
    /// queue.sync_side().put(2).unwrap();
    /// queue.sync_side().put(1).unwrap();
    /// assert_eq!(queue.sync_side().get(), Ok(1));
    /// ```
    #[doc(alias = "sync_q")]
    pub fn sync_side(&self) -> SyncQueue<T, O> {
        SyncQueue::new(self.core.clone())
    }

    /// The side for tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::unbounded();
    /// assert!(queue.async_side().put_nowait(1).is_ok());
    /// ```
    #[doc(alias = "async_q")]
    pub fn async_side(&self) -> AsyncQueue<T, O> {
        AsyncQueue::new(self.core.clone())
    }

    /// The most items the queue may hold, if there is a limit.
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

    /// Shuts the queue down at once: what is left in it is dropped, and everybody who waits is woken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::unbounded();
    /// queue.close();
    /// assert!(queue.sync_side().put(1).is_err());
    /// ```
    pub fn close(&self) {
        self.core.shut_down(true, true);
    }

    /// Waits until no thread and no task is blocked in the queue any more.
    ///
    /// Those in `join` are until [`task_done`](SyncQueue::task_done) was called for what is in work.
    ///
    /// # Errors
    ///
    /// If the queue was not [closed](Self::close).
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
    /// let queue = mixed::Queue::<i32>::unbounded();
    /// assert!(queue.wait_closed().await.is_err());
    /// queue.close();
    /// assert!(queue.wait_closed().await.is_ok());
    /// # });
    /// ```
    pub async fn wait_closed(&self) -> Result<(), NotClosedError> {
        if !self.core.look(|inside| inside.is_closing()) {
            return Err(NotClosedError(()));
        }
        async_side::wait_for(&self.core, For::Closed, |inside| inside.is_closed()).await;
        Ok(())
    }

    /// [`close`](Self::close), then [`wait_closed`](Self::wait_closed).
    ///
    /// # Cancel safety
    ///
    /// Once polled, the queue is closed, whether the future is dropped or not.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::<i32>::unbounded();
    /// queue.aclose().await;
    /// assert!(queue.is_closed());
    /// # });
    /// ```
    pub async fn aclose(&self) {
        self.close();
        async_side::wait_for(&self.core, For::Closed, |inside| inside.is_closed()).await;
    }

    /// Whether the queue was closed, and nobody is blocked in it any more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let queue = mixed::Queue::<i32>::unbounded();
    /// assert!(!queue.is_closed());
    /// queue.close();
    /// assert!(queue.is_closed());
    /// ```
    #[doc(alias = "closed")]
    pub fn is_closed(&self) -> bool {
        self.core.look(|inside| inside.is_closed())
    }
}

impl<T, O> Clone for BaseQueue<T, O> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T, O: Order<T>> Default for BaseQueue<T, O> {
    fn default() -> Self {
        Self::unbounded()
    }
}

impl<T, O: Order<T>> fmt::Debug for BaseQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f.debug_struct("Queue"))
    }
}
