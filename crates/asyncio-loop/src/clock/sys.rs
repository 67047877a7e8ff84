//! The system's monotonic clock, which timers of the kernel are set by as well.

use std::mem::MaybeUninit;

/// The monotonic clock in nanoseconds: what `Instant` reads, without its seconds and fractions,
/// which cost a fifth more.
///
/// Through libc: rustix would look for the kernel's function itself, and crash under valgrind,
/// which hides it.
#[inline]
pub(crate) fn system_nanos() -> u64 {
    let mut now = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: the pointer is valid for the call, which fills in what it points at.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, now.as_mut_ptr()) };
    // It fails only for a clock that the system does not have.
    assert_eq!(result, 0, "Linux has a monotonic clock");
    // SAFETY: filled in.
    let now = unsafe { now.assume_init() };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
