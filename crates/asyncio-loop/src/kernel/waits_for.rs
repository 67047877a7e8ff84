//! The kind of thing that a blocked task waits for, as its future has noted it.

use std::fmt;

/// The first of the three bits at the end of a task's flags that hold it.
const WAIT_SHIFT: u32 = 29;
/// Those bits.
pub(super) const WAIT_BITS: u32 = 0b111 << WAIT_SHIFT;

/// The kind of thing that a task waits for: shown by its `Debug`, and by
/// [`TaskRef::waits_for`](super::TaskRef::waits_for).
///
/// A future that is about to return `Pending` notes it. It costs no memory, and the next poll of
/// the task clears it.
///
/// # Examples
///
/// ```
/// # use asyncio_loop::machinery::TaskControl;
/// use std::future::poll_fn;
/// use std::task::Poll;
/// use asyncio_loop::{EventLoop, TaskOptions, WaitsFor};
///
/// let event_loop = EventLoop::new()?;
/// let blocked = poll_fn(|cx| {
///     WaitsFor::Resource.note(cx);
///     Poll::<()>::Pending
/// });
/// let task = event_loop.spawn(blocked, TaskOptions::new().name("writer"))?;
/// event_loop.run_until_complete(async {})?;
/// assert_eq!(task.task().waits_for(), Some(WaitsFor::Resource));
/// assert!(format!("{task:?}").starts_with("<Task \"writer\" pending, waits for a resource,"));
/// # task.task().request_cancel();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum WaitsFor {
    /// A promise to be settled.
    Promise = 1,
    /// Another task to end.
    Task = 2,
    /// A moment to come.
    Time = 3,
    /// A descriptor to become ready.
    Descriptor = 4,
    /// Another thread to give a result.
    Thread = 5,
    /// A signal to arrive.
    Signal = 6,
    /// Something that tasks share: a lock, a permit, an event, an item of a queue.
    Resource = 7,
}

impl WaitsFor {
    pub(super) fn bits(self) -> u32 {
        u32::from(self as u8) << WAIT_SHIFT
    }

    pub(super) fn of_flags(flags: u32) -> Option<Self> {
        Some(match flags >> WAIT_SHIFT {
            1 => Self::Promise,
            2 => Self::Task,
            3 => Self::Time,
            4 => Self::Descriptor,
            5 => Self::Thread,
            6 => Self::Signal,
            7 => Self::Resource,
            _ => return None,
        })
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promise => "a promise",
            Self::Task => "a task",
            Self::Time => "a moment",
            Self::Descriptor => "a descriptor",
            Self::Thread => "a thread",
            Self::Signal => "a signal",
            Self::Resource => "a resource",
        })
    }
}
