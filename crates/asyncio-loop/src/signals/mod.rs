//! Signals as events of a loop.
//!
//! `sys` has the handler that the system calls, `registry` the loops that want each signal, `table`
//! the handlers and listeners of one loop, and `listen` the waits of tasks.

mod by_signal;
mod interrupt;
mod listen;
mod registry;
mod signal;
mod sys;
mod table;

use std::ffi::c_int;
use std::io;

pub use interrupt::Interrupt;
pub(crate) use interrupt::run_interruptible;
pub use listen::{Signals, ctrl_c, signal};
pub use signal::Signal;

use self::table::{Handler, SignalTable};
use crate::event_loop::LoopRef;

/// The number of signals for which only this project's own code listens; `None` if the user's code
/// listens too.
pub(crate) fn internal_listeners(event_loop: &LoopRef) -> Option<usize> {
    event_loop.local::<SignalTable>().internal()
}

impl LoopRef {
    /// Calls `callback` on this loop whenever `signal` arrives, instead of the signal's previous
    /// effect.
    ///
    /// It runs like any other callback, soon after the signal, in a copy of the current context; so
    /// it may run any code, unlike a signal handler. Signals that arrive faster than it runs count
    /// as one. A second handler for the same signal replaces the first. If it panics, that is
    /// reported, and it stays registered.
    ///
    /// Any number of loops may handle the same signal, each on its own thread; all of them get it.
    /// When the last one stops handling it, or is closed, the signal gets its previous disposition
    /// back.
    ///
    /// # Errors
    ///
    /// An error for numbers that are no signals, for signals that cannot be caught (`SIGKILL`,
    /// `SIGSTOP`), for signals that a fault of the running thread raises (`SIGSEGV`, `SIGBUS`,
    /// `SIGFPE`, `SIGILL`), and if the system refuses. After an error nothing has changed.
    ///
    /// # From asyncio
    ///
    /// In asyncio, only the main thread's loop may handle signals.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::{cell::Cell, rc::Rc};
    /// use asyncio_loop::{EventLoop, Signal};
    ///
    /// let event_loop = EventLoop::new()?;
    /// let seen = Rc::new(Cell::new(0));
    /// event_loop.add_signal_handler(Signal::USR1, {
    ///     let (seen, event_loop) = (Rc::clone(&seen), event_loop.loop_ref());
    ///     move || {
    ///         seen.set(seen.get() + 1);
    ///         event_loop.stop();
    ///     }
    /// })?;
    /// rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::USR1)?;
    /// event_loop.run_forever()?;
    /// assert_eq!(seen.get(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_signal_handler(
        &self,
        signal: impl Into<Signal>,
        callback: impl FnMut() + 'static,
    ) -> io::Result<()> {
        let number = catchable(signal.into())?;
        self.local::<SignalTable>().set_handler(self, number, Handler::new(number, callback))
    }

    /// Removes the handler of `signal`, which gets its previous disposition back. Returns whether
    /// there was a handler.
    ///
    /// A signal that has arrived, but whose handler has not run yet, is forgotten.
    ///
    /// # Errors
    ///
    /// An error for numbers that are no signals, and if the system refuses.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Signal};
    ///
    /// let event_loop = EventLoop::new()?;
    /// event_loop.add_signal_handler(Signal::USR2, || ())?;
    /// assert!(event_loop.remove_signal_handler(Signal::USR2)?);
    /// assert!(!event_loop.remove_signal_handler(Signal::USR2)?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn remove_signal_handler(&self, signal: impl Into<Signal>) -> io::Result<bool> {
        let number = known(signal.into())?;
        self.local::<SignalTable>().remove_handler(number)
    }

    /// Whether a task of this loop listens for `signal`, by [`Signals`] or by a future that waits
    /// for it. A handler does not count.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{EventLoop, Signal, Signals, running_loop};
    ///
    /// EventLoop::new()?.run_until_complete(async {
    ///     assert!(!running_loop().is_listened_for(Signal::USR2));
    ///     let signals = Signals::new([Signal::USR2])?;
    ///     assert!(running_loop().is_listened_for(Signal::USR2));
    ///     drop(signals);
    ///     assert!(!running_loop().is_listened_for(Signal::USR2));
    ///     std::io::Result::Ok(())
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(hidden)]
    #[must_use]
    pub fn is_listened_for(&self, signal: impl Into<Signal>) -> bool {
        self.local::<SignalTable>().has_mailbox(signal.into().as_raw())
    }
}

/// Whether `signal` has its default disposition: this process neither handles nor ignores it.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Signal};
/// use asyncio_loop::machinery::is_default_signal;
///
/// let event_loop = EventLoop::new()?;
/// assert!(is_default_signal(Signal::USR1));
/// event_loop.add_signal_handler(Signal::USR1, || ())?;
/// assert!(!is_default_signal(Signal::USR1));
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use]
pub fn is_default_signal(signal: impl Into<Signal>) -> bool {
    known(signal.into()).is_ok_and(sys::is_default)
}

/// Sends `signal` to the calling thread, and returns when its handler has run, if it has one. By
/// default many signals end the process.
///
/// # Errors
///
/// An error for numbers that are no signals.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, Signal, Signals, raise_signal};
///
/// EventLoop::new()?.run_until_complete(async {
///     let mut signals = Signals::new([Signal::USR1])?;
///     raise_signal(Signal::USR1)?;
///     assert_eq!(signals.next().await, Signal::USR1);
///     Ok::<(), std::io::Error>(())
/// })??;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn raise_signal(signal: impl Into<Signal>) -> io::Result<()> {
    sys::raise(known(signal.into())?)
}

fn known(signal: Signal) -> io::Result<c_int> {
    let number = signal.as_raw();
    if sys::is_signal(number) {
        return Ok(number);
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{number} is not a signal")))
}

fn catchable(signal: Signal) -> io::Result<c_int> {
    // A handler that returns from a fault would meet the same fault again, forever.
    const FAULTS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    let number = known(signal)?;
    if [libc::SIGKILL, libc::SIGSTOP].contains(&number) || FAULTS.contains(&number) {
        let text = format!("{signal} cannot be handled");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(number)
}
