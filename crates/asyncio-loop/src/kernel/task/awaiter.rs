//! The waiter for the end of a task, in `poll_join`: one word of the header of the task.

use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::task::Waker;

use super::header::TaskPtr;
use crate::kernel::header::{Header, Runnable, RunnableRef};
use crate::kernel::waker::Foreign;

/// Null; or the address of the header of a task or callback of this thread, owned as a
/// `RunnableRef`; or a number in `Local::outside`, with the lowest bit set.
pub(super) struct AwaiterSlot(Cell<*mut Header>);

const OUTSIDE: usize = 1;
const _: () = assert!(align_of::<Header>() > OUTSIDE);

/// A waiter that was taken out of its slot.
pub(super) enum Awaiter {
    Here(RunnableRef),
    /// A waker of a combinator or of another executor.
    Outside(Foreign),
}

impl Awaiter {
    /// Wakes it, which may be code of a user.
    #[inline]
    pub(super) fn wake(self) {
        match self {
            Self::Here(runnable) => runnable.schedule(),
            Self::Outside(waker) => waker.wake(),
        }
    }
}

impl AwaiterSlot {
    pub(super) const fn new() -> Self {
        Self(Cell::new(ptr::null_mut()))
    }
}

impl TaskPtr {
    /// The task or callback of this thread that waits for this one.
    #[inline]
    pub(super) fn awaiter_here(self) -> Option<Runnable> {
        let word = self.awaiter.0.get();
        let here = NonNull::new(word).filter(|_| word.addr() & OUTSIDE == 0);
        // SAFETY: the reference that the slot owns keeps it alive.
        here.map(|header| unsafe { Runnable::new(header) })
    }

    #[inline]
    pub(super) fn has_awaiter(self) -> bool {
        !self.awaiter.0.get().is_null()
    }

    /// Puts the awaiter into its empty place.
    #[inline]
    pub(super) fn set_awaiter(self, awaiter: RunnableRef) {
        self.awaiter.0.set(ManuallyDrop::new(awaiter).get().as_ptr().as_ptr());
    }

    /// As `set_awaiter`, for a waker that is not ours, which was polled inside of the task with the
    /// number `by`, if that is not zero.
    pub(super) fn set_outside(self, waker: Waker, by: u64) {
        let place = self.get().scheduler().with(|local| local.outside.insert((waker, by)));
        self.awaiter.0.set(ptr::without_provenance_mut(place << 1 | OUTSIDE));
    }

    /// The number of the task that waits, or inside of which the waker was polled.
    pub(super) fn awaiter_number(self) -> Option<u64> {
        let word = self.awaiter.0.get().addr();
        if word & OUTSIDE == 0 {
            return self.awaiter_here().and_then(Self::of).map(Self::number);
        }
        let by = self.get().scheduler().with(|local| local.outside[word >> 1].1);
        Some(by).filter(|by| *by != 0)
    }

    /// Takes out who waits for this task, and clears its link (promise 10).
    #[inline]
    pub(super) fn take_awaiter(self) -> Option<Awaiter> {
        let here = self.awaiter_here();
        let word = self.awaiter.0.replace(ptr::null_mut());
        if let Some(here) = here {
            self.unlink(here);
            // SAFETY: the reference that the slot owned.
            return Some(Awaiter::Here(unsafe { RunnableRef::from_raw(here) }));
        }
        if word.is_null() {
            return None;
        }
        let outside = |place| self.get().scheduler().with(|local| local.outside.remove(place).0);
        Some(Awaiter::Outside(Foreign::new(outside(word.addr() >> 1))))
    }
}
