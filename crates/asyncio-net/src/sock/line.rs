//! Operations that wait for the same descriptor and direction.
//!
//! The poller wakes one task for each direction. An operation that waits alone registers its own
//! task. If several wait, a waker of the line is registered. It wakes all of them, and each tries
//! again.

use std::cell::RefCell;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use asyncio_loop::machinery::{WaitKey, WaitList};
use asyncio_loop::{Direction, LoopRef, LoopWaker, try_running_loop};

use crate::fence;

/// The lines of a loop, by the number of the descriptor: the line of readers, then the line of
/// writers.
#[derive(Default)]
pub(super) struct Lines(RefCell<Vec<[WaitList<LoopWaker>; 2]>>);

impl Lines {
    fn with<R>(
        &self,
        fd: RawFd,
        direction: Direction,
        action: impl FnOnce(&mut WaitList<LoopWaker>) -> R,
    ) -> R {
        let mut lines = self.0.borrow_mut();
        let fd = fd as usize;
        if lines.len() <= fd {
            lines.resize_with(fd + 1, Default::default);
        }
        action(&mut lines[fd][usize::from(direction == Direction::Write)])
    }
}

/// A place in line, until this is dropped.
pub(super) struct Place {
    lines: Rc<Lines>,
    fd: RawFd,
    direction: Direction,
    key: Option<WaitKey>,
}

impl Place {
    pub(super) fn new(event_loop: &LoopRef, fd: RawFd, direction: Direction) -> Self {
        Self { lines: event_loop.local(), fd, direction, key: None }
    }

    /// Puts the task of `cx` in line. Returns whether it is the only one.
    pub(super) fn stand(&mut self, cx: &Context<'_>) -> bool {
        let waker = LoopWaker::from_context(cx);
        let (replaced, alone) = self.lines.with(self.fd, self.direction, |line| {
            let replaced = self.key.and_then(|key| line.remove(key));
            self.key = Some(line.push(waker));
            (replaced, line.len() == 1)
        });
        // The waker is dropped with nothing borrowed, because a foreign waker may run any code.
        drop(replaced);
        alone
    }

    /// A waker for all tasks in line.
    pub(super) fn waker_of_all(&self) -> Waker {
        Arc::new(WakeAll { fd: self.fd, direction: self.direction }).into()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let _waker = self.lines.with(self.fd, self.direction, |line| line.remove(key));
        }
    }
}

/// Wakes a line. The poller calls this on the thread of the line's loop.
struct WakeAll {
    fd: RawFd,
    direction: Direction,
}

impl Wake for WakeAll {
    fn wake(self: Arc<Self>) {
        let Ok(event_loop) = try_running_loop() else { return };
        let lines = event_loop.local::<Lines>();
        let waiting = lines.with(self.fd, self.direction, std::mem::take);
        for waker in waiting {
            fence::wake(&event_loop, waker);
        }
    }
}
