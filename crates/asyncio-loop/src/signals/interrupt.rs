//! Ctrl-C during a run on the main thread.

use std::cell::Cell;
use std::fmt;
use std::rc::{Rc, Weak};
use std::thread;

use super::table::{Handler, SignalTable};
use super::{Signal, is_default_signal, sys};
use crate::event_loop::LoopRef;

/// Calls a callback on its loop at each Ctrl-C until it is dropped.
///
/// The callback is not called while a task of the loop itself listens for the signal. If the thread
/// is blocked, so that the callback of a first Ctrl-C has not run within a tenth of a second, the
/// next Ctrl-C ends the process as it would without a handler.
pub struct Interrupt {
    event_loop: LoopRef,
    /// Removed when the program sets its own handler.
    armed: Weak<sys::Armed>,
}

impl Interrupt {
    /// Begins to handle Ctrl-C. `None` on other threads than the main one, if Ctrl-C does not have
    /// its default effect in this process, and if the system refuses.
    pub fn handle(event_loop: &LoopRef, mut callback: impl FnMut() + 'static) -> Option<Self> {
        if thread::current().name() != Some("main") || !is_default_signal(Signal::INT) {
            return None;
        }
        let armed = Rc::new(sys::Armed::new());
        let weak = Rc::downgrade(&armed);
        let told = event_loop.clone();
        let handler = Handler::internal(move || {
            armed.answer();
            if !told.is_listened_for(Signal::INT) {
                callback();
            }
        });
        let table = event_loop.local::<SignalTable>();
        table.set_handler(event_loop, Signal::INT.as_raw(), handler).ok()?;
        Some(Self { event_loop: event_loop.clone(), armed: weak })
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        if self.armed.strong_count() > 0 {
            // The system accepted the handler, so it accepts the earlier disposition too.
            let _ = self.event_loop.remove_signal_handler(Signal::INT);
        }
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interrupt").finish_non_exhaustive()
    }
}

/// Calls `run`, which Ctrl-C stops. Returns whether Ctrl-C has stopped it.
pub(crate) fn run_interruptible<R>(event_loop: &LoopRef, run: impl FnOnce() -> R) -> (R, bool) {
    let interrupted = Rc::new(Cell::new(false));
    let (mark, stopped) = (Rc::clone(&interrupted), event_loop.clone());
    let interrupt = Interrupt::handle(event_loop, move || {
        mark.set(true);
        stopped.stop();
    });
    let result = run();
    drop(interrupt);
    (result, interrupted.get())
}
