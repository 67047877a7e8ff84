//! The waiters of a queue: tasks in line, and threads asleep.

use std::task::Waker;

use asyncio_loop::machinery::caught;

use crate::waiters::WaiterList;

#[derive(Debug, Default)]
pub(super) struct Tasks {
    pub(super) getters: WaiterList<Waker>,
    pub(super) putters: WaiterList<Waker>,
    pub(super) joiners: WaiterList<Waker>,
    pub(super) closers: WaiterList<Waker>,
}

/// Threads that sleep, for each condition.
#[derive(Debug, Default)]
pub(super) struct Threads {
    pub(super) getters: Sleepers,
    pub(super) putters: Sleepers,
    pub(super) joiners: Sleepers,
}

/// Threads that sleep on one condition.
///
/// Waking costs a system call each time, so threads that were woken and do not run yet are counted.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    pub(super) asleep: usize,
    woken: usize,
}

impl Sleepers {
    /// Whether a thread has to be woken, and no woken one has yet to run. Used where a thread that
    /// was woken wakes the next one if there is more.
    pub(super) fn wants_wake(&self) -> bool {
        self.asleep > 0 && self.woken == 0
    }

    /// Whether a thread has to be woken, which the caller then does.
    pub(super) fn wake_one(&mut self) -> bool {
        let any = self.asleep > self.woken;
        self.woken += usize::from(any);
        any
    }

    /// Notes that a thread has woken up. If it woke up spuriously, it counts as another thread's
    /// wake-up, and one more thread than necessary may be woken.
    pub(super) fn woke(&mut self) {
        self.asleep -= 1;
        self.woken = self.woken.saturating_sub(1);
    }
}

/// The condition that a task waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    Item,
    Room,
    Done,
    Closed,
}

/// Notifies the next task in line, and its deputy to check whether it answers.
pub(super) fn call(line: &mut WaiterList<Waker>) -> [Option<Waker>; 2] {
    if line.waiting() == 0 { [None, None] } else { [line.notify(), line.deputy()] }
}

pub(super) fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    for waker in wakers.into_iter().flatten() {
        // A waker is code of a user: if one panics, the others are woken all the same.
        caught("a waker", || waker.wake());
    }
}
