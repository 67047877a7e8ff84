//! Signals by name and number.

use std::ffi::c_int;
use std::fmt;
use std::ops::RangeInclusive;

/// A Unix signal.
///
/// It can hold any number. A number that the system does not know is an error when the signal is
/// used.
///
/// ```
/// use asyncio_loop::Signal;
///
/// assert_eq!(Signal::TERM.to_string(), "SIGTERM");
/// assert_eq!(Signal::from(Signal::INT.as_raw()), Signal::INT);
/// assert_eq!(Signal::from(99).to_string(), "signal 99");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(c_int);

impl Signal {
    /// `SIGALRM`: an alarm clock.
    pub const ALRM: Signal = Signal(libc::SIGALRM);
    /// `SIGCHLD`: a child process ended or stopped.
    pub const CHLD: Signal = Signal(libc::SIGCHLD);
    /// `SIGCONT`: continues a stopped process.
    pub const CONT: Signal = Signal(libc::SIGCONT);
    /// `SIGHUP`: the terminal is gone; by convention, a daemon reads its configuration again.
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INT: Signal = Signal(libc::SIGINT);
    /// `SIGKILL`: ends the process; it cannot be handled.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// `SIGPIPE`: a write to a pipe whose reading end is closed. Rust programs ignore it.
    pub const PIPE: Signal = Signal(libc::SIGPIPE);
    /// `SIGQUIT`: Ctrl-\.
    pub const QUIT: Signal = Signal(libc::SIGQUIT);
    /// `SIGSTOP`: stops the process; it cannot be handled.
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// `SIGTERM`: asks the process to end.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// `SIGTSTP`: Ctrl-Z.
    pub const TSTP: Signal = Signal(libc::SIGTSTP);
    /// `SIGUSR1`: free for the program's use.
    pub const USR1: Signal = Signal(libc::SIGUSR1);
    /// `SIGUSR2`: free for the program's use.
    pub const USR2: Signal = Signal(libc::SIGUSR2);
    /// `SIGWINCH`: the terminal's size changed.
    pub const WINCH: Signal = Signal(libc::SIGWINCH);

    /// Returns the system's number.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Signal;
    ///
    /// assert_eq!(Signal::from(Signal::TERM.as_raw()), Signal::TERM);
    /// ```
    #[must_use]
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// Returns the real-time signal with this number among them, `SIGRTMIN + number`, if there is
    /// one: other systems than Linux have none. Programs define their meaning.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Signal;
    ///
    /// # #[cfg(target_os = "linux")]
    /// assert_eq!(Signal::real_time(1).unwrap().to_string(), "SIGRTMIN+1");
    /// assert_eq!(Signal::real_time(200), None);
    /// ```
    #[doc(alias = "SIGRTMIN")]
    #[must_use]
    pub fn real_time(number: u8) -> Option<Signal> {
        real_time_signals().nth(number.into()).map(Signal)
    }

    /// Its number among the real-time signals, if it is one.
    fn real_time_number(self) -> Option<c_int> {
        let all = real_time_signals();
        all.contains(&self.0).then(|| self.0 - all.start())
    }

    fn name(self) -> Option<&'static str> {
        Some(match self {
            Signal::ALRM => "SIGALRM",
            Signal::CHLD => "SIGCHLD",
            Signal::CONT => "SIGCONT",
            Signal::HUP => "SIGHUP",
            Signal::INT => "SIGINT",
            Signal::KILL => "SIGKILL",
            Signal::PIPE => "SIGPIPE",
            Signal::QUIT => "SIGQUIT",
            Signal::STOP => "SIGSTOP",
            Signal::TERM => "SIGTERM",
            Signal::TSTP => "SIGTSTP",
            Signal::USR1 => "SIGUSR1",
            Signal::USR2 => "SIGUSR2",
            Signal::WINCH => "SIGWINCH",
            _ => return None,
        })
    }
}

impl From<i32> for Signal {
    fn from(number: i32) -> Self {
        Signal(number)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.real_time_number()) {
            (Some(name), _) => f.write_str(name),
            (None, Some(number)) => write!(f, "SIGRTMIN+{number}"),
            (None, None) => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(target_os = "linux")]
fn real_time_signals() -> RangeInclusive<c_int> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// None is known here.
#[cfg(not(target_os = "linux"))]
fn real_time_signals() -> RangeInclusive<c_int> {
    RangeInclusive::new(1, 0)
}
