//! Notes of what a blocked task waits for.

use std::fmt;
use std::panic::Location;
use std::ptr;
use std::task::Context;

use crate::clock::LoopTime;

/// The first of the bits at the end of a task's flags that hold the kind.
const WAIT_SHIFT: u32 = 24;
/// Those bits.
pub(super) const WAIT_BITS: u32 = 0xff << WAIT_SHIFT;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $number:literal, $text:literal;)+) => {
        /// The kind of wait of a task, which its `Debug` and
        /// [`TaskRef::waits_for`](super::TaskRef::waits_for) show.
        ///
        /// A future that is about to return `Pending` notes it, with the line of code that polls
        /// the future: in `future.await` the line of `.await`. It costs no memory, and the next
        /// poll of the task clears it.
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
        /// let shown = format!("{task:?}");
        /// assert!(shown.starts_with("<Task \"writer\" pending, waits for a resource,"));
        /// # task.task().request_cancel();
        /// # Ok::<(), Box<dyn std::error::Error>>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(u8)]
        pub enum WaitsFor {
            $($(#[doc = $doc])+ $name = $number,)+
        }

        impl WaitsFor {
            const fn of_number(number: u32) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)+
                    _ => None,
                }
            }

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

kinds! {
    /// A promise to be settled.
    Promise = 1, "a promise";
    /// Another task to end.
    Task = 2, "a task";
    /// A moment to come.
    Time = 3, "a moment";
    /// A descriptor to become ready.
    Descriptor = 4, "a descriptor";
    /// Another thread to give a result.
    Thread = 5, "a thread";
    /// A signal to arrive.
    Signal = 6, "a signal";
    /// A resource that tasks share, of any other kind.
    Resource = 7, "a resource";
    /// A lock.
    Lock = 8, "a lock";
    /// A permit of a semaphore.
    Semaphore = 9, "a semaphore";
    /// A condition to be notified.
    Condition = 10, "a condition";
    /// An event to be set.
    Event = 11, "an event";
    /// An item of a queue or a channel.
    Item = 12, "an item";
    /// Room in a queue.
    Room = 13, "room in a queue";
    /// The others at a barrier.
    Barrier = 14, "a barrier";
    /// A child process to end.
    Process = 15, "a process";
    /// The children of a task group.
    Group = 16, "a task group";
    /// Several tasks, or one of several.
    Tasks = 17, "tasks";
    /// A server or a connection to close, or written bytes to leave.
    Connection = 18, "a connection";
}

impl WaitsFor {
    /// Whether its details are the address of something that tasks share.
    #[inline]
    fn is_shared(self) -> bool {
        (Self::Lock as u8..=Self::Barrier as u8).contains(&(self as u8)) || self == Self::Resource
    }

    pub(super) fn bits(self) -> u32 {
        u32::from(self as u8) << WAIT_SHIFT
    }

    /// By its number.
    pub(super) fn of_byte(number: u8) -> Option<Self> {
        Self::of_number(u32::from(number))
    }

    pub(super) fn of_flags(flags: u32) -> Option<Self> {
        Self::of_byte(Self::number_of_flags(flags))
    }

    /// The number of the kind in the flags; zero if there is none.
    #[inline]
    pub(super) fn number_of_flags(flags: u32) -> u8 {
        (flags >> WAIT_SHIFT) as u8
    }

    /// Notes that the task being polled is going to wait for this, at the place that calls this
    /// function. A `poll` that has `#[track_caller]` passes on the place of its own caller.
    ///
    /// Does nothing if no task of this project is being polled.
    #[inline]
    #[track_caller]
    pub fn note(self, cx: &Context<'_>) {
        Wait::new(self).note(cx);
    }
}

impl fmt::Display for WaitsFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A kind of wait, with its details.
///
/// The fields are private to this file, so that the details fit the kind.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    what: WaitsFor,
    /// Zero says nothing.
    detail: u64,
}

/// The details of a wait.
pub(crate) enum Detail {
    Unknown,
    Until(LoopTime),
    Descriptor {
        fd: i32,
        to_write: bool,
    },
    MadeAt(&'static Location<'static>),
    Number(u32),
    Task(u64),
    /// The address of a resource that tasks share.
    Address(usize),
}

impl Wait {
    /// A wait of this kind, without details.
    #[inline]
    #[must_use]
    pub fn new(what: WaitsFor) -> Self {
        Self { what, detail: 0 }
    }

    /// For a moment to come.
    #[inline]
    #[must_use]
    pub fn until(when: LoopTime) -> Self {
        Self { what: WaitsFor::Time, detail: when.as_nanos() }
    }

    /// For a descriptor to become readable or writable.
    #[inline]
    #[must_use]
    pub fn descriptor(fd: i32, to_write: bool) -> Self {
        let fd = u64::from(fd as u32);
        Self { what: WaitsFor::Descriptor, detail: (fd + 1) << 1 | u64::from(to_write) }
    }

    /// For a promise that was made here.
    #[inline]
    #[must_use]
    pub fn promise(site: &'static Location<'static>) -> Self {
        let detail = ptr::from_ref(site).expose_provenance() as u64;
        Self { what: WaitsFor::Promise, detail }
    }

    /// For the task with this number.
    #[inline]
    #[must_use]
    pub fn task(id: u64) -> Self {
        Self { what: WaitsFor::Task, detail: id }
    }

    /// For a child process with this number.
    #[inline]
    #[must_use]
    pub fn process(number: u32) -> Self {
        Self { what: WaitsFor::Process, detail: u64::from(number) }
    }

    /// A wait for a resource that tasks share, which the loop knows by its address: see
    /// [`Resources`](crate::inspect::Resources). Other kinds have no details.
    #[inline]
    #[must_use]
    pub fn shared<T>(what: WaitsFor, of: &T) -> Self {
        let detail = if what.is_shared() { ptr::from_ref(of).addr() as u64 } else { 0 };
        Self { what, detail }
    }

    pub(super) fn of_task(what: WaitsFor, detail: u64) -> Self {
        Self { what, detail }
    }

    pub(crate) fn what(self) -> WaitsFor {
        self.what
    }

    pub(super) fn bits(self) -> u64 {
        self.detail
    }

    pub(crate) fn detail(self) -> Detail {
        match (self.what, self.detail) {
            (_, 0) => Detail::Unknown,
            (WaitsFor::Time, when) => Detail::Until(LoopTime::from_nanos(when)),
            (WaitsFor::Descriptor, bits) => {
                let fd = ((bits >> 1) - 1) as u32 as i32;
                Detail::Descriptor { fd, to_write: bits & 1 != 0 }
            }
            (WaitsFor::Promise, address) => {
                let site = ptr::with_exposed_provenance::<Location<'static>>(address as usize);
                // SAFETY: only `Wait::promise` gives this kind details: the address of a `&'static
                // Location`, whose provenance it exposed. A task keeps both together.
                Detail::MadeAt(unsafe { &*site })
            }
            (WaitsFor::Task, id) => Detail::Task(id),
            (WaitsFor::Process, number) => Detail::Number(number as u32),
            (what, address) if what.is_shared() => Detail::Address(address as usize),
            _ => Detail::Unknown,
        }
    }

    /// Notes that the task being polled is going to wait for this, at the place of the caller.
    #[inline]
    #[track_caller]
    pub fn note(self, cx: &Context<'_>) {
        self.note_at(cx, Location::caller());
    }
}
