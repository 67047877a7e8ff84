//! [`Queue`], [`LifoQueue`] and [`PriorityQueue`]: queues between tasks.

mod order;
#[cfg(feature = "futures-core")]
mod stream;

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

pub use order::{Fifo, Lifo, Order, Priority};
#[cfg(feature = "futures-core")]
pub use stream::Items;

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use crate::error::{PutError, QueueShutDown, TaskDoneError, TryGetError, TryPutError};
use crate::line::{Line, Signal, Turn};

/// A queue that gives items out in the order in which they came. Its methods are those of
/// [`BaseQueue`].
#[doc(alias = "mpsc")]
pub type Queue<T> = BaseQueue<T, Fifo<T>>;

/// A queue that gives the newest item out first. Its methods are those of [`BaseQueue`].
pub type LifoQueue<T> = BaseQueue<T, Lifo<T>>;

/// A queue that gives the smallest item out first. Its methods are those of [`BaseQueue`].
///
/// `std`'s `BinaryHeap` gives the greatest first. `Reverse` turns the order around here, too:
///
/// ```
/// use std::cmp::Reverse;
/// use asyncio_sync::PriorityQueue;
///
/// let queue = PriorityQueue::new();
/// queue.put_nowait(Reverse(1)).unwrap();
/// queue.put_nowait(Reverse(2)).unwrap();
/// assert_eq!(queue.get_nowait(), Ok(Reverse(2)));
/// ```
pub type PriorityQueue<T> = BaseQueue<T, Priority<T>>;

/// What [`Queue`], [`LifoQueue`] and [`PriorityQueue`] have in common, which is all but the order.
///
/// Tasks that wait to get an item, or to put one into a full queue, are served in order of arrival.
/// A newcomer takes an item or a slot only if more are available than were promised to tasks that
/// have been woken. A future that is woken and never polled again is passed over, so it does not
/// block the others. Only [`get_nowait`](Self::get_nowait) and [`put_nowait`](Self::put_nowait) may
/// take an item or slot that was promised to a woken task; that task then stays the first in line.
///
/// An empty queue allocates no memory.
///
/// # From asyncio
///
/// `Queue()` is `Queue::new()` and `Queue(maxsize=5)` is `Queue::bounded(5)`. A refused item comes
/// back in the error. A newcomer in [`get`](Self::get) or [`put`](Self::put) does not take the item
/// or slot for which another task was woken, as it may in Python.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Queue;
///
/// # futures::executor::block_on(async {
/// let queue = Queue::bounded(1);
/// let producer = async {
///     for n in 1..=3 {
///         queue.put(n).await.unwrap(); // waits while the queue is full
///     }
///     queue.shutdown();
/// };
/// let consumer = async {
///     let mut sum = 0;
///     while let Ok(n) = queue.get().await {
///         sum += n;
///     }
///     sum
/// };
/// assert_eq!(futures::join!(producer, consumer), ((), 6));
/// # });
/// ```
pub struct BaseQueue<T, O> {
    items: RefCell<O>,
    /// `usize::MAX` if there is no limit.
    maxsize: usize,
    /// The number of items that were put and not yet done.
    unfinished: Cell<usize>,
    shut_down: Cell<bool>,
    getters: Line,
    putters: Line,
    joiners: Line,
    item: PhantomData<T>,
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
    /// # use asyncio_sync::{Queue, TryPutError};
    /// let queue = Queue::bounded(1);
    /// assert!(queue.put_nowait("first").is_ok());
    /// assert_eq!(queue.put_nowait("second"), Err(TryPutError::Full("second")));
    /// ```
    #[must_use]
    #[track_caller]
    pub fn bounded(maxsize: usize) -> Self {
        assert!(maxsize > 0, "a queue needs room for one item at least");
        Self {
            items: RefCell::default(),
            maxsize,
            unfinished: Cell::new(0),
            shut_down: Cell::new(false),
            getters: Line::new(WaitsFor::Item),
            putters: Line::new(WaitsFor::Room),
            joiners: Line::new(WaitsFor::Resource),
            item: PhantomData,
        }
    }

