//! The side of a mixed queue for threads.

use std::fmt;
use std::ops::Deref;
use std::time::{Duration, Instant};

use super::BaseQueue;
use super::core::Deadline;
use crate::error::{PutError, QueueShutDown, TryGetError, TryPutError};
use crate::queue::{Fifo, Order};

/// The side of a [mixed queue](super) for threads: its calls block.
///
/// It can be cloned and sent to any number of threads, and needs no loop. On the thread of a loop
/// call the `_nowait` methods only: the others block the whole loop, and forever if one of its
/// tasks has to answer.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use asyncio_sync::mixed;
///
/// let queue = mixed::Queue::bounded(1);
/// let side = queue.sync_side();
/// let producer = thread::spawn(move || (1..=3).try_for_each(|n| side.put(n)));
/// let items: Vec<_> = (0..3).map(|_| queue.sync_side().get().unwrap()).collect();
/// assert_eq!(items, [1, 2, 3]);
/// assert!(producer.join().unwrap().is_ok());
/// ```
pub struct SyncQueue<T, O = Fifo<T>> {
    pub(super) queue: BaseQueue<T, O>,
}

impl<T, O: Order<T>> SyncQueue<T, O> {
    /// Puts an item in, blocking the thread while the queue is full.
    ///
    /// # Errors
    ///
    /// [`PutError`] with the item if the queue was shut down, before or during the call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::new().sync_side();
    /// side.put("item").unwrap();
    /// assert_eq!(side.len(), 1);
    /// ```
    pub fn put(&self, item: T) -> Result<(), PutError<T>> {
        let put = self.queue.core.put(item, Deadline::Never);
        put.map_err(|refused| PutError(refused.into_inner()))
    }

    /// Puts an item in, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// With the item: [`TryPutError::Full`] if there was no room in time, [`TryPutError::ShutDown`]
    /// if the queue was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::{TryPutError, mixed};
    /// let side = mixed::Queue::bounded(1).sync_side();
    /// side.put(1).unwrap();
    /// let put = side.put_timeout(2, Duration::from_millis(1));
    /// assert_eq!(put, Err(TryPutError::Full(2)));
    /// ```
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), TryPutError<T>> {
        self.queue.core.put(item, deadline_after(timeout))
    }

    /// Takes an item, blocking the thread while there is none.
    ///
    /// # Errors
    ///
    /// [`QueueShutDown`] if the queue was shut down and no item is left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{QueueShutDown, mixed};
    /// let side = mixed::Queue::new().sync_side();
    /// side.put(1).unwrap();
    /// side.shutdown();
    /// assert_eq!(side.get(), Ok(1));
    /// assert_eq!(side.get(), Err(QueueShutDown));
    /// ```
    pub fn get(&self) -> Result<T, QueueShutDown> {
        self.queue.core.get(Deadline::Never).map_err(|_| QueueShutDown)
    }

    /// Takes an item, blocking the thread for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`TryGetError::Empty`] if no item came in time, [`TryGetError::ShutDown`] if the queue was
    /// shut down and no item is left.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::{TryGetError, mixed};
    /// let side = mixed::Queue::<i32>::new().sync_side();
    /// assert_eq!(side.get_timeout(Duration::from_millis(1)), Err(TryGetError::Empty));
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, TryGetError> {
        self.queue.core.get(deadline_after(timeout))
    }

    /// Blocks the thread until [`task_done`](BaseQueue::task_done) was called for every item that
    /// was put.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::new().sync_side();
    /// side.put(1).unwrap();
    /// let worker = side.clone();
    /// std::thread::spawn(move || {
    ///     worker.get().unwrap();
    ///     worker.task_done().unwrap();
    /// });
    /// side.join();
    /// assert_eq!(side.unfinished(), 0);
    /// ```
    pub fn join(&self) {
        self.queue.core.join(Deadline::Never);
    }

    /// [`join`](Self::join) for at most `timeout`. Returns false if the time was over first.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::new().sync_side();
    /// side.put(1).unwrap();
    /// assert!(!side.join_timeout(Duration::from_millis(1)));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.queue.core.join(deadline_after(timeout))
    }
}

/// A timeout too long to add never ends.
fn deadline_after(timeout: Duration) -> Deadline {
    Instant::now().checked_add(timeout).map_or(Deadline::Never, Deadline::At)
}

/// The methods that both sides have.
impl<T, O> Deref for SyncQueue<T, O> {
    type Target = BaseQueue<T, O>;

    fn deref(&self) -> &BaseQueue<T, O> {
        &self.queue
    }
}

impl<T, O> Clone for SyncQueue<T, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T, O: Order<T>> fmt::Debug for SyncQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.core.show(f.debug_struct("SyncQueue"))
    }
}
