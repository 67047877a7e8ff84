//! A broadcast channel: every receiver gets every value, and the memory is limited.
//!
//! The channel keeps the newest `capacity` values. A receiver that lags further behind gets the
//! number of values that it has missed, and goes on with the oldest value in the channel. So a slow
//! receiver delays neither the senders nor the other receivers.
//!
//! ```
//! use asyncio_sync::broadcast;
//!
//! # futures::executor::block_on(async {
//! let (sender, mut first) = broadcast::channel(16);
//! let mut second = sender.subscribe();
//! sender.send("news").unwrap();
//! assert_eq!(first.recv().await, Ok("news"));
//! assert_eq!(second.recv().await, Ok("news"));
//! # });
//! ```

mod error;
mod ring;
#[cfg(feature = "futures-core")]
mod stream;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

pub use self::error::{RecvError, SendError, TryRecvError};
use asyncio_loop::WaitsFor;

use self::ring::{Read, Ring};
#[cfg(feature = "futures-core")]
pub use self::stream::Values;
use crate::listeners::{Listeners, Seat};

/// Creates a channel that keeps the newest `capacity` values for its receivers.
///
/// # Panics
///
/// If `capacity` is 0: no value could ever be received.
///
/// # From asyncio
///
/// asyncio has no broadcast channel; programs use a list of queues.
///
/// # Examples
///
/// ```
/// use asyncio_sync::broadcast::{self, RecvError};
///
/// # futures::executor::block_on(async {
/// let (sender, mut receiver) = broadcast::channel(2);
/// for n in 1..=5 {
///     sender.send(n).unwrap();
/// }
/// drop(sender);
/// assert_eq!(receiver.recv().await, Err(RecvError::Lagged(3)));
/// assert_eq!(receiver.recv().await, Ok(4));
/// assert_eq!(receiver.recv().await, Ok(5));
/// assert_eq!(receiver.recv().await, Err(RecvError::Closed));
/// # });
/// ```
#[must_use]
#[track_caller]
pub fn channel<T: Clone>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a broadcast channel needs room for one value at least");
    let channel = Rc::new(Channel {
        ring: RefCell::new(Ring::new(capacity)),
        receivers: Cell::new(0),
        senders: Cell::new(1),
        listeners: Listeners::new(WaitsFor::Item),
    });
    let receiver = Receiver::new(&channel);
    (Sender { channel }, receiver)
}

/// The state that all handles share.
struct Channel<T> {
    ring: RefCell<Ring<T>>,
    receivers: Cell<usize>,
    senders: Cell<usize>,
    /// The receivers that wait for a value.
    listeners: Listeners,
}

impl<T> Channel<T> {
    fn is_closed(&self) -> bool {
        self.senders.get() == 0
    }
}

impl<T: Clone> Channel<T> {
    /// Reads the value at `next`, if others will read it, too, and advances `next`.
    #[inline(always)]
    fn read_shared(&self, next: &mut u64) -> Option<T> {
        // `clone` runs code of the user, so the ring is only borrowed shared meanwhile.
        let value = self.ring.borrow().read_shared(*next)?;
        *next += 1;
        Some(value)
    }

    /// Reads the value at `next`, and advances `next`.
    fn read(&self, next: &mut u64) -> Result<T, TryRecvError> {
        if let Some(value) = self.read_shared(next) {
            return Ok(value);
        }
        let mut ring = self.ring.borrow_mut();
        match ring.take_last(*next) {
            Read::Value(value) => {
                *next += 1;
                Ok(value)
            }
            Read::Lagged { oldest } => {
                let missed = oldest - *next;
                *next = oldest;
                Err(TryRecvError::Lagged(missed))
            }
            Read::Nothing if self.is_closed() => Err(TryRecvError::Closed),
            Read::Nothing => Err(TryRecvError::Empty),
        }
    }
}

/// The sending half of a broadcast [`channel`]. A clone sends into the same channel.
///
/// When the last sender is dropped, the receivers get the remaining values, and then
/// [`RecvError::Closed`].
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T: Clone> Sender<T> {
    /// Sends a value to every receiver that exists now, and returns their number.
    ///
    /// This never waits. If the channel is full, its oldest value is dropped, and the receivers
    /// that have not read that value get [`RecvError::Lagged`].
    ///
    /// # Errors
    ///
    /// [`SendError`] with the value if there is no receiver.
    ///
    /// # Panics
    ///
    /// If the `Clone` of a value sends into the channel that the value is being read from.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::broadcast;
    ///
    /// let (sender, receiver) = broadcast::channel(1);
    /// assert_eq!(sender.send('a'), Ok(1));
    /// drop(receiver);
    /// assert_eq!(sender.send('b').unwrap_err().into_inner(), 'b');
    /// ```
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        let channel = &*self.channel;
        let receivers = channel.receivers.get();
        if receivers == 0 {
            return Err(SendError(value));
        }
        let evicted = channel.ring.borrow_mut().push(value, receivers);
        channel.listeners.signal();
        // The old value's destructor is code of the user: it runs when the channel is consistent
        // again.
        drop(evicted);
        Ok(receivers)
    }

    /// Adds a receiver, which gets the values sent from now on.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::broadcast::{self, TryRecvError};
    ///
    /// let (sender, _first) = broadcast::channel(4);
    /// sender.send(1).unwrap();
    /// let mut late = sender.subscribe();
    /// assert_eq!(late.try_recv(), Err(TryRecvError::Empty));
    /// ```
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver::new(&self.channel)
    }

    /// The number of receivers.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.get()
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        let channel = Rc::clone(&self.channel);
        channel.senders.set(channel.senders.get() + 1);
        Self { channel }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let senders = self.channel.senders.get() - 1;
        self.channel.senders.set(senders);
        if senders == 0 {
            self.channel.listeners.signal();
        }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("receivers", &self.channel.receivers.get())
            .finish_non_exhaustive()
    }
}

