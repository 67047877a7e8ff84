//! Waiting for signals.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::io;
#[cfg(feature = "futures-core")]
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::sys::Claim;
use super::table::SignalTable;
use super::{Signal, catchable};
use crate::at_await::at_await;
use crate::event_loop::LoopRef;
use crate::event_loop::running::running_loop;
use crate::{LoopWaker, WaitsFor};

/// Waits until `signal` arrives.
///
/// The signal is caught from the first poll until the future is dropped or done. Before and after
/// that, it does what it does by default: most signals end the process. A loop over `signal` misses
/// or dies of a signal that arrives between two waits; keep a [`Signals`] for it.
///
/// # Errors
///
/// As [`add_signal_handler`](LoopRef::add_signal_handler).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping the future stops listening; a signal that came in the same turn is lost.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Signal, raise_signal, running_loop, signal};
///
/// EventLoop::new()?.run_until_complete(async {
///     running_loop().call_soon(|| raise_signal(Signal::USR2).unwrap());
///     signal(Signal::USR2).await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn signal(signal: impl Into<Signal>) -> impl Future<Output = io::Result<()>> {
    at_await(async move {
        let mut signals = Signals::new([signal.into()])?;
        signals.next().await;
        Ok(())
    })
}

/// Waits for Ctrl-C: for [`Signal::INT`].
///
/// # Errors
///
/// As [`signal`](fn@signal).
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Signal, ctrl_c, raise_signal, running_loop};
///
/// EventLoop::new()?.run_until_complete(async {
///     running_loop().call_soon(|| raise_signal(Signal::INT).unwrap());
///     ctrl_c().await
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> {
    signal(Signal::INT)
}

/// Listens for signals, from the moment it is made until it is dropped.
///
/// Each arriving signal is returned once. If the same signal arrives again before it was taken, the
/// two count as one. All listeners and handlers of a signal get it. With the feature `futures-core`
/// this is a `Stream`.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Signal, Signals, raise_signal};
///
/// EventLoop::new()?.run_until_complete(async {
///     let mut signals = Signals::new([Signal::HUP, Signal::TERM])?;
///     raise_signal(Signal::HUP)?;
///     assert_eq!(signals.next().await, Signal::HUP);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Signals {
    event_loop: LoopRef,
    /// Each signal with the place of the mailbox among those of the signal.
    wanted: Vec<(Signal, usize)>,
    mailbox: Rc<Mailbox>,
    claims: Vec<Claim>,
}

/// The signals that have arrived and were not taken.
#[derive(Default)]
pub(super) struct Mailbox {
    arrived: RefCell<VecDeque<Signal>>,
    waiter: Cell<Option<LoopWaker>>,
}

impl Signals {
    /// Begins to listen for `signals`, on the running loop.
    ///
    /// # Errors
    ///
    /// As [`add_signal_handler`](LoopRef::add_signal_handler).
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Signal, Signals};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let mut signals = Signals::new([Signal::HUP, Signal::USR1]).unwrap();
    ///     assert_eq!(signals.next_nowait(), None);
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new<I>(signals: I) -> io::Result<Self>
    where
        I: IntoIterator,
        I::Item: Into<Signal>,
    {
        // Registered one by one, so that dropping it undoes what was done before an error.
        let mut listener = Signals {
            event_loop: running_loop(),
            wanted: Vec::new(),
            mailbox: Rc::default(),
            claims: Vec::new(),
        };
        for signal in signals {
            listener.add(signal.into())?;
        }
        Ok(listener)
    }

    fn add(&mut self, signal: Signal) -> io::Result<()> {
        let number = catchable(signal)?;
        if !self.wanted.iter().any(|(wanted, _)| *wanted == signal) {
            let table = self.event_loop.local::<SignalTable>();
            let place = table.add_mailbox(&self.event_loop, number, &self.mailbox)?;
            self.wanted.push((signal, place));
            self.claims.extend(Claim::of(number));
        }
        Ok(())
    }

    /// Waits for the next signal.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no signal: it stays until it is taken.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Signal, Signals, raise_signal};
    ///
    /// let signal = EventLoop::new()?.run_until_complete(async {
    ///     let mut signals = Signals::new([Signal::HUP, Signal::USR1])?;
    ///     raise_signal(Signal::HUP)?;
    ///     std::io::Result::Ok(signals.next().await)
    /// })??;
    /// assert_eq!(signal, Signal::HUP);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "recv")]
    #[allow(clippy::should_implement_trait)] // it gives a future
    pub fn next(&mut self) -> impl Future<Output = Signal> {
        at_await(poll_fn(|cx| self.mailbox.poll_take(cx)))
    }

    /// Takes a signal that has arrived, if there is one.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Signal, Signals};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     let mut signals = Signals::new([Signal::HUP]).unwrap();
    ///     assert_eq!(signals.next_nowait(), None, "none has arrived");
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "try_recv")]
    pub fn next_nowait(&mut self) -> Option<Signal> {
        self.mailbox.take()
    }
}

/// The signals as they arrive, without an end.
#[cfg(feature = "futures-core")]
impl futures_core::Stream for Signals {
    type Item = Signal;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Signal>> {
        self.mailbox.poll_take(cx).map(Some)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        if self.event_loop.is_closed() {
            return;
        }
        let table = self.event_loop.local::<SignalTable>();
        for (signal, place) in &self.wanted {
            if let Err(error) = table.remove_mailbox(signal.as_raw(), *place) {
                log::error!(target: "asyncio", "cannot restore {signal}: {error}");
            }
        }
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wanted: Vec<_> = self.wanted.iter().map(|(signal, _)| signal).collect();
        f.debug_struct("Signals").field("wanted", &wanted).finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(super) fn put(&self, signal: Signal) {
        let mut arrived = self.arrived.borrow_mut();
        if !arrived.contains(&signal) {
            arrived.push_back(signal);
        }
        drop(arrived);
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }

    fn take(&self) -> Option<Signal> {
        self.arrived.borrow_mut().pop_front()
    }

    fn poll_take(&self, cx: &Context<'_>) -> Poll<Signal> {
        match self.take() {
            Some(signal) => Poll::Ready(signal),
            None => {
                WaitsFor::Signal.note(cx);
                self.waiter.set(Some(LoopWaker::from_context(cx)));
                Poll::Pending
            }
        }
    }
}
