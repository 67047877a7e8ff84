//! The remote queue: tasks that other threads have woken, and callbacks that they have made.
//!
//! It is a stack that is linked through its entries. A push is one compare-and-swap and allocates
//! nothing. The owner takes the whole stack in one swap and reverses it, so order is kept, and no
//! entry is taken alone, so there is no ABA problem.

use std::ptr::{self, NonNull};

use crate::primitives::{AtomicBool, AtomicPtr, Ordering, fence};

/// The queue refused an entry: its loop is closed.
#[derive(Debug)]
pub(crate) struct Closed;

/// Has a link to the next entry.
pub(super) trait Linked: Sized {
    fn link(&self) -> &AtomicPtr<Self>;
}

pub(super) struct RemoteQueue<T> {
    head: AtomicPtr<T>,
    /// The owner is going to park, or is parked, in its poll.
    parked: AtomicBool,
}

/// The head of a closed queue.
fn closed<T>() -> *mut T {
    ptr::without_provenance_mut(1)
}

impl<T: Linked> RemoteQueue<T> {
    pub(super) fn new() -> Self {
        Self { head: AtomicPtr::new(ptr::null_mut()), parked: AtomicBool::new(false) }
    }

    /// Puts an entry in, and takes over the reference that the caller has: a counted one, or the
    /// only one of a callback that this thread has just made. A closed queue leaves it with the
    /// caller.
    ///
    /// Returns whether the owner is parked and the caller has to unpark it.
    ///
    /// # Safety
    ///
    /// `entry` is alive, in no queue, and the caller owns that reference. The caller keeps the
    /// queue alive by other means.
    pub(super) unsafe fn push(&self, entry: NonNull<T>) -> Result<bool, Closed> {
        let mut head = self.head.load(Ordering::Relaxed);
        loop {
            if head == closed() {
                return Err(Closed);
            }
            // SAFETY: the caller's reference keeps the entry alive; the link is the pusher's until
            // the exchange succeeds.
            unsafe { entry.as_ref() }.link().store(head, Ordering::Relaxed);
            // Release: the owner sees the link, and all that came before the wake.
            match self.head.compare_exchange_weak(
                head,
                entry.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        // With the fence in `prepare_park`: either the owner sees the push before it parks, or this
        // thread sees that it is parked.
        fence(Ordering::SeqCst);
        Ok(self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::AcqRel))
    }

    /// Whether it refuses entries.
    pub(super) fn is_closed(&self) -> bool {
        self.head.load(Ordering::Acquire) == closed()
    }

    /// Whether nothing is in it (nor is it closed); a hint on any thread.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// The address of the newest entry, 0 if there is none; a hint on any thread.
    pub(super) fn mark(&self) -> usize {
        self.head.load(Ordering::Relaxed).addr()
    }

    /// Notes that the owner is going to park. Returns false if it must not, because the queue is
    /// not empty.
    pub(super) fn prepare_park(&self) -> bool {
        // A swap, so that it comes after the swap of a pusher that unparked the owner before: loom
        // does not know that nothing comes between the read and the write of a swap.
        self.parked.swap(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.head.load(Ordering::Relaxed).is_null() {
            return true;
        }
        self.unparked();
        false
    }

    /// Notes that the owner runs: a push need not unpark it.
    pub(super) fn unparked(&self) {
        self.parked.store(false, Ordering::Relaxed);
    }

    /// Takes all entries, the oldest first. On the owner's thread.
    pub(super) fn take(&self) -> Batch<T> {
        if self.is_empty() {
            return Batch(ptr::null_mut());
        }
        let head = self.head.swap(ptr::null_mut(), Ordering::Acquire);
        debug_assert_ne!(head, closed(), "a closed queue is not read");
        Batch::reversed(head)
    }

    /// Refuses entries from now on, and takes those that are there. On the owner's thread.
    pub(super) fn close(&self) -> Batch<T> {
        let head = self.head.swap(closed(), Ordering::Acquire);
        Batch::reversed(if head == closed() { ptr::null_mut() } else { head })
    }
}

/// Entries that were taken out of the queue, each with the reference that it had there.
///
/// Iterate to the end: an entry that is left over leaks.
pub(super) struct Batch<T>(*mut T);

impl<T: Linked> Batch<T> {
    fn reversed(mut head: *mut T) -> Self {
        let mut tail = ptr::null_mut();
        while let Some(entry) = NonNull::new(head) {
            // SAFETY: the queue's reference keeps the entry alive, and an entry that was taken out
            // is linked by the owner alone until it is pushed again.
            let link = unsafe { entry.as_ref() }.link();
            head = link.load(Ordering::Relaxed);
            link.store(tail, Ordering::Relaxed);
            tail = entry.as_ptr();
        }
        Self(tail)
    }
}

impl<T: Linked> Iterator for Batch<T> {
    type Item = NonNull<T>;

    fn next(&mut self) -> Option<NonNull<T>> {
        let entry = NonNull::new(self.0)?;
        // SAFETY: as above; the link is read before the entry is given out.
        self.0 = unsafe { entry.as_ref() }.link().load(Ordering::Relaxed);
        Some(entry)
    }
}
