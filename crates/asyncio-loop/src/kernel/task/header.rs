//! The header of a task.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;

use super::extra::ExtraSlot;
use crate::kernel::header::{Header, Runnable, RunnableRef, TASK};
use crate::kernel::panics::Payload;

/// The first part of every task.
#[repr(C)]
pub(in crate::kernel) struct TaskHeader {
    header: Header,
    pub(super) id: u64,
    pub(super) site: &'static Location<'static>,
    /// Rare parts.
    extra: UnsafeCell<ExtraSlot>,
    /// The task that waits in `poll_join`; a waiter of another executor is in `extra`.
    awaiter: UnsafeCell<Option<RunnableRef>>,
    /// The unfinished task whose `awaiter` this one is, if it waits for it outside of any frame.
    pub(super) awaiting: Cell<Option<TaskPtr>>,
}

/// The size of a task besides its future. There is one more pointer in the list of live tasks.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<TaskHeader>() == 88);

/// The flags say which field is alive: `FULL` without `DONE` is the future, with `DONE` the output,
/// and with `PANICKED` too the payload.
#[allow(dead_code, reason = "read through a pointer to the whole stage")]
pub(in crate::kernel) union Stage<F: Future> {
    pub(in crate::kernel) future: ManuallyDrop<F>,
    output: ManuallyDrop<F::Output>,
    panic: ManuallyDrop<Payload>,
}

impl Deref for TaskHeader {
    type Target = Header;

    #[inline]
    fn deref(&self) -> &Header {
        &self.header
    }
}

impl TaskHeader {
    /// Writes the fields after those of every header.
    ///
    /// # Safety
    ///
    /// `at` is memory for a task's header.
    #[inline]
    #[allow(clippy::multiple_unsafe_ops_per_block, reason = "one header, field by field")]
    pub(super) unsafe fn write(
        at: NonNull<Self>,
        id: u64,
        site: &'static Location<'static>,
        extra: ExtraSlot,
    ) {
        let at = at.as_ptr();
        // SAFETY: the caller's promise; all fields are written.
        unsafe {
            (&raw mut (*at).id).write(id);
            (&raw mut (*at).site).write(site);
            (&raw mut (*at).extra).write(UnsafeCell::new(extra));
            (&raw mut (*at).awaiter).write(UnsafeCell::new(None));
            (&raw mut (*at).awaiting).write(Cell::new(None));
        }
    }

    /// Runs `f`, which calls no code of a user, with the rare parts.
    #[inline]
    pub(super) fn with_extra<R>(&self, f: impl FnOnce(&mut ExtraSlot) -> R) -> R {
        // SAFETY: promises 1 and 5.
        f(unsafe { &mut *self.extra.get() })
    }

    /// Whether `other` waits in `poll_join`.
    #[inline]
    pub(super) fn is_awaited_by(&self, other: &RunnableRef) -> bool {
        // SAFETY: promises 1 and 5: to compare calls nobody.
        unsafe { &*self.awaiter.get() }.as_ref() == Some(other)
    }

    /// Replaces the task that waits in `poll_join`. The caller drops the one before.
    #[inline]
    pub(super) fn replace_awaiter(&self, awaiter: Option<RunnableRef>) -> Option<RunnableRef> {
        // SAFETY: promises 1 and 5.
        std::mem::replace(unsafe { &mut *self.awaiter.get() }, awaiter)
    }
}

/// A task, as a plain pointer: a [`Runnable`] that is a task.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct TaskPtr(Runnable);

impl Deref for TaskPtr {
    type Target = TaskHeader;

    #[inline]
    fn deref(&self) -> &TaskHeader {
        // SAFETY: promise 11; a task's memory begins with a `TaskHeader` (`repr(C)`), which is used
        // by shared reference only.
        unsafe { self.0.as_ptr().cast::<TaskHeader>().as_ref() }
    }
}

impl TaskPtr {
    /// # Safety
    ///
    /// `runnable` is a task.
    #[inline]
    pub(in crate::kernel) unsafe fn new(runnable: Runnable) -> Self {
        Self(runnable)
    }

    /// The task, if `runnable` is one.
    #[inline]
    pub(in crate::kernel) fn of(runnable: Runnable) -> Option<Self> {
        runnable.has(TASK).then_some(Self(runnable))
    }

    pub(in crate::kernel) fn id(self) -> u64 {
        self.id
    }

    #[inline]
    pub(in crate::kernel) fn get(self) -> Runnable {
        self.0
    }

    /// Takes out the task that waits for this one, and clears its link (promise 10).
    #[inline]
    pub(super) fn take_awaiter(self) -> Option<RunnableRef> {
        let awaiter = self.replace_awaiter(None)?;
        self.unlink(&awaiter);
        Some(awaiter)
    }

    /// Clears the link from a task to this one, which it awaits (promise 10).
    pub(super) fn unlink(self, awaiter: &RunnableRef) {
        if let Some(awaiter) = Self::of(awaiter.get()) {
            if awaiter.awaiting.get() == Some(self) {
                awaiter.awaiting.set(None);
            }
        }
    }
}
