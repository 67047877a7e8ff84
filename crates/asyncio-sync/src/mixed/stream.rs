//! The items of the tasks' side as a `Stream`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::async_side::{AsyncQueue, Place};
use super::waiting::For;
use crate::queue::Order;

impl<T, O: Order<T>> AsyncQueue<T, O> {
    /// Takes the items as a `Stream`, which ends when the queue was shut down and is empty. Needs
    /// the feature `futures-core`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream loses no item.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::mixed;
    /// use futures::StreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let queue = mixed::Queue::bounded(1);
    /// let side = queue.sync_side();
    /// std::thread::spawn(move || {
    ///     (1..=3).for_each(|n| side.put(n).unwrap());
    ///     side.shutdown();
    /// });
    /// let items: Vec<i32> = queue.async_side().stream().collect().await;
    /// assert_eq!(items, [1, 2, 3]);
    /// # });
    /// ```
    pub fn stream(&self) -> Items<'_, T, O> {
        Items(Place::new(&self.queue.core, For::Item))
    }
}

/// The items of a mixed queue, from [`AsyncQueue::stream`].
#[must_use = "streams do nothing unless polled"]
pub struct Items<'a, T, O: Order<T>>(Place<'a, T, O>);

impl<T, O: Order<T>> Stream for Items<'_, T, O> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let place = &mut self.get_mut().0;
        place.core.poll_get(&mut place.key, cx)
    }
}

impl<T, O: Order<T>> fmt::Debug for Items<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").finish_non_exhaustive()
    }
}
