//! Descriptors by their numbers.

#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

/// The first descriptor that a service manager passes, by the protocol.
const FIRST: RawFd = 3;

/// The descriptors have been taken.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Takes the first `count` descriptors that the environment assigns to this process, and marks them
/// to be closed in child processes. After the first call that succeeds, the result is empty.
///
/// # Errors
///
/// `EBADF`, and none is taken, if one of them is not open.
pub(super) fn take_once(count: RawFd) -> rustix::io::Result<Vec<OwnedFd>> {
    let numbers = FIRST..FIRST + count;
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    if let Err(error) = numbers.clone().try_for_each(close_on_exec) {
        TAKEN.store(false, Ordering::Relaxed);
        return Err(error);
    }
    // SAFETY: they are open. The program that started this very process says that they are its to
    // take, so nothing else in it owns them, and `TAKEN` lets one call through.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Calls `look`, which only asks the system about a descriptor, with the number of one that may be
/// closed by now: then the result is `None`, or what `look` found out about another one that has
/// got the number.
pub(crate) fn with_descriptor<R>(
    number: RawFd,
    look: impl FnOnce(BorrowedFd<'_>) -> R,
) -> Option<R> {
    if number < 0 {
        return None;
    }
    // SAFETY: borrowed for calls that read names and flags. They fail for a number that is not
    // open, and change nothing that an owner could rely on.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(descriptor).ok()?;
    Some(look(descriptor))
}

fn close_on_exec(number: RawFd) -> rustix::io::Result<()> {
    // SAFETY: borrowed for two calls, which fail for a number that is not open. Nothing closes it
    // in between: nothing else owns it.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    let flags = fcntl_getfd(descriptor)?;
    fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC)
}
