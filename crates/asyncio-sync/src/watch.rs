//! A watch channel: receivers see the latest value, and wait for it to change.
//!
//! A receiver may miss values in between, so a slow receiver costs nothing. Use it for settings,
//! progress and states.
//!
//! ```
//! use asyncio_sync::watch;
//!
//! # futures::executor::block_on(async {
//! let (sender, mut receiver) = watch::channel("starting");
//! let server = async move {
//!     sender.send("ready");
//!     sender.send("stopping"); // nobody may have seen "ready"
//! };
//! let client = async {
//!     while receiver.changed().await.is_ok() {
//!         println!("{}", *receiver.borrow_and_update());
//!     }
//! };
//! futures::join!(server, client);
//! assert_eq!(*receiver.borrow(), "stopping");
//! # });
//! ```

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use crate::line::{Line, Signal};
use crate::listeners::{Listeners, Seat};

/// Creates a channel with an initial value, which counts as seen by the receiver.
///
/// # From asyncio
///
/// asyncio has no watch channel; programs use a condition and a variable.
#[must_use]
#[track_caller]
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let channel = Rc::new(Channel {
        value: RefCell::new(value),
        version: Cell::new(0),
        senders: Cell::new(1),
        receivers: Cell::new(1),
        changes: Listeners::new(WaitsFor::Item),
        leavers: Line::new(WaitsFor::Resource),
    });
    let receiver = Receiver { channel: Rc::clone(&channel), seen: 0, seat: Seat::NONE };
    (Sender { channel }, receiver)
}

/// The state that all handles share.
struct Channel<T> {
    value: RefCell<T>,
    /// Counts the values that were sent.
    version: Cell<u64>,
    senders: Cell<usize>,
    receivers: Cell<usize>,
    /// The receivers that wait for a change.
    changes: Listeners,
    /// The senders that wait until there is no receiver.
    leavers: Line,
}

impl<T> Channel<T> {
    /// Notifies the receivers of a new value.
    #[inline]
    fn announce(&self) {
        self.version.set(self.version.get() + 1);
        self.changes.signal();
    }
}

/// The sending half of a watch [`channel`]. A clone sends into the same channel.
///
/// When the last sender is dropped, waiting receivers get [`Closed`]. They can still read the last
/// value.
pub struct Sender<T> {
    channel: Rc<Channel<T>>,
}

impl<T> Sender<T> {
    /// Replaces the value, and wakes the waiting receivers.
    ///
    /// This works without receivers too: later receivers see the value.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](Self::borrow).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::watch;
    ///
    /// let (sender, receiver) = watch::channel(1);
    /// sender.send(2);
    /// assert!(receiver.has_changed());
    /// assert_eq!(*receiver.borrow(), 2);
    /// ```
    pub fn send(&self, value: T) {
        drop(self.send_replace(value));
    }

    /// Does the same as [`send`](Self::send), and returns the previous value.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](Self::borrow).
    pub fn send_replace(&self, value: T) -> T {
        let old = self.channel.value.replace(value);
        self.channel.announce();
        old
    }

