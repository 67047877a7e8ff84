//! Readiness of descriptors, by mio.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use mio::event::{self, Event};
use mio::{Events, Interest, Poll, Registry};

/// Both directions, and urgent data if the system reports it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// The number of events per system call; further ones come with the next call.
const BATCH: usize = 1024;

/// The token of the wake-up from other threads. No slot has such a high index.
pub(super) const WAKER: mio::Token = mio::Token(usize::MAX);
/// The token of the precise timer.
pub(super) const TIMER: mio::Token = mio::Token(usize::MAX - 1);

/// The poller, and its buffer of events.
pub(super) struct Selector {
    poll: Poll,
    events: Events,
}

impl Selector {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(BATCH) })
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// A duplicate of the poller's descriptor.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        self.registry().as_fd().try_clone_to_owned()
    }

    /// Whether the last `select` filled its batch.
    pub(super) fn was_full(&self) -> bool {
        self.events.iter().nth(BATCH - 1).is_some()
    }

    /// Waits for at most `timeout` (rounded up to what the system can express); a signal ends the
    /// wait early and is no error.
    pub(super) fn select(
        &mut self,
        timeout: Option<Duration>,
    ) -> io::Result<impl Iterator<Item = &Event>> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            result => result?,
        }
        Ok(self.events.iter())
    }

    /// Watches both directions of `source`, edge-triggered.
    pub(super) fn register(
        &self,
        source: &mut impl event::Source,
        token: mio::Token,
    ) -> io::Result<()> {
        self.registry().register(source, token, INTEREST)
    }

    /// Asks for an event if either direction is ready now.
    pub(super) fn reregister(
        &self,
        source: &mut impl event::Source,
        token: mio::Token,
    ) -> io::Result<()> {
        self.registry().reregister(source, token, INTEREST)
    }

    /// Stops watching.
    pub(super) fn deregister(&self, source: &mut impl event::Source) -> io::Result<()> {
        self.registry().deregister(source)
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Selector").finish_non_exhaustive()
    }
}
