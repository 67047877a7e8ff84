//! The side of a mixed queue for tasks.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::task::Context;

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use super::BaseQueue;
use super::core::{Core, Inside};
use super::waiting::For;
use crate::error::{PutError, QueueShutDown};
use crate::queue::{Fifo, Order};
use crate::waiters::Key;

/// The side of a [mixed queue](super) for tasks: its calls are awaited.
///
/// It works like [`Queue`](crate::Queue). Tasks are served in order of arrival among each other;
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
    pub(super) queue: BaseQueue<T, O>,
}

impl<T, O: Order<T>> AsyncQueue<T, O> {
    /// Waits for room and puts an item in.
    ///
    /// # Errors
    ///
    /// [`PutError`] with the item if the queue was shut down, before or during the wait.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops its item, which was not put. Room that was promised to the future
    /// goes to the next one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::new();
    /// queue.async_side().put("item").await.unwrap();
    /// assert_eq!(queue.sync_side().get(), Ok("item"));
    /// # });
    /// ```
    pub fn put(&self, item: T) -> impl Future<Output = Result<(), PutError<T>>> {
        at_await(async move {
            let mut item = Some(item);
            let mut place = Place::new(&self.queue.core, For::Room);
            let put = poll_fn(|cx| {
                let polled = self.queue.core.poll_put(&mut place.key, &mut item, cx);
                if polled.is_pending() {
                    WaitsFor::Room.note(cx);
                }
                polled
            });
            put.await.map_err(PutError)
        })
    }

    /// Waits for an item and takes it.
    ///
    /// # Errors
    ///
    /// [`QueueShutDown`] if the queue was shut down and no item is left.
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
    /// let queue = mixed::Queue::new();
    /// queue.sync_side().put("item").unwrap();
    /// assert_eq!(queue.async_side().get().await, Ok("item"));
    /// # });
    /// ```
    pub fn get(&self) -> impl Future<Output = Result<T, QueueShutDown>> {
        at_await(async move {
            let mut place = Place::new(&self.queue.core, For::Item);
            let get = poll_fn(|cx| {
                let polled = self.queue.core.poll_get(&mut place.key, cx);
                if polled.is_pending() {
                    WaitsFor::Item.note(cx);
                }
                polled
            });
            get.await.ok_or(QueueShutDown)
        })
    }

    /// Waits until [`task_done`](BaseQueue::task_done) was called for every item that was put, on
    /// either side.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on the queue or on other tasks.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::mixed;
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::new();
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
    pub fn join(&self) -> impl Future<Output = ()> {
        at_await(wait_for(&self.queue.core, For::Done, |inside| inside.unfinished == 0))
    }
}

/// Waits for a signal to all, unless its condition holds already.
pub(super) async fn wait_for<T, O: Order<T>>(
    core: &Core<T, O>,
    what: For,
    is_so: impl Fn(&Inside<O>) -> bool,
) {
    let mut place = Place::new(core, what);
    let wait = |cx: &mut Context<'_>| {
        let polled = core.poll_signal(what, &mut place.key, &is_so, cx);
        if polled.is_pending() {
            WaitsFor::Resource.note(cx);
        }
        polled
    };
    poll_fn(wait).await;
}

/// A task's place in line, given up when dropped.
pub(super) struct Place<'a, T, O: Order<T>> {
    pub(super) core: &'a Core<T, O>,
    what: For,
    pub(super) key: Option<Key>,
}

impl<'a, T, O: Order<T>> Place<'a, T, O> {
    pub(super) fn new(core: &'a Core<T, O>, what: For) -> Self {
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

/// The methods that both sides have.
impl<T, O> Deref for AsyncQueue<T, O> {
    type Target = BaseQueue<T, O>;

    fn deref(&self) -> &BaseQueue<T, O> {
        &self.queue
    }
}

impl<T, O> Clone for AsyncQueue<T, O> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<T, O: Order<T>> fmt::Debug for AsyncQueue<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.queue.core.show(f.debug_struct("AsyncQueue"))
    }
}
