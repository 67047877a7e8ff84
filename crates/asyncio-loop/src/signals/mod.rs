//! Signals as events of a loop.
//!
//! `sys` is what the system calls, `registry` knows which loops want what, `table` is one loop's
//! share, and `listen` is how tasks wait.

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

/// For how many signals the machinery listens; `None` if the user of the loop does.
pub(crate) fn internal_listeners(event_loop: &LoopRef) -> Option<usize> {
    event_loop.local::<SignalTable>().internal()
}

impl LoopRef {
    /// Calls `callback` on this loop whenever `signal` arrives, in place of what the signal did so
    /// far.
    ///
    /// It runs as any other callback does, soon after the signal, in a copy of the current context;
    /// so it may do everything that signal handlers must not. Signals that arrive faster than it
    /// runs count as one. A second handler for the same signal replaces the first. If it panics
    /// that is reported, and it stays registered.
    ///
    /// Any number of loops may handle the same signal, each on its own thread; every one is told.
    /// When the last one stops, or is closed, the signal does again what it did before.
    ///
    /// # Errors
    ///
    /// For numbers that are no signals, for signals that cannot be caught (`SIGKILL`, `SIGSTOP`),
    /// and for signals that a fault of the running thread raises (`SIGSEGV`, `SIGBUS`, `SIGFPE`,
    /// `SIGILL`). If the system refuses; then nothing has changed.
    ///
    /// # From asyncio
    ///
    /// There only the main thread's loop may handle signals.
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

    /// Stops calling the handler of `signal`, which does again what it did before. Returns whether
    /// there was a handler.
    ///
    /// A signal that has arrived, but whose handler has not run yet, is forgotten.
    ///
    /// # Errors
    ///
    /// For numbers that are no signals, and if the system refuses.
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

/// Whether `signal` does what it does by default: this process neither handles nor ignores it.
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

/// Sends `signal` to the calling thread, and returns when its handler has run, if it has one; by
/// default many end the process.
///
/// # Errors
///
/// For numbers that are no signals.
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
    // A handler that returns from a fault runs into it again, for ever.
    const FAULTS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL];
    let number = known(signal)?;
    if [libc::SIGKILL, libc::SIGSTOP].contains(&number) || FAULTS.contains(&number) {
        let text = format!("{signal} cannot be handled");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(number)
}
