//! The one cross-thread door: cells that other threads woke or made.
//!
//! A stack linked through the cells themselves: a push is one compare-and-swap and allocates
//! nothing; the owner takes the whole stack in one swap and turns it round, so order is kept and
//! there is no ABA question.

use std::ptr::{self, NonNull};

use super::cell::Header;
use crate::primitives::{AtomicBool, AtomicPtr, Ordering, fence};

/// The inbox took no more: its loop is closed.
#[derive(Debug)]
pub(crate) struct Closed;

pub(super) struct Inbox {
    head: AtomicPtr<Header>,
    /// The owner is going to block, or blocks, in its poll.
    asleep: AtomicBool,
}

fn closed() -> *mut Header {
    ptr::without_provenance_mut(1)
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()), asleep: AtomicBool::new(false) }
    }

    /// Puts a cell in; the inbox takes over one reference unless it is closed: a counted one, or
    /// of a cell that this thread has just made its only one.
    ///
    /// Returns whether the owner sleeps and the caller has to wake it.
    ///
    /// # Safety
    ///
    /// `cell` is alive, in no inbox, and the caller owns that reference. The caller keeps the home
    /// alive by other means.
    pub(super) unsafe fn push(&self, cell: NonNull<Header>) -> Result<bool, Closed> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return Err(Closed);
            }
            // SAFETY: the caller's reference keeps the cell alive; the link is the pusher's until
            // the exchange succeeds.
            unsafe { cell.as_ref() }.inbox_next.store(head, Ordering::Relaxed);
            // Release: the owner sees the link, and all that came before the wake.
            match self.head.compare_exchange_weak(
                head,
                cell.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // With the fence in `prepare_sleep`: either the owner sees the push before it sleeps, or
        // this thread sees that it sleeps.
        fence(Ordering::SeqCst);
        Ok(self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::AcqRel))
    }

    /// Whether it takes no more.
    pub(super) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire) == closed()
    }

    /// Whether nothing is in it (nor is it closed); a hint on any thread.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Says that the owner is going to block; false if it must not, because something is there.
    pub(super) fn prepare_sleep(&self) -> bool {
        // A swap, so that it comes after the swap of a pusher that woke the owner before: loom does
        // not know that nothing comes between what a swap reads and what it writes.
        self.asleep.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.head.load(Ordering::Relaxed).is_null() {
            return true;
        }
        self.awake();
        false
    }

    /// Says that the owner runs: pushes need not wake it.
    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }

    /// Takes what is there, oldest first. On the owner's thread.
    pub(super) fn take(&self) -> Batch {
        if self.is_empty() {
            return Batch(ptr::null_mut());
        }
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        debug_assert_ne!(head, closed(), "a closed inbox is not read");
        Batch::reversed(head)
    }

    /// Refuses pushes from now on, and takes what is there. On the owner's thread.
    pub(super) fn close(&self) -> Batch {
        let head = self.head.swap(closed(), Ordering::Acquire);
        Batch::reversed(if head == closed() { ptr::null_mut() } else { head })
    }
}

/// Cells out of the inbox, each with the reference that it had there.
///
/// Iterate to the end: what is left over when it is dropped leaks.
pub(super) struct Batch(*mut Header);

impl Batch {
    fn reversed(mut head: *mut Header) -> Self {
        let mut tail = ptr::null_mut();
        while let Some(cell) = NonNull::new(head) {
            // SAFETY: the inbox's counted reference keeps the cell alive, and a cell that was
            // taken out is linked by the owner alone until `clear_queued`.
            let link = &unsafe { cell.as_ref() }.inbox_next;
            head = link.load(Ordering::Relaxed);
            link.store(tail, Ordering::Relaxed);
            tail = cell.as_ptr();
        }
        Self(tail)
    }
}

impl Iterator for Batch {
    type Item = NonNull<Header>;

    fn next(&mut self) -> Option<NonNull<Header>> {
        let cell = NonNull::new(self.0)?;
        // SAFETY: as above; the link is read before the cell is given out.
        self.0 = unsafe { cell.as_ref() }.inbox_next.load(Ordering::Relaxed);
        Some(cell)
    }
}
