//! The registration of a descriptor with the driver.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use mio::unix::SourceFd;

use super::slots::{Slot, Token};
use super::{Direction, Driver, ReadyList};
use crate::LoopWaker;
use crate::kernel::Wait;

/// Holds a slot, and the poller's registration once there was something to wait for.
///
/// The descriptor must stay open until this is dropped.
#[derive(Debug)]
pub(crate) struct Registration {
    driver: Driver,
    token: Token,
}

impl Registration {
    pub(crate) fn new(driver: &Driver, fd: RawFd) -> Self {
        let token = driver.shared.slots.borrow_mut().insert(fd);
        Self { driver: driver.clone(), token }
    }

    /// Shares `fd` with other registrations; an error if it has one that is not shared.
    pub(crate) fn shared(driver: &Driver, fd: RawFd) -> io::Result<Self> {
        let token = driver.shared.slots.borrow_mut().share(fd);
        let Some(token) = token else { return Err(io::Error::other(InUse(fd))) };
        Ok(Self { driver: driver.clone(), token })
    }

    #[cfg(test)]
    pub(crate) fn is_registered(&self) -> bool {
        self.with_slot(|slot| slot.is_registered())
    }

    /// Whether an attempt may succeed.
    #[inline]
    pub(crate) fn is_ready(&self, direction: Direction) -> bool {
        self.with_slot(|slot| slot.is_ready(direction))
    }

    /// Counts bytes for the loop's statistics.
    #[inline]
    pub(crate) fn count(&self, direction: Direction, bytes: usize) {
        let total = &self.driver.shared.bytes[direction as usize];
        total.set(total.get().wrapping_add(bytes as u64));
    }

    /// Notes that an attempt would have blocked.
    pub(crate) fn clear(&self, direction: Direction) {
        self.with_slot(|slot| slot.clear(direction));
    }

    /// Notes that an attempt moved fewer bytes than it could have.
    #[inline]
    pub(crate) fn drained(&self, direction: Direction) {
        self.with_slot(|slot| slot.drained(direction));
    }

    /// Ready, or the task of `cx` is woken when it may be.
    #[inline]
    #[track_caller]
    pub(crate) fn poll_ready(
        &self,
        cx: &Context<'_>,
        direction: Direction,
    ) -> Poll<io::Result<()>> {
        let (is_ready, waits, fd) = self.with_slot(|slot| {
            let is_ready = slot.is_ready(direction);
            let waits = !is_ready && slot.is_registered() && slot.waits_again(direction, cx);
            (is_ready, waits, slot.fd())
        });
        if is_ready {
            return Poll::Ready(Ok(()));
        }
        if waits {
            Wait::descriptor(fd, direction == Direction::Write).note(cx);
        } else {
            self.start_to_wait(cx, direction, fd)?;
        }
        Poll::Pending
    }

    #[cold]
    #[track_caller]
    fn start_to_wait(&self, cx: &Context<'_>, direction: Direction, fd: RawFd) -> io::Result<()> {
        if self.with_slot(|slot| slot.is_shared()) {
            self.register_shared()?;
        } else {
            self.register()?;
        }
        let waker = LoopWaker::waiting(cx, Wait::descriptor(fd, direction == Direction::Write));
        // The waker is dropped with nothing borrowed, because a foreign waker may run any code.
        let _replaced = self.with_slot(|slot| slot.set_waiter(direction, waker));
        Ok(())
    }

    /// Ready when the descriptor has failed or its other side has gone; until then the task of `cx`
    /// is woken when that happens.
    pub(crate) fn poll_hang_up(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        if self.with_slot(|slot| slot.is_hung_up()) {
            return Poll::Ready(Ok(()));
        }
        self.register()?;
        let fd = self.with_slot(|slot| slot.fd());
        let waker = LoopWaker::waiting(cx, Wait::descriptor(fd, false));
        // The waker is dropped with nothing borrowed, because a foreign waker may run any code.
        let _replaced = self.with_slot(|slot| slot.set_watcher(waker));
        Poll::Pending
    }

