//! The primitives of cross-thread code: from std or, under `--cfg loom`, from the model checker.
//!
//! Code that crosses threads uses these and nothing from `std::sync` and `std::thread`, so that it
//! is written once, and the models in the `loom_tests.rs` files run the real code.

#[cfg(loom)]
pub(crate) use loom::{
    hint,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence},
    },
};
#[cfg(not(loom))]
pub(crate) use std::{
    hint,
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence},
    },
    thread,
};

#[cfg(loom)]
pub(crate) mod thread {
    pub(crate) use loom::thread::*;

    /// Time stands still in a model.
    pub(crate) fn park_timeout(_: std::time::Duration) {
        park();
    }
}

#[cfg(not(loom))]
thread_local! {
    /// This thread's number; 0 until it is first needed.
    static THREAD: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A number that no other thread of the process has or ever had. The address of a thread-local is
/// no alternative, because thread-local storage is reused when a thread ends.
#[cfg(not(loom))]
pub(crate) fn thread_id() -> u64 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
    THREAD.with(|id| {
        if id.get() == 0 {
            id.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        id.get()
    })
}

/// Whether this thread's number is `id`, which was given out before.
#[cfg(not(loom))]
#[inline]
pub(crate) fn is_thread(id: u64) -> bool {
    THREAD.with(|this| this.get() == id)
}

#[cfg(loom)]
pub(crate) fn is_thread(id: u64) -> bool {
    thread_id() == id
}

/// loom runs its threads on one thread of the system, so it has to be asked.
#[cfg(loom)]
pub(crate) fn thread_id() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish()
}
