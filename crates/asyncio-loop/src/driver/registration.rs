//! A descriptor's place with the driver.

use std::io;
use std::os::fd::RawFd;
use std::task::{Context, Poll};

use mio::unix::SourceFd;

use super::slots::{Slot, Token};
use super::{Direction, Driver};
use crate::LocalWaker;

/// Holds a slot, and the poller's registration once there was something to wait for.
///
/// The descriptor must stay open until this is dropped.
#[derive(Debug)]
pub(super) struct Registration {
    driver: Driver,
    token: Token,
    fd: RawFd,
}

impl Registration {
    pub(super) fn new(driver: &Driver, fd: RawFd) -> Self {
        let token = driver.shared.slots.borrow_mut().insert();
        Self { driver: driver.clone(), token, fd }
    }

    #[cfg(test)]
    pub(super) fn is_registered(&self) -> bool {
        self.with_slot(|slot| slot.is_registered())
    }

    /// Whether an attempt is worth its system call.
    #[inline]
    pub(super) fn is_ready(&self, direction: Direction) -> bool {
        self.with_slot(|slot| slot.is_ready(direction))
    }

    /// An attempt would have blocked.
    pub(super) fn clear(&self, direction: Direction) {
        self.with_slot(|slot| slot.clear(direction));
    }

    /// An attempt moved fewer bytes than it could have.
    #[inline]
    pub(super) fn drained(&self, direction: Direction) {
        self.with_slot(|slot| slot.drained(direction));
    }

    /// Ready, or the task of `cx` is woken when it may be.
    #[inline]
    pub(super) fn poll_ready(
        &self,
        cx: &Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        if self.is_ready(direction) { Poll::Ready(Ok(())) } else { self.poll_wait(cx, direction) }
    }

    fn poll_wait(&self, cx: &Context<'_>, direction: Direction) -> Poll<io::Result<()>> {
        let (is_registered, waits) = self.with_slot(|slot| {
            let waiter = slot.waiter(direction).as_ref();
            let waits = waiter.is_some_and(|waiter| waiter.will_wake(cx));
            (slot.is_registered(), waits)
        });
        if !is_registered {
            self.register()?;
        }
        if !waits {
            let waker = LocalWaker::from_context(cx);
            // Dropped out here: it may be foreign, and do anything.
            let _replaced = self.with_slot(|slot| slot.waiter(direction).replace(waker));
        }
        Poll::Pending
    }

    #[cold]
    fn register(&self) -> io::Result<()> {
        let selector = self.driver.shared.selector.borrow();
        selector.register(&mut SourceFd(&self.fd), self.token.into())?;
        self.with_slot(Slot::set_registered);
        Ok(())
    }

    pub(super) fn wake_waiter(&self, direction: Direction) {
        let waker = self.with_slot(|slot| slot.waiter(direction).take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    #[inline]
    fn with_slot<R>(&self, action: impl FnOnce(&mut Slot) -> R) -> R {
        let mut slots = self.driver.shared.slots.borrow_mut();
        action(slots.get_mut(self.token).expect("a registration keeps its slot"))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // Its wakers may be foreign and do anything when they drop: nothing is borrowed by then.
        let slot = self.driver.shared.slots.borrow_mut().remove(self.token);
        if slot.is_some_and(|slot| slot.is_registered()) {
            // It fails only for a descriptor that was closed too early, which the poller forgot by itself.
            let _ = self.driver.shared.selector.borrow().deregister(&mut SourceFd(&self.fd));
        }
    }
}
