//! The connections of one host.

use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::LoopTime;

use super::Key;
use super::lease::{Exclusive, Lease, Shared};

/// The protocol version of a host, once known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Version {
    #[default]
    Unknown,
    Http1,
    Http2,
}

#[derive(Default)]
pub(super) struct Host {
    /// Idle HTTP/1 connections, the most recently used one at the end.
    pub(super) idle: Vec<Idle>,
    /// The HTTP/2 connection.
    pub(super) shared: Option<Rc<Shared>>,
    /// Connections that are open or being opened.
    pub(super) open: usize,
    /// Connections that are being opened.
    pub(super) opening: usize,
    /// The number of waiting requests.
    pub(super) waiting: usize,
    pub(super) version: Version,
}

impl Host {
    /// A stream of the HTTP/2 connection.
    pub(super) fn share(&mut self) -> Option<Lease> {
        if self.shared.as_ref().is_some_and(|shared| shared.is_closed()) {
            self.shared = None;
        }
        self.shared.as_ref().map(|shared| Lease::of_shared(shared, true))
    }

    /// Whether a request is opening a connection to an unknown host. If the host supports HTTP/2,
    /// the other requests need no connection of their own.
    pub(super) fn is_asking(&self) -> bool {
        self.opening > 0 && self.version == Version::Unknown
    }

    /// Whether there is a connection for a request.
    pub(super) fn has_idle(&self) -> bool {
        !self.idle.is_empty() || self.shared.as_ref().is_some_and(|shared| !shared.is_closed())
    }

    /// Removes connections that are closed or were idle for too long.
    pub(super) fn take_unusable(&mut self, now: LoopTime, limit: Duration) -> Vec<Idle> {
        let idle = std::mem::take(&mut self.idle);
        let (usable, unusable) = idle.into_iter().partition(|idle| idle.is_usable(now, limit));
        self.idle = usable;
        unusable
    }

    pub(super) fn is_unused(&self) -> bool {
        self.open == 0 && self.opening == 0 && self.waiting == 0
    }
}

/// An idle HTTP/1 connection.
pub(super) struct Idle {
    link: Exclusive,
    pub(super) since: LoopTime,
}

impl Idle {
    pub(super) fn new(link: Exclusive, since: LoopTime) -> Self {
        Self { link, since }
    }

    pub(super) fn key(&self) -> &Rc<Key> {
        self.link.key()
    }

    pub(super) fn is_usable(&self, now: LoopTime, limit: Duration) -> bool {
        !self.link.is_closed() && now < self.since + limit
    }

    pub(super) fn into_lease(self) -> Lease {
        Lease::of_exclusive(self.link, true)
    }
}