    pub(crate) fn clear_hang_up(&self) {
        self.with_slot(Slot::clear_hang_up);
    }

    pub(crate) fn wake_watcher(&self) {
        let waker = self.with_slot(Slot::take_watcher);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Puts `number` into `list` whenever the descriptor becomes readable.
    pub(crate) fn join_list(&self, list: &ReadyList, number: u32) -> io::Result<()> {
        let shared = &self.driver.shared;
        assert!(Rc::ptr_eq(shared, list.driver()), "the list is of another loop");
        self.register()?;
        shared.slots.borrow_mut().enlist(self.token, list.id, number);
        Ok(())
    }

    pub(crate) fn is_listed(&self) -> bool {
        self.with_slot(|slot| slot.is_listed())
    }

    /// Makes the poller watch the descriptor, unless it does already.
    #[cold]
    pub(crate) fn register(&self) -> io::Result<()> {
        let (is_registered, fd) = self.with_slot(|slot| (slot.is_registered(), slot.fd()));
        if !is_registered {
            let token = self.token.into();
            let shared = &self.driver.shared;
            shared.with_selector(|selector| selector.register(&mut SourceFd(&fd), token))?;
            self.with_slot(|slot| slot.set_registered(true));
        }
        Ok(())
    }

    /// The same for a slot that other registrations have used before. One of them may have closed
    /// the descriptor, and its number may now belong to another one, which the poller does not
    /// know.
    #[cold]
    pub(crate) fn register_shared(&self) -> io::Result<()> {
        if self.with_slot(|slot| slot.is_registered()) {
            match self.rearm() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.with_slot(|slot| slot.set_registered(false));
                }
                result => return result,
            }
        }
        self.register()
    }

    /// Whether the number of the descriptor still belongs to this registration.
    pub(crate) fn is_latest(&self) -> bool {
        self.driver.shared.slots.borrow_mut().is_latest(self.token)
    }

    pub(crate) fn wake_waiter(&self, direction: Direction) {
        let waker = self.with_slot(|slot| slot.take_waiter(direction));
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Asks for another event if either direction is ready, which turns edges into levels.
    ///
    /// # Errors
    ///
    /// [`NotFound`](io::ErrorKind::NotFound) if the descriptor was closed and its number reused.
    pub(crate) fn rearm(&self) -> io::Result<()> {
        if !self.is_latest() {
            return Err(io::ErrorKind::NotFound.into());
        }
        let fd = self.with_slot(|slot| slot.fd());
        let token = self.token.into();
        let shared = &self.driver.shared;
        shared.with_selector(|selector| selector.reregister(&mut SourceFd(&fd), token))
    }

    #[inline]
    fn with_slot<R>(&self, action: impl FnOnce(&mut Slot) -> R) -> R {
        let mut slots = self.driver.shared.slots.borrow_mut();
        action(slots.get_mut(self.token).expect("a registration keeps its slot"))
    }
}

/// The descriptor belongs to a transport or some other [`Source`](super::Source).
#[derive(Debug)]
struct InUse(RawFd);

impl fmt::Display for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file descriptor {} is used by a transport", self.0)
    }
}

impl Error for InUse {}

impl Drop for Registration {
    fn drop(&mut self) {
        // Dropping foreign wakers may run any code, so nothing is borrowed here.
        let shared = &self.driver.shared;
        let slot = shared.slots.borrow_mut().remove(self.token);
        let Some(slot) = slot.filter(Slot::is_registered) else { return };
        // The poller has forgotten a descriptor that was closed too early. Its number may be
        // registered for another one by now, which stays.
        if !shared.slots.borrow_mut().is_registered(slot.fd()) {
            // The call fails for a number that is closed, and after the end of the loop, whose
            // poller is gone.
            let _ = shared.with_selector(|selector| selector.deregister(&mut SourceFd(&slot.fd())));
        }
    }
}
