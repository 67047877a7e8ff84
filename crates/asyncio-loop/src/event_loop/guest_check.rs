//! Under `--cfg guest` every loop is a guest, so that the tests of all crates run as guests too.
//!
//! The host is minimal and strict: it watches the guest edge-triggered, calls it only when a burst
//! said so, and passes `readable` only when the poller was readable.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, Result};

use super::{Burst, Guest, Host, LoopRef};

/// Makes a new loop a guest.
pub(super) fn run_as_guest(event_loop: &LoopRef) {
    event_loop.set_host(Rc::new(EpollHost)).expect("a new loop does not run");
}

struct EpollHost;

impl Host for EpollHost {
    fn drive(&self, guest: Guest) {
        let watch = Watch::new(&guest).expect("descriptors for the host");
        let mut readable = false;
        loop {
            watch.woken.0.store(false, Ordering::Relaxed);
            let burst = guest.burst(&watch.waker, readable).expect("the host of a run");
            let wait = match burst {
                Burst::Over => return,
                Burst::Busy => false,
                Burst::Idle => !watch.woken.0.load(Ordering::Relaxed),
            };
            readable = watch.wait(wait).expect("a poller");
        }
    }

    fn may_wake(&self) -> bool {
        false
    }
}

/// The descriptors that a host waits for.
struct Watch {
    epoll: OwnedFd,
    woken: Arc<Woken>,
    waker: Waker,
    _poller: OwnedFd,
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Watch {
    fn new(guest: &Guest) -> std::io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let poller = guest.poller()?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &poller, epoll::EventData::new_u64(0), flags)?;
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        Ok(Self { epoll, woken, waker, _poller: poller })
    }

    /// Whether the guest's poller is readable, after waiting for it if `timeout` allows.
    fn wait(&self, wait: bool) -> Result<bool> {
        let zero = Timespec::default();
        let timeout = (!wait).then_some(&zero);
        let mut events = Vec::with_capacity(4);
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout) {
            Err(Errno::INTR) => Ok(false),
            result => result.map(|_| !events.is_empty()),
        }
    }
}
