//! Systems on which a thread cannot be examined, so that reports name no task.

use super::usage::{State, Usage};
use crate::kernel::{Glimpse, RemoteScheduler};

/// See `sys.rs`.
#[derive(Clone, Copy, Debug)]
pub(super) struct ThreadId;

pub(super) struct Seen {
    pub(super) glimpse: Option<Glimpse>,
    pub(super) registers: (),
    pub(super) stack: Vec<usize>,
}

impl ThreadId {
    pub(super) fn current() -> Self {
        Self
    }

    pub(super) fn usage(self) -> Usage {
        Usage::default()
    }

    pub(super) fn state(self) -> State {
        State::Blocked
    }

    pub(super) fn sample(self, _: &RemoteScheduler) -> Option<Seen> {
        None
    }
}