    /// Creates a queue that is never full: [`put`](Self::put) never waits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// assert_eq!(queue.maxsize(), None);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new() -> Self {
        Self::bounded(usize::MAX)
    }

    /// Waits for room and puts an item in.
    ///
    /// # Errors
    ///
    /// [`PutError`] with the item if the queue was shut down, before or during the wait.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its item, which was not put, and gives up its place in line. Room
    /// that was promised to it goes to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// # futures::executor::block_on(async {
    /// let queue = Queue::new();
    /// queue.put("item").await.unwrap();
    /// assert_eq!(queue.len(), 1);
    /// # });
    /// ```
    pub fn put(&self, item: T) -> Put<'_, T, O> {
        Put { queue: self, turn: Turn::new(&self.putters), item: Some(item) }
    }

    /// Waits for an item and takes it.
    ///
    /// # Errors
    ///
    /// [`QueueShutDown`] if the queue was shut down and has no items left.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no item: an item that was promised to it goes to the next in line.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// # futures::executor::block_on(async {
    /// let queue = Queue::new();
    /// queue.put_nowait("item").unwrap();
    /// assert_eq!(queue.get().await, Ok("item"));
    /// # });
    /// ```
    pub fn get(&self) -> Get<'_, T, O> {
        Get { queue: self, turn: Turn::new(&self.getters) }
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
    /// # use asyncio_sync::{LifoQueue, TryPutError};
    /// let stack = LifoQueue::bounded(1);
    /// stack.put_nowait('a').unwrap();
    /// assert_eq!(stack.put_nowait('b'), Err(TryPutError::Full('b')));
    /// ```
    pub fn put_nowait(&self, item: T) -> Result<(), TryPutError<T>> {
        if self.shut_down.get() {
            return Err(TryPutError::ShutDown(item));
        }
        if self.is_full() {
            return Err(TryPutError::Full(item));
        }
        self.push(item);
        if self.putters.notified() > self.room() {
            self.putters.withdraw();
        }
        Ok(())
    }

    /// Takes an item if there is one.
    ///
    /// # Errors
    ///
    /// [`TryGetError`] if the queue is empty. The variant says whether it was shut down.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{PriorityQueue, TryGetError};
    /// let queue = PriorityQueue::new();
    /// queue.put_nowait(2).unwrap();
    /// queue.put_nowait(1).unwrap();
    /// assert_eq!(queue.get_nowait(), Ok(1));
    /// assert_eq!(queue.get_nowait(), Ok(2));
    /// assert_eq!(queue.get_nowait(), Err(TryGetError::Empty));
    /// ```
    pub fn get_nowait(&self) -> Result<T, TryGetError> {
        let Some(item) = self.pop() else {
            return Err(if self.shut_down.get() {
                TryGetError::ShutDown
            } else {
                TryGetError::Empty
            });
        };
        if self.getters.notified() > self.len() {
            self.getters.withdraw();
        }
        Ok(item)
    }

    /// Reports that an item taken from the queue has been processed, for [`join`](Self::join).
    ///
    /// # Errors
    ///
    /// [`TaskDoneError`] if this is called more often than items were put. The count does not
    /// change then.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// assert!(queue.task_done().is_ok());
    /// assert!(queue.task_done().is_err());
    /// ```
    pub fn task_done(&self) -> Result<(), TaskDoneError> {
        if self.unfinished.get() == 0 {
            return Err(TaskDoneError(()));
        }
        self.finish(1);
        Ok(())
    }

    /// Waits until [`task_done`](Self::task_done) was called for every item that was put.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the queue or on other tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// # futures::executor::block_on(async {
    /// let queue = Queue::new();
    /// queue.put_nowait("work").unwrap();
    /// let worker = async {
    ///     queue.get().await.unwrap();
    ///     queue.task_done().unwrap();
    /// };
    /// futures::join!(queue.join(), worker);
    /// assert_eq!(queue.unfinished(), 0);
    /// # });
    /// ```
    pub fn join(&self) -> impl Future<Output = ()> {
        at_await(async move {
            if self.unfinished.get() > 0 {
                Signal::new(&self.joiners).await;
            }
        })
    }

    /// Shuts the queue down: no item can be put any more, and remaining items can still be taken.
    ///
    /// Waiting calls of [`put`](Self::put) end with [`PutError`], those of [`get`](Self::get) with
    /// [`QueueShutDown`] when no item is left. [`join`](Self::join) goes on waiting for
    /// `task_done`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{Queue, TryGetError, TryPutError};
    /// let queue = Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// queue.shutdown();
    /// assert_eq!(queue.put_nowait(2), Err(TryPutError::ShutDown(2)));
    /// assert_eq!(queue.get_nowait(), Ok(1));
    /// assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown));
    /// ```
    pub fn shutdown(&self) {
        self.shut_down.set(true);
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Shuts the queue down at once: remaining items are dropped, and count as done for
    /// [`join`](Self::join).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{Queue, TryGetError};
    /// let queue = Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// queue.shutdown_now();
    /// assert_eq!(queue.get_nowait(), Err(TryGetError::ShutDown));
    /// assert_eq!(queue.unfinished(), 0);
    /// ```
    #[doc(alias = "immediate")]
    pub fn shutdown_now(&self) {
        self.shut_down.set(true);
        let items = mem::take(&mut *self.items.borrow_mut());
        self.finish(items.count());
        self.getters.notify_all();
        self.putters.notify_all();
    }

    /// Whether the queue was shut down, by [`shutdown`](Self::shutdown) or
    /// [`shutdown_now`](Self::shutdown_now).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::<i32>::new();
    /// assert!(!queue.is_shut_down());
    /// queue.shutdown();
    /// assert!(queue.is_shut_down());
    /// ```
    pub fn is_shut_down(&self) -> bool {
        self.shut_down.get()
    }

    /// The number of items in the queue.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::new();
    /// queue.put_nowait('x').unwrap();
    /// assert_eq!(queue.len(), 1);
    /// ```
    #[doc(alias = "qsize")]
    pub fn len(&self) -> usize {
        self.items.borrow().count()
    }

    /// Whether there is no item to get.
    ///
    /// # Examples
    ///
    /// ```
    /// assert!(asyncio_sync::Queue::<i32>::new().is_empty());
    /// ```
    #[doc(alias = "empty")]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room for an item.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::bounded(1);
    /// queue.put_nowait('x').unwrap();
    /// assert!(queue.is_full());
    /// ```
    #[doc(alias = "full")]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// The maximum number of items, if there is a limit.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// assert_eq!(Queue::<i32>::bounded(3).maxsize(), Some(3));
    /// assert_eq!(Queue::<i32>::new().maxsize(), None);
    /// ```
    pub fn maxsize(&self) -> Option<usize> {
        (self.maxsize < usize::MAX).then_some(self.maxsize)
    }

    /// How many items were put and not yet reported by [`task_done`](Self::task_done).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Queue;
    /// let queue = Queue::new();
    /// queue.put_nowait(1).unwrap();
    /// queue.get_nowait().unwrap();
    /// assert_eq!(queue.unfinished(), 1);
    /// ```
    pub fn unfinished(&self) -> usize {
        self.unfinished.get()
    }

    fn room(&self) -> usize {
        self.maxsize.saturating_sub(self.len())
    }

    fn push(&self, item: T) {
        let unless_panic = O::COMPARES.then(|| OnPanic::new(self, &self.putters));
        self.items.borrow_mut().push(item);
        mem::forget(unless_panic);
        self.added();
    }

    fn pop(&self) -> Option<T> {
        let unless_panic = O::COMPARES.then(|| OnPanic::new(self, &self.getters));
        let item = self.items.borrow_mut().pop();
        mem::forget(unless_panic);
        if item.is_some() {
            self.putters.notify_one();
        }
        item
    }

    fn added(&self) {
        self.unfinished.set(self.unfinished.get() + 1);
        self.getters.notify_one();
    }

    /// Counts items as done. `task_done` may have counted some of them before, so it stops at 0.
    fn finish(&self, items: usize) {
        let left = self.unfinished.get().saturating_sub(items);
        self.unfinished.set(left);
        if left == 0 {
            self.joiners.signal();
        }
    }
}

