//! The values of a receiver as a `Stream`.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use super::{Receiver, Recv, RecvError};

impl<T: Clone> Receiver<T> {
    /// Reads the values as a `Stream`, which ends when every sender is gone. With the feature
    /// `futures-core`.
    ///
    /// # Errors
    ///
    /// An item is [`RecvError::Lagged`] where the receiver has missed values; the stream goes on.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream loses no value.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::broadcast;
    /// use futures::TryStreamExt;
    ///
    /// # futures::executor::block_on(async {
    /// let (sender, mut receiver) = broadcast::channel(8);
    /// (1..=3).for_each(|n| assert_eq!(sender.send(n), Ok(1)));
    /// drop(sender);
    /// let values: Vec<i32> = receiver.stream().try_collect().await.unwrap();
    /// assert_eq!(values, [1, 2, 3]);
    /// # });
    /// ```
    pub fn stream(&mut self) -> Values<'_, T> {
        Values(self.recv())
    }
}

/// The values of a receiver, from [`Receiver::stream`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Values<'a, T>(Recv<'a, T>);

impl<T: Clone> Stream for Values<'_, T> {
    type Item = Result<T, RecvError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let read = ready!(Pin::new(&mut self.0).poll(cx));
        Poll::Ready(match read {
            Err(RecvError::Closed) => None,
            read => Some(read),
        })
    }
}
