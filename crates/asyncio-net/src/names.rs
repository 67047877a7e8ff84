//! The addresses of a socket by the number of its descriptor, for the inspection of waiting tasks.

use std::os::fd::RawFd;

use asyncio_loop::inspect::SocketNames;
use rustix::net::{getpeername, getsockname};

use crate::address::Address;
use crate::inherited::with_descriptor;

/// The addresses of both ends; `None` if the descriptor is no socket.
pub(crate) fn socket_names(fd: RawFd) -> Option<SocketNames> {
    with_descriptor(fd, |fd| {
        let local = Address::from_any(Some(getsockname(fd).ok()?));
        let peer = getpeername(fd).ok().map(|peer| Address::from_any(peer).to_string());
        Some(SocketNames::new(Some(local.to_string()), peer))
    })?
}