/// Keeps the counts right when the comparison of two items panics.
struct OnPanic<'a, T, O: Order<T>> {
    queue: &'a BaseQueue<T, O>,
    /// The line of the task that panics, whose turn goes to the next.
    line: &'a Line,
    items: usize,
}

impl<'a, T, O: Order<T>> OnPanic<'a, T, O> {
    #[inline]
    fn new(queue: &'a BaseQueue<T, O>, line: &'a Line) -> Self {
        Self { queue, line, items: queue.len() }
    }
}

impl<T, O: Order<T>> Drop for OnPanic<'_, T, O> {
    #[cold]
    fn drop(&mut self) {
        match self.queue.len().cmp(&self.items) {
            Ordering::Greater => self.queue.added(),
            Ordering::Equal => self.line.notify_one(),
            // The item was dropped with the panic.
            Ordering::Less => {
                self.queue.putters.notify_one();
                self.queue.finish(1);
            }
        }
    }
}

impl<T, O: Order<T>> Default for BaseQueue<T, O> {
    #[track_caller]
    fn default() -> Self {
        Self::new()
    }
}

impl<T, O: Order<T>> fmt::Debug for BaseQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("len", &self.len())
            .field("maxsize", &self.maxsize())
            .field("getters", &self.getters.len())
            .field("putters", &self.putters.len())
            .field("unfinished", &self.unfinished.get())
            .field("shut_down", &self.shut_down.get())
            .finish()
    }
}

/// The future of [`put`](BaseQueue::put).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Put<'a, T, O: Order<T> = Fifo<T>> {
    queue: &'a BaseQueue<T, O>,
    turn: Turn<'a>,
    item: Option<T>,
}

/// The item is moved in and out, never pinned.
impl<T, O: Order<T>> Unpin for Put<'_, T, O> {}

impl<T, O: Order<T>> Future for Put<'_, T, O> {
    type Output = Result<(), PutError<T>>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let queue = self.queue;
        let open = !queue.shut_down.get();
        if open {
            ready!(self.turn.poll(queue.room(), cx));
        }
        let item = self.item.take().expect("polled after it was ready");
        if !open {
            return Poll::Ready(Err(PutError(item)));
        }
        queue.push(item);
        Poll::Ready(Ok(()))
    }
}

/// The future of [`get`](BaseQueue::get).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Get<'a, T, O: Order<T> = Fifo<T>> {
    queue: &'a BaseQueue<T, O>,
    turn: Turn<'a>,
}

impl<T, O: Order<T>> Future for Get<'_, T, O> {
    type Output = Result<T, QueueShutDown>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let queue = self.queue;
        if !queue.shut_down.get() {
            ready!(self.turn.poll(queue.len(), cx));
        }
        Poll::Ready(queue.pop().ok_or(QueueShutDown))
    }
}
