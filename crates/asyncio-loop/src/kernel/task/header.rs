//! The header of a task.

use std::cell::{Cell, UnsafeCell};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::panic::Location;
use std::ptr::NonNull;

use super::awaiter::AwaiterSlot;
use super::extra::ExtraSlot;
use crate::kernel::header::{Header, LINKED, Runnable, RunnableRef, TASK, WAIT};
use crate::kernel::panics::Payload;
use crate::kernel::scheduler::Tick;
use crate::kernel::site::Site;
use crate::kernel::waits_for::{Wait, WaitsFor};

/// The first part of every task.
#[repr(C)]
pub(in crate::kernel) struct TaskHeader {
    header: Header,
    pub(super) id: u64,
    /// What it waits for, in a form that depends on the kind; or, while `LINKED`, the unfinished
    /// task whose `awaiter` this one is, which it awaits outside of any frame.
    detail: Cell<Detail>,
    /// Rare parts.
    extra: UnsafeCell<ExtraSlot>,
    pub(super) awaiter: AwaiterSlot,
    /// Where it was made.
    site: Site,
    /// Where it waits, if the flags say for what.
    wait_site: Cell<Site>,
    /// The tick in which it was made, and the one in which its last poll ended.
    pub(super) created: Tick,
    pub(in crate::kernel) since: Cell<Tick>,
    /// How often it was polled without an end; 2^32 - 1 stands for more.
    pub(super) polls: Cell<u32>,
    /// The lower half of the number of the task that made it, or zero.
    pub(super) parent: u32,
}

/// See [`TaskHeader::detail`].
#[derive(Clone, Copy)]
union Detail {
    bits: u64,
    awaited: TaskPtr,
}

/// What a task has noted that it waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct Noted {
    /// As in the flags.
    kind: u32,
    detail: u64,
    site: Site,
}

/// When a task was made, and by which one.
#[derive(Clone, Copy)]
pub(super) struct Origin {
    pub(super) tick: Tick,
    /// The lower half of a task's number, or zero.
    pub(super) parent: u32,
}