/// The receiving half of a broadcast [`channel`].
///
/// A clone starts at the same place, so it gets what this receiver has not read yet.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// The number of the next value to read.
    next: u64,
    seat: Seat,
}

impl<T: Clone> Receiver<T> {
    fn new(channel: &Rc<Channel<T>>) -> Self {
        channel.receivers.set(channel.receivers.get() + 1);
        let next = channel.ring.borrow().end();
        Self { channel: Rc::clone(channel), next, seat: Seat::NONE }
    }

    /// Waits for the next value.
    ///
    /// # Errors
    ///
    /// [`RecvError::Lagged`] with the number of values that were missed since the last call; the
    /// next call returns the oldest remaining value. [`RecvError::Closed`] if all senders are gone
    /// and everything was read.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// A dropped future has read nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::broadcast;
    ///
    /// # futures::executor::block_on(async {
    /// let (sender, mut receiver) = broadcast::channel(8);
    /// let reader = async {
    ///     let mut sum = 0;
    ///     while let Ok(n) = receiver.recv().await {
    ///         sum += n;
    ///     }
    ///     sum
    /// };
    /// let writer = async move {
    ///     for n in 1..=4 {
    ///         sender.send(n).unwrap();
    ///     }
    /// };
    /// assert_eq!(futures::join!(reader, writer).0, 10);
    /// # });
    /// ```
    #[inline]
    pub fn recv(&mut self) -> Recv<'_, T> {
        Recv { receiver: self, waits: false }
    }

    /// Reads the next value, if there is one, without waiting.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if there is no value now, otherwise as [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        self.channel.read(&mut self.next)
    }
}

impl<T> Receiver<T> {
    /// The number of unread values, including those that the channel has dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::broadcast;
    ///
    /// let (sender, receiver) = broadcast::channel(4);
    /// sender.send(1).unwrap();
    /// assert_eq!(receiver.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.channel.ring.borrow().end() - self.next).unwrap_or(usize::MAX)
    }

    /// Whether every value was read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all senders are gone. Unread values may remain.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        let channel = Rc::clone(&self.channel);
        channel.receivers.set(channel.receivers.get() + 1);
        channel.ring.borrow_mut().add_reader(self.next);
        Self { channel, next: self.next, seat: Seat::NONE }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.channel.receivers.set(self.channel.receivers.get() - 1);
        self.channel.listeners.give_up(&self.seat);
        let unread = self.channel.ring.borrow_mut().remove_reader(self.next);
        drop(unread);
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The future of [`Receiver::recv`].
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a, T> {
    receiver: &'a mut Receiver<T>,
    /// Whether the receiver was put into the line.
    waits: bool,
}

impl<T: Clone> Recv<'_, T> {
    fn read(&mut self) -> Poll<Result<T, RecvError>> {
        Poll::Ready(match self.receiver.try_recv() {
            Ok(value) => Ok(value),
            Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
            Err(TryRecvError::Closed) => Err(RecvError::Closed),
            Err(TryRecvError::Empty) => return Poll::Pending,
        })
    }

    #[inline(never)]
    #[track_caller]
    fn read_or_wait(&mut self, cx: &Context<'_>) -> Poll<Result<T, RecvError>> {
        let read = self.read();
        if read.is_ready() {
            return read;
        }
        self.waits = true;
        let Receiver { channel, seat, .. } = &mut *self.receiver;
        // Cloning a foreign waker may have sent a value.
        if channel.listeners.wait(seat, cx) { self.read() } else { Poll::Pending }
    }
}

impl<T: Clone> Future for Recv<'_, T> {
    type Output = Result<T, RecvError>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // What is usual while values are there is short, so that it becomes a part of the caller.
        let Receiver { channel, next, .. } = &mut *self.receiver;
        match channel.read_shared(next) {
            Some(value) => Poll::Ready(Ok(value)),
            None => self.read_or_wait(cx),
        }
    }
}

impl<T> Drop for Recv<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.receiver.channel.listeners.leave(&self.receiver.seat);
        }
    }
}

impl<T> fmt::Debug for Recv<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recv").finish_non_exhaustive()
    }
}
