//! The items of a queue as a `Stream`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::{BaseQueue, Get, Order};

impl<T, O: Order<T>> BaseQueue<T, O> {
    /// Takes the items as a `Stream`, which ends when the queue was shut down and is empty. Needs
    /// the feature `futures-core`.
    ///
    /// Each item is taken as by [`get`](Self::get): several streams of one queue share its items.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream loses no item.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::Queue;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let queue = Queue::new();
    /// (1..=3).for_each(|n| queue.put_nowait(n).unwrap());
    /// queue.shutdown();
    /// let squares: Vec<i32> = queue.stream().map(|n| n * n).collect().await;
    /// assert_eq!(squares, [1, 4, 9]);
    /// # });
    /// ```
    pub fn stream(&self) -> Items<'_, T, O> {
        Items { queue: self, get: None }
    }
}

/// The items of a queue, from [`BaseQueue::stream`].
#[must_use = "streams do nothing unless polled"]
pub struct Items<'a, T, O: Order<T>> {
    queue: &'a BaseQueue<T, O>,
    /// The wait for the next item, once it has begun.
    get: Option<Get<'a, T, O>>,
}

/// The wait is moved in and out, never pinned.
impl<T, O: Order<T>> Unpin for Items<'_, T, O> {}

impl<T, O: Order<T>> Stream for Items<'_, T, O> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let queue = self.queue;
        let get = self.get.get_or_insert_with(|| queue.get());
        let item = ready!(Pin::new(get).poll(cx));
        self.get = None;
        Poll::Ready(item.ok())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.queue.is_shut_down() { Some(self.queue.len()) } else { None };
        (0, left)
    }
}

impl<T, O: Order<T>> fmt::Debug for Items<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("queue", self.queue).finish_non_exhaustive()
    }
}