/// The size of a task besides its future. There is one more pointer in the list of live tasks.
#[cfg(all(target_pointer_width = "64", not(loom)))]
const _: () = assert!(size_of::<TaskHeader>() == 104);

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
        origin: Origin,
    ) {
        let at = at.as_ptr();
        // SAFETY: the caller's promise; all fields are written.
        unsafe {
            (&raw mut (*at).id).write(id);
            (&raw mut (*at).detail).write(Cell::new(Detail { bits: 0 }));
            (&raw mut (*at).extra).write(UnsafeCell::new(extra));
            (&raw mut (*at).awaiter).write(AwaiterSlot::new());
            (&raw mut (*at).site).write(Site::new(site));
            (&raw mut (*at).wait_site).write(Cell::new(Site::NONE));
            (&raw mut (*at).created).write(origin.tick);
            (&raw mut (*at).since).write(Cell::new(origin.tick));
            (&raw mut (*at).polls).write(Cell::new(0));
            (&raw mut (*at).parent).write(origin.parent);
        }
    }

    /// Where it was made.
    pub(super) fn site(&self) -> &'static Location<'static> {
        self.site.get().expect("written when it was made")
    }

    /// The unfinished task that this one awaits outside of any frame.
    #[inline]
    pub(super) fn awaited(&self) -> Option<TaskPtr> {
        // SAFETY: LINKED says that it is a task.
        self.has(LINKED).then(|| unsafe { self.detail.get().awaited })
    }

    #[inline]
    pub(super) fn set_awaited(&self, awaited: TaskPtr) {
        self.detail.set(Detail { awaited });
        self.set(LINKED);
    }

    #[inline]
    pub(super) fn clear_awaited(&self) {
        self.clear(LINKED);
        self.detail.set(Detail { bits: 0 });
    }

    /// Notes what it waits for, and where. A link to an awaited task stays, with its kind.
    #[inline]
    pub(in crate::kernel) fn set_wait(&self, wait: Wait, site: Site) {
        let flags = self.flags.get();
        self.wait_site.set(site);
        let what = if flags & LINKED == 0 {
            self.detail.set(Detail { bits: wait.bits() });
            wait.what()
        } else {
            WaitsFor::Task
        };
        self.flags.set(flags & !WAIT | what.bits());
    }

    /// What is noted, to be [put back](Self::put_back).
    pub(in crate::kernel) fn noted(&self) -> Noted {
        let kind = self.flags.get() & WAIT;
        Noted { kind, detail: self.wait_detail(), site: self.wait_site.get() }
    }

    /// Notes what was noted before. A link to an awaited task stays.
    pub(in crate::kernel) fn put_back(&self, noted: Noted) {
        let flags = self.flags.get();
        if flags & LINKED == 0 {
            self.detail.set(Detail { bits: noted.detail });
            self.flags.set(flags & !WAIT | noted.kind);
        }
        self.wait_site.set(noted.site);
    }

    /// Replaces the place where it waits.
    pub(in crate::kernel) fn set_wait_site(&self, site: &'static Location<'static>) {
        self.wait_site.set(Site::new(site));
    }

    pub(in crate::kernel) fn wait_site(&self) -> Option<&'static Location<'static>> {
        self.wait_site.get().get()
    }

    /// Where it was made, as a number.
    pub(in crate::kernel) fn made_at(&self) -> Site {
        self.site
    }

    /// Where it waits, as a number.
    pub(super) fn waits_at(&self) -> Site {
        self.wait_site.get()
    }

    /// The details of what it waits for, unless that is a task that it is linked to.
    pub(super) fn wait_detail(&self) -> u64 {
        // SAFETY: without LINKED it is a number.
        if self.has(LINKED) { 0 } else { unsafe { self.detail.get().bits } }
    }

    /// Counts a poll that ended in this tick.
    #[inline]
    pub(super) fn polled(&self, tick: Tick) {
        self.since.set(tick);
        self.polls.set(self.polls.get().saturating_add(1));
    }

    /// Calls `f` with the name that it was given, unless this thread is about to change it. For
    /// signal handlers.
    #[cfg_attr(
        not(any(target_os = "linux", target_os = "android")),
        allow(dead_code, reason = "the watchdog uses it, where it can interrupt a thread")
    )]
    pub(in crate::kernel) fn peek_name(&self, f: impl FnOnce(&str)) {
        // SAFETY: promise 4: it runs, so its scheduler is alive.
        if !unsafe { self.scheduler.as_ref() }.is_renaming() {
            // SAFETY: promise 1. A signal handler may have interrupted a call that has a mutable
            // reference here, but the handler reads only the name, which that call does not change.
            let extra = unsafe { &*self.extra.get() };
            if let Some(name) = extra.get().and_then(|extra| extra.name.as_deref()) {
                f(name);
            }
        }
    }

    /// Runs `f`, which calls no code of a user, with the rare parts.
    #[inline]
    pub(super) fn with_extra<R>(&self, f: impl FnOnce(&mut ExtraSlot) -> R) -> R {
        // SAFETY: promises 1 and 5.
        f(unsafe { &mut *self.extra.get() })
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

impl RunnableRef {
    /// The number of the task; `None` if it is a callback.
    pub(crate) fn task_number(&self) -> Option<u64> {
        TaskPtr::of(self.get()).map(TaskPtr::number)
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

    #[inline]
    pub(in crate::kernel) fn number(self) -> u64 {
        self.id
    }

    #[inline]
    pub(in crate::kernel) fn get(self) -> Runnable {
        self.0
    }

    /// Clears the link from a task to this one, which it awaits (promise 10).
    pub(super) fn unlink(self, awaiter: Runnable) {
        if let Some(awaiter) = Self::of(awaiter) {
            if awaiter.awaited() == Some(self) {
                awaiter.clear_awaited();
            }
        }
    }
}
