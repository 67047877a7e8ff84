//! The keyword arguments of a datagram endpoint.

use std::os::fd::OwnedFd;

use socket2::Domain;

use super::DatagramAddress;
use crate::io::buffer_pool;
use crate::resolve::Family;

/// The options that the methods of [`CreateDatagramEndpoint`](super::CreateDatagramEndpoint) set.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) local: Option<DatagramAddress>,
    pub(super) remote: Option<DatagramAddress>,
    pub(super) socket: Option<OwnedFd>,
    pub(super) family: Option<Family>,
    pub(super) reuse_port: bool,
    pub(super) allow_broadcast: bool,
    pub(super) cleanup_socket: bool,
    pub(super) replace_socket: bool,
    pub(super) limit: usize,
    pub(super) descriptors: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            local: None,
            remote: None,
            socket: None,
            family: None,
            reuse_port: false,
            allow_broadcast: false,
            cleanup_socket: true,
            replace_socket: false,
            limit: buffer_pool::LENGTH,
            descriptors: 0,
        }
    }
}

impl Options {
    pub(super) fn has_address(&self) -> bool {
        self.local.is_some() || self.remote.is_some() || self.family.is_some()
    }

    /// Whether options are set that only a new socket can have.
    pub(super) fn has_those_of_a_new_socket(&self) -> bool {
        self.has_address() || self.reuse_port || self.allow_broadcast || self.replace_socket
    }

    pub(super) fn domain(&self) -> Domain {
        if self.family == Some(Family::Inet6) { Domain::IPV6 } else { Domain::IPV4 }
    }
}
