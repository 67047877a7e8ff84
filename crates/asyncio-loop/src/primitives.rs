//! The atomics of the cross-thread paths, from std or, under `--cfg loom`, from the model checker.
//!
//! Code that crosses threads names these and nothing from `std::sync::atomic`, so that it is
//! written once and the models in `tests/loom_kernel.rs` run the real thing.

#[cfg(loom)]
pub(crate) use loom::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, Ordering, fence},
};

/// A number that no other thread of the process has or ever had.
///
/// An address would not do: thread-local storage is reused when a thread ends.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_id() -> u64 {
    use std::cell::Cell;
    use std::sync::atomic::AtomicU64;

    thread_local! {
        static ID: Cell<u64> = const { Cell::new(0) };
    }

    #[cold]
    fn assign(id: &Cell<u64>) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        id.set(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        id.get()
    }

    ID.with(|id| match id.get() {
        0 => assign(id),
        known => known,
    })
}

/// loom runs its threads on one thread of the system, so it has to be asked.
#[cfg(loom)]
pub(crate) fn thread_id() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish()
}
