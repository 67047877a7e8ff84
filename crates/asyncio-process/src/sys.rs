//! What the standard library and rustix leave to unsafe code, and nothing else: work in a new
//! process before it becomes its program, its user and groups, and the signals that have no name.

#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

use crate::setup::Setup;

/// Has the process that `command` starts do `setup` to itself.
pub(crate) fn prepare(command: &mut Command, setup: Setup) {
    // SAFETY: the closure runs in a copy of this process that has one thread only, while others of
    // this process may have been in the middle of anything: it must not take locks or allocate, and
    // what it calls must be async-signal-safe. `apply` makes plain system calls, each by a function
    // that keeps to that (umask, setsid, getppid, setuid, setgid by POSIX; setrlimit, getrlimit,
    // setgroups and prctl are wrappers without state on every system there is). It reads lists that
    // were made before, returns errors by number, which own no memory, and drops nothing. It opens
    // and closes nothing.
    unsafe { command.pre_exec(move || setup.apply()) };
}

/// Replaces the supplementary groups of this process.
pub(crate) fn set_groups(groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a slice, which outlives the call. (The
    // length's type is not the same everywhere.)
    check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) })
}

/// Sets the real, effective and saved group of this process.
pub(crate) fn set_gid(group: libc::gid_t) -> io::Result<()> {
    // SAFETY: there is no memory in it.
    check(unsafe { libc::setgid(group) })
}

/// Sets the real, effective and saved user of this process.
pub(crate) fn set_uid(user: libc::uid_t) -> io::Result<()> {
    // SAFETY: there is no memory in it.
    check(unsafe { libc::setuid(user) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A signal by number, if it can be sent: named and real-time signals only.
pub(crate) fn signal(number: i32) -> Option<Signal> {
    Signal::from_named_raw(number).or_else(|| real_time_signal(number))
}

#[cfg(target_os = "linux")]
fn real_time_signal(number: i32) -> Option<Signal> {
    if !(libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) {
        return None;
    }
    // SAFETY: it is not 0, and not one of those that the C library keeps for itself, which lie
    // below its SIGRTMIN.
    Some(unsafe { Signal::from_raw_unchecked(number) })
}

#[cfg(not(target_os = "linux"))]
fn real_time_signal(_: i32) -> Option<Signal> {
    None
}
