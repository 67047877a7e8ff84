//! The handler that the system calls, and its installation.
//!
//! The handler may interrupt any code on any thread, so it only marks the signal as pending and
//! writes one byte into a pipe. The loop that reads the pipe then reads the marks; see `registry`.
//! A Ctrl-C that follows an unanswered one ends the process in the handler itself.

use std::ffi::c_int;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering};

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
    // An old mark does not count.
    take_pending(signal);
    let handler: extern "C" fn(c_int) = on_signal;
    // SAFETY: all zeroes is a valid `sigaction`: default disposition, empty mask, no flags.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_RESTART;
    exchange(signal, &action).map(Disposition)
}

/// Whether a signal has its default disposition.
pub(super) fn is_default(signal: c_int) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is set, and the pointer is valid for the call.
    let result = unsafe { libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) };
    // SAFETY: if the call succeeded, it has filled `now`.
    result == 0 && unsafe { now.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// Sends a signal to the calling thread.
pub(super) fn raise(signal: c_int) -> io::Result<()> {
    // SAFETY: no memory is involved. What a handler does is the responsibility of the code that
    // installed it.
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

/// No loop handles Ctrl-C.
const OFF: u64 = 0;
/// Each Ctrl-C so far was answered.
const ANSWERED: u64 = 1;
/// The time that an answer may take, in nanoseconds. A wrapper program that passes a Ctrl-C on may
/// send it twice at once.
const RESPONSE_LIMIT: u64 = 100_000_000;

/// `OFF`, `ANSWERED`, or the moment of the first Ctrl-C that was not answered.
static UNANSWERED: AtomicU64 = AtomicU64::new(OFF);
/// The number of the program's own handlers and listeners for Ctrl-C.
static CLAIMS: AtomicUsize = AtomicUsize::new(0);

/// While this exists, a Ctrl-C ends the process if an earlier one was not answered, and the program
/// has no [`Claim`].
pub(super) struct Armed(());

impl Armed {
    pub(super) fn new() -> Self {
        UNANSWERED.store(ANSWERED, Ordering::Relaxed);
        Self(())
    }

    /// Notes that the loop has noticed the latest Ctrl-C.
    pub(super) fn answer(&self) {
        UNANSWERED.store(ANSWERED, Ordering::Relaxed);
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        UNANSWERED.store(OFF, Ordering::Relaxed);
    }
}

/// A guard: the program handles Ctrl-C itself.
pub(super) struct Claim(());

impl Claim {
    /// A claim if `signal` is the one of Ctrl-C.
    pub(super) fn of(signal: c_int) -> Option<Self> {
        (signal == libc::SIGINT).then(|| {
            CLAIMS.fetch_add(1, Ordering::Relaxed);
            Self(())
        })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a Ctrl-C that comes now follows an unanswered one. Runs in signal context.
fn is_left_unanswered(now: u64) -> bool {
    match UNANSWERED.compare_exchange(ANSWERED, now, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) | Err(OFF) => false,
        Err(since) => {
            now.saturating_sub(since) >= RESPONSE_LIMIT && CLAIMS.load(Ordering::Relaxed) == 0
        }
    }
}

/// Runs in signal context.
fn monotonic_nanos() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `clock_gettime` may be called from signal handlers, and the pointer is valid for the
    // call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    // Never `OFF` or `ANSWERED`; neither part is negative.
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64).max(2)
}

/// Restores the default disposition and raises the signal again, which ends the process as soon as
/// the handler returns.
fn end_by_default(signal: c_int) {
    // SAFETY: all zeroes is a valid `sigaction`: default disposition, empty mask, no flags.
    let action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `sigaction` may be called from signal handlers, and the pointer is valid for the
    // call.
    unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) };
    // SAFETY: `raise` may be called from signal handlers. The signal is blocked while its handler
    // runs.
    unsafe { libc::raise(signal) };
}

/// Runs in signal context: atomics, the clock, one `write`, and `errno` left as it was.
extern "C" fn on_signal(signal: c_int) {
    let errno = errno::errno();
    if signal == libc::SIGINT && is_left_unanswered(monotonic_nanos()) {
        end_by_default(signal);
    }
    // Array access without a panic: unwinding out of here would be undefined.
    if let Some(pending) = slot(signal) {
        pending.store(true, Ordering::Release);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    //
    #[test]
    fn what_follows_a_ctrl_c_without_an_answer_is_fatal() {
        let start = 5 * RESPONSE_LIMIT;
        assert!(!is_left_unanswered(start), "nothing is armed");
        assert!(!is_left_unanswered(start + RESPONSE_LIMIT));

        let armed = Armed::new();
        assert!(!is_left_unanswered(start));
        assert!(!is_left_unanswered(start + 1), "one that was sent twice");
        assert!(is_left_unanswered(start + RESPONSE_LIMIT));
        assert!(Claim::of(libc::SIGTERM).is_none());
        let claim = Claim::of(libc::SIGINT);
        assert!(!is_left_unanswered(start + RESPONSE_LIMIT), "the program handles it");
        drop(claim);

        armed.answer();
        assert!(!is_left_unanswered(start + 2 * RESPONSE_LIMIT));
        assert!(is_left_unanswered(start + 3 * RESPONSE_LIMIT));
        drop(armed);
        assert!(!is_left_unanswered(start + 4 * RESPONSE_LIMIT));
    }
}