    /// Changes the value in place, and wakes the waiting receivers.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](Self::borrow). If `change` panics, the receivers are not
    /// woken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::watch;
    ///
    /// let (progress, receiver) = watch::channel(0);
    /// progress.send_modify(|percent| *percent += 10);
    /// assert_eq!(*receiver.borrow(), 10);
    /// ```
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            change(value);
            true
        });
    }

    /// Changes the value in place, and wakes the waiting receivers if `change` returns true.
    /// Returns the result of `change`.
    ///
    /// # Panics
    ///
    /// While the value is [borrowed](Self::borrow).
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let modified = change(&mut self.channel.value.borrow_mut());
        if modified {
            self.channel.announce();
        }
        modified
    }

    /// The latest value. While the guard lives, nothing can be sent: do not keep it across an
    /// `.await`.
    ///
    /// # Panics
    ///
    /// Inside of [`send_modify`](Self::send_modify).
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.channel.value.borrow())
    }

    /// Adds a receiver. The present value counts as seen by it.
    #[must_use]
    pub fn subscribe(&self) -> Receiver<T> {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        let seen = self.channel.version.get();
        Receiver { channel: Rc::clone(&self.channel), seen, seat: Seat::NONE }
    }

    /// The number of receivers.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        self.channel.receivers.get()
    }

    /// Waits until there is no receiver.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future only ends the wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::watch;
    ///
    /// # futures::executor::block_on(async {
    /// let (sender, receiver) = watch::channel(());
    /// futures::join!(sender.closed(), async { drop(receiver) });
    /// # });
    /// ```
    pub fn closed(&self) -> impl Future<Output = ()> {
        at_await(async move {
            while self.receiver_count() > 0 {
                Signal::new(&self.channel.leavers).await;
            }
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.channel.senders.set(self.channel.senders.get() + 1);
        Self { channel: Rc::clone(&self.channel) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let senders = self.channel.senders.get() - 1;
        self.channel.senders.set(senders);
        if senders == 0 {
            self.channel.changes.signal();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("value", &self.channel.value)
            .field("receivers", &self.channel.receivers.get())
            .finish()
    }
}

/// The receiving half of a watch [`channel`]. A clone has seen the same values.
pub struct Receiver<T> {
    channel: Rc<Channel<T>>,
    /// The number of the newest value that the receiver has seen.
    seen: u64,
    seat: Seat,
}

impl<T> Receiver<T> {
    /// The latest value, which does not count as seen then. While the guard lives, nothing can be
    /// sent: do not keep it across an `.await`.
    ///
    /// # Panics
    ///
    /// Inside of [`Sender::send_modify`].
    #[must_use]
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.channel.value.borrow())
    }

    /// The latest value, which counts as seen then: [`changed`](Self::changed) waits for the next.
    ///
    /// # Panics
    ///
    /// Inside of [`Sender::send_modify`].
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        self.seen = self.channel.version.get();
        self.borrow()
    }

    /// Whether there is an unseen value.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        self.seen != self.channel.version.get()
    }

    /// Waits until there is an unseen value, which then counts as seen.
    ///
    /// # Errors
    ///
    /// [`Closed`] if there is no unseen value and every sender is gone.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future marks no value as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::watch;
    ///
    /// # futures::executor::block_on(async {
    /// let (sender, mut receiver) = watch::channel(0);
    /// sender.send(1);
    /// assert!(receiver.changed().await.is_ok());
    /// drop(sender);
    /// assert!(receiver.changed().await.is_err());
    /// assert_eq!(*receiver.borrow(), 1);
    /// # });
    /// ```
    #[inline]
    pub fn changed(&mut self) -> Changed<'_, T> {
        Changed { receiver: self, waits: false }
    }

    /// Waits until `condition` holds for the latest value; returns at once if it holds already.
    /// Returns that value, which counts as seen.
    ///
    /// # Errors
    ///
    /// [`Closed`] if the condition does not hold and every sender is gone.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Values for which the condition did not hold count as seen.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_sync::watch;
    ///
    /// # futures::executor::block_on(async {
    /// let (progress, mut receiver) = watch::channel(0);
    /// let work = async {
    ///     for percent in [30, 60, 100] {
    ///         progress.send(percent);
    ///     }
    /// };
    /// let wait = async { receiver.wait_for(|percent| *percent == 100).await.is_ok() };
    /// assert_eq!(futures::join!(work, wait).1, true);
    /// # });
    /// ```
    pub fn wait_for(
        &mut self,
        mut condition: impl FnMut(&T) -> bool,
    ) -> impl Future<Output = Result<Ref<'_, T>, Closed>> {
        at_await(async move {
            while !condition(&self.borrow_and_update()) {
                self.changed().await?;
            }
            Ok(self.borrow())
        })
    }

    /// Whether every sender is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.senders.get() == 0
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.channel.receivers.set(self.channel.receivers.get() + 1);
        Self { channel: Rc::clone(&self.channel), seen: self.seen, seat: Seat::NONE }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let receivers = self.channel.receivers.get() - 1;
        self.channel.receivers.set(receivers);
        self.channel.changes.give_up(&self.seat);
        if receivers == 0 {
            self.channel.leavers.signal();
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver")
            .field("value", &self.channel.value)
            .field("changed", &self.has_changed())
            .finish()
    }
}

/// The future of [`Receiver::changed`].
#[must_use = "futures do nothing unless awaited"]
pub struct Changed<'a, T> {
    receiver: &'a mut Receiver<T>,
    /// Whether the receiver was put into the line.
    waits: bool,
}

impl<T> Changed<'_, T> {
    #[inline]
    fn poll_value(&mut self) -> Poll<Result<(), Closed>> {
        let Receiver { channel, seen, .. } = &mut *self.receiver;
        let version = channel.version.get();
        if *seen != version {
            *seen = version;
            return Poll::Ready(Ok(()));
        }
        if channel.senders.get() == 0 { Poll::Ready(Err(Closed(()))) } else { Poll::Pending }
    }
}

impl<T> Future for Changed<'_, T> {
    type Output = Result<(), Closed>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let value = self.poll_value();
        if value.is_ready() {
            return value;
        }
        self.waits = true;
        let Receiver { channel, seat, .. } = &mut *self.receiver;
        // Cloning a foreign waker may have sent a value.
        if channel.changes.wait(seat, cx) { self.poll_value() } else { Poll::Pending }
    }
}

impl<T> Drop for Changed<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.waits {
            self.receiver.channel.changes.leave(&self.receiver.seat);
        }
    }
}

impl<T> fmt::Debug for Changed<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").finish_non_exhaustive()
    }
}

/// The latest value of a watch channel, borrowed.
pub struct Ref<'a, T>(std::cell::Ref<'a, T>);

impl<T> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Ref<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Every sender of a watch channel is gone, and the latest value was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed(());

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the watch channel is closed")
    }
}

impl Error for Closed {}
