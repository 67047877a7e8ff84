//! The side of threads.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::core::{Core, Patience};
use super::error::{SyncGetError, SyncPutError};
use crate::error::TaskDoneError;
use crate::queue::{Fifo, Order};

/// The side of a [mixed queue](super) that threads use: its calls block.
///
/// It may be cloned and sent to any number of threads, and needs no loop. On the thread of a loop call the
/// `_nowait` methods only: the others hold up the whole loop, and for ever if one of its tasks is to answer.
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
    core: Arc<Core<T, O>>,
}

impl<T, O: Order<T>> SyncQueue<T, O> {
    pub(super) fn new(core: Arc<Core<T, O>>) -> Self {
        Self { core }
    }

    /// Puts an item in, blocking the thread while the queue is full.
    ///
    /// # Errors
    ///
    /// [`SyncPutError::ShutDown`] with the item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.put("item").unwrap();
    /// assert_eq!(side.len(), 1);
    /// ```
    pub fn put(&self, item: T) -> Result<(), SyncPutError<T>> {
        Ok(self.core.put(item, Patience::Forever)?)
    }

    /// Puts an item in, blocking the thread at most that long.
    ///
    /// # Errors
    ///
    /// With the item: [`SyncPutError::Full`] if there was no room in time, [`SyncPutError::ShutDown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::bounded(1).sync_side();
    /// side.put(1).unwrap();
    /// let error = side.put_timeout(2, Duration::from_millis(1)).unwrap_err();
    /// assert!(error.is_full());
    /// ```
    pub fn put_timeout(&self, item: T, timeout: Duration) -> Result<(), SyncPutError<T>> {
        Ok(self.core.put(item, patience(timeout))?)
    }

    /// Puts an item in if there is room.
    ///
    /// # Errors
    ///
    /// With the item: [`SyncPutError::Full`], [`SyncPutError::ShutDown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::bounded(1).sync_side();
    /// assert!(side.put_nowait(1).is_ok());
    /// assert!(side.put_nowait(2).unwrap_err().is_full());
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<(), SyncPutError<T>> {
        Ok(self.core.put(item, Patience::None)?)
    }

    /// Takes an item, blocking the thread while there is none.
    ///
    /// # Errors
    ///
    /// [`SyncGetError::ShutDown`] if there will be no more.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed::{self, SyncGetError};
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.put(1).unwrap();
    /// side.shutdown();
    /// assert_eq!(side.get(), Ok(1));
    /// assert_eq!(side.get(), Err(SyncGetError::ShutDown));
    /// ```
    pub fn get(&self) -> Result<T, SyncGetError> {
        Ok(self.core.get(Patience::Forever)?)
    }

    /// Takes an item, blocking the thread at most that long.
    ///
    /// # Errors
    ///
    /// [`SyncGetError::Empty`] if none came in time, [`SyncGetError::ShutDown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::mixed::{self, SyncGetError};
    /// let side = mixed::Queue::<i32>::unbounded().sync_side();
    /// assert_eq!(side.get_timeout(Duration::from_millis(1)), Err(SyncGetError::Empty));
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, SyncGetError> {
        Ok(self.core.get(patience(timeout))?)
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// [`SyncGetError::Empty`], [`SyncGetError::ShutDown`].
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed::{self, SyncGetError};
    /// let side = mixed::Queue::<i32>::unbounded().sync_side();
    /// assert_eq!(side.get_nowait(), Err(SyncGetError::Empty));
    /// ```
    pub fn get_nowait(&self) -> Result<T, SyncGetError> {
        Ok(self.core.get(Patience::None)?)
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
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.put(1).unwrap();
    /// assert!(side.task_done().is_ok());
    /// assert!(side.task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        self.core.task_done()
    }

    /// Blocks the thread until every item that was put has been dealt with.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::unbounded().sync_side();
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
        self.core.join(Patience::Forever);
    }

    /// [`join`](Self::join) for at most that long. False if it was not enough.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.put(1).unwrap();
    /// assert!(!side.join_timeout(Duration::from_millis(1)));
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.core.join(patience(timeout))
    }

    /// Ends the queue gently, for both sides: nothing can be put any more, what is in it can be taken.
    ///
    /// Threads and tasks that are blocked are woken.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.shutdown();
    /// assert!(side.put(1).unwrap_err().is_shut_down());
    /// ```
    pub fn shutdown(&self) {
        self.core.shut_down(false, false);
    }

    /// Ends the queue at once, for both sides: what is in it is dropped, and counts as done.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed::{self, SyncGetError};
    /// let side = mixed::Queue::unbounded().sync_side();
    /// side.put(1).unwrap();
    /// side.shutdown_now();
    /// assert_eq!(side.get(), Err(SyncGetError::ShutDown));
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
    /// assert!(!mixed::Queue::<i32>::unbounded().sync_side().is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.core.look(|inside| inside.shut_down)
    }

    /// How many items there are to get. By the time you look at it, it may have changed.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// assert_eq!(mixed::Queue::<i32>::unbounded().sync_side().len(), 0);
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
    /// assert!(mixed::Queue::<i32>::unbounded().sync_side().is_empty());
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
    /// assert!(!mixed::Queue::<i32>::unbounded().sync_side().is_full());
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
    /// assert_eq!(mixed::Queue::<i32>::unbounded().sync_side().unfinished(), 0);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.core.look(|inside| inside.unfinished)
    }
}

/// A timeout too long to add never ends.
fn patience(timeout: Duration) -> Patience {
    Instant::now().checked_add(timeout).map_or(Patience::Forever, Patience::Until)
}

impl<T, O> Clone for SyncQueue<T, O> {
    fn clone(&self) -> Self {
        Self { core: self.core.clone() }
    }
}

impl<T, O: Order<T>> fmt::Debug for SyncQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.show(f.debug_struct("SyncQueue"))
    }
}
