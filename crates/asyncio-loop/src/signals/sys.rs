//! The handler that the system calls, and how it gets there.
//!
//! The handler may interrupt any code on any thread, so all it does is to mark the signal as pending
//! and to write one byte into a pipe. Whoever reads the pipe then looks at the marks; see `registry`.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Signals are numbered from 1; 64 is the last one on Linux, and others have fewer.
const LIMIT: usize = 65;

static PENDING: [AtomicBool; LIMIT] = [const { AtomicBool::new(false) }; LIMIT];
/// The end of the pipe that the handler writes to. Once set it stays open and the same.
static PIPE: AtomicI32 = AtomicI32::new(-1);

/// What a signal did before the handler was installed.
pub(super) struct Disposition(libc::sigaction);

/// Lets the handler write to `pipe`, which has to be non-blocking, for the rest of the program.
///
/// Called once. The descriptor is never closed: the handler may be about to write to it on some
/// thread at any time, and by then its number could be that of another file.
pub(super) fn set_pipe(pipe: UnixStream) {
    debug_assert_eq!(PIPE.load(Ordering::Relaxed), -1, "pipe {} set twice", pipe.as_raw_fd());
    PIPE.store(pipe.into_raw_fd(), Ordering::Release);
}

/// Returns true if the signal arrived since this was last asked.
pub(super) fn take_pending(signal: c_int) -> bool {
    slot(signal).is_some_and(|pending| pending.swap(false, Ordering::AcqRel))
}

/// Whether the system may have such a signal.
pub(super) fn is_signal(number: c_int) -> bool {
    slot(number).is_some()
}

/// Makes the handler the signal's disposition. Interrupted system calls are restarted.
pub(super) fn install(signal: c_int) -> io::Result<Disposition> {
    // A mark left from an earlier time is not ours.
    take_pending(signal);
    let handler: extern "C" fn(c_int) = on_signal;
    // SAFETY: all zeroes is a valid `sigaction`: default disposition, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    exchange(signal, &action).map(Disposition)
}

/// Whether a signal does what it does without anybody's handler.
pub(super) fn is_default(signal: c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and the pointer is valid for the call.
    let result = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: if the call succeeded, it has filled `now`.
    result == 0 && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// Sends a signal to the calling thread.
pub(super) fn raise(signal: c_int) -> io::Result<()> {
    // SAFETY: no memory is involved. What handlers do is in the hands of those who installed them.
    if unsafe { libc::raise(signal) } == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Gives a signal its earlier disposition back.
pub(super) fn restore(signal: c_int, previous: &Disposition) -> io::Result<()> {
    exchange(signal, &previous.0).map(drop)
}

fn exchange(signal: c_int, action: &libc::sigaction) -> io::Result<libc::sigaction> {
    let mut previous = MaybeUninit::uninit();
    // SAFETY: both pointers are valid for the call. The action is either one the system gave us, or
    // `on_signal`, which is safe to run at any moment on any thread (see there).
    let result = unsafe { libc::sigaction(signal, ptr::from_ref(action), previous.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has filled `previous`.
    Ok(unsafe { previous.assume_init() })
}

fn slot(signal: c_int) -> Option<&'static AtomicBool> {
    let index = usize::try_from(signal).ok().filter(|&index| index > 0)?;
    PENDING.get(index)
}

/// Runs in signal context: atomics, one `write`, and `errno` left as it was.
extern "C" fn on_signal(signal: c_int) {
    // Array access without a panic: unwinding out of here would be undefined.
    if let Some(pending) = slot(signal) {
        pending.store(true, Ordering::Release);
    }
    let errno = errno::errno();
    write_byte(PIPE.load(Ordering::Acquire));
    errno::set_errno(errno);
}

fn write_byte(fd: c_int) {
    let byte = 1_u8;
    // SAFETY: `write` may be called from signal handlers, the byte outlives the call, and the
    // descriptor is our pipe, which is never closed (or -1, which is refused). A pipe that is full
    // has bytes enough to wake the reader, so the result does not matter.
    let _ = unsafe { libc::write(fd, ptr::from_ref(&byte).cast(), 1) };
}

impl fmt::Debug for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disposition").finish_non_exhaustive()
    }
}
