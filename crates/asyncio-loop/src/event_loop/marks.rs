//! Flags that take a turn off the fast path, in one word, because a turn of one poll takes 20 ns,
//! and testing each flag would be too slow.

use std::cell::Cell;
use std::fmt;

/// The run is to end after this turn.
pub(crate) const STOPPING: u8 = 1;
/// Debug mode: each run is timed.
pub(crate) const DEBUG: u8 = 1 << 1;
/// Time is virtual: each turn polls for events.
pub(crate) const VIRTUAL: u8 = 1 << 2;
/// Hooks wait for the end of the turn.
pub(crate) const HOOKS: u8 = 1 << 3;
/// A director decides the order.
pub(crate) const GUIDED: u8 = 1 << 4;
/// The loop is a resting guest: its host has to be woken when something is scheduled.
pub(crate) const RESTING: u8 = 1 << 5;
/// Steps are timed.
pub(crate) const MEASURED: u8 = 1 << 6;
/// Events are recorded.
pub(crate) const RECORDED: u8 = 1 << 7;

#[derive(Default)]
pub(crate) struct Marks(Cell<u8>);

impl Marks {
    /// Whether there is any.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.0.get() != 0
    }

    #[inline]
    pub(crate) fn has(&self, mark: u8) -> bool {
        self.0.get() & mark != 0
    }

    #[inline]
    pub(crate) fn set(&self, mark: u8, yes: bool) {
        let others = self.0.get() & !mark;
        self.0.set(if yes { others | mark } else { others });
    }
}

impl fmt::Debug for Marks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Marks({:#b})", self.0.get())
    }
}
