//! A descriptor that is readable when its process has ended.

use std::io;
use std::os::fd::OwnedFd;

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

pub(crate) struct Pidfd(Source<OwnedFd>);

impl Pidfd {
    pub(super) fn new(event_loop: &LoopRef, pid: Pid) -> io::Result<Self> {
        let source = Source::new(event_loop, pidfd_open(pid, PidfdFlags::empty())?);
        // The process has just been started, so do not check before the poller reports it.
        source.clear_ready(Direction::Read);
        Ok(Pidfd(source))
    }

    pub(super) async fn ended(&self) {
        // An error of the poller counts as an end: the caller checks, and calls again.
        let _ = self.0.ready(Direction::Read).await;
        self.0.clear_ready(Direction::Read);
    }

    pub(super) fn send_signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(self.0.get_ref(), signal)?)
    }
}
