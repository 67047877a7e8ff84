//! Makes sending to a peer that is gone an error instead of the signal `SIGPIPE`.
//!
//! Programs in Rust ignore that signal, unless their `main` belongs to another language. Where the
//! call has a flag against the signal, the flag is used. Apple's systems have a socket option
//! instead. Sockets of std, mio and socket2 have it set; adopted sockets may not.

use std::os::fd::AsFd;

use rustix::net::SendFlags;

/// The flag for each call that sends.
#[cfg(not(target_vendor = "apple"))]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
pub(crate) const NO_SIGPIPE: SendFlags = SendFlags::empty();

/// Sets the socket option on systems without the flag.
#[cfg(not(target_vendor = "apple"))]
#[inline]
pub(crate) fn never(_: &impl AsFd) {}

#[cfg(target_vendor = "apple")]
pub(crate) fn never(socket: &impl AsFd) {
    // A socket that the peer has reset refuses options. A write to it returns the error before a
    // signal is raised.
    let _ = rustix::net::sockopt::set_socket_nosigpipe(socket, true);
}
