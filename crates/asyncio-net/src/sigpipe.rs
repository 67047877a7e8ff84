//! Sending to a peer that is gone is an error, and never the signal `SIGPIPE`.
//!
//! Programs in Rust ignore that signal, unless something else has their `main`. Where a call has a
//! flag against it, the flag is used. Apple's systems have an option of the socket instead, which
//! sockets of std, mio and socket2 have set, and adopted ones perhaps not.

use std::os::fd::AsFd;

use rustix::net::SendFlags;

/// The flag for each call that sends.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::empty();

/// Sets the option of the socket where there is no flag.
#[cfg(not(target_vendor = "apple"))]
#[inline]
pub(crate) fn never(_: &impl AsFd) {}

#[cfg(target_vendor = "apple")]
pub(crate) fn never(socket: &impl AsFd) {
    // A socket whose peer has reset it refuses options. A write to it is an error before a signal.
    let _ = rustix::net::sockopt::set_socket_nosigpipe(socket, true);
}
