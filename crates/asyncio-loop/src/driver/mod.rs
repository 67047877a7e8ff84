//! The driver, and its invariants.
//!
//! The driver waits until a descriptor is ready, a deadline has come or another thread calls, and
//! wakes the waiters of ready descriptors.
//!
//! 1. **One registration** per descriptor, for both directions, edge-triggered, for as long as the
//!    [`Source`] lives. It is made at the first wait that has to wait. Until then a descriptor is
//!    assumed to be ready, so a connection that is served at once is never registered.
//! 2. **Readiness is remembered** until an operation finds the descriptor drained: an event that
//!    comes before a wait is not lost.
//! 3. **One waiter** per direction: the last one. A reader stays stored after its wake, so that no
//!    reference is counted for each wait; it is woken once for each wait.
//! 4. **Tokens carry a generation**, so an event for a descriptor that is gone wakes no task, even
//!    if another descriptor has its place.
//! 5. **Nothing is borrowed while other code runs**: wakers are collected first and woken (or
//!    dropped) after every borrow has ended, so their code may use the driver.
//! 6. **A wait is never too short** except for a spurious return: [`Driver::poll`] may return
//!    without an event, and the loop polls again. It is late by tens of microseconds at most on
//!    systems with a precise timer (Linux), by a millisecond on others.

mod lists;
mod precise;
mod ready_list;
mod registration;
mod selector;
mod slots;
mod source;
#[cfg(test)]
mod tests;
mod wake;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::{Arc, Weak};

use mio::event::Event;

use self::precise::Precise;
pub use self::ready_list::ReadyList;
pub(crate) use self::registration::Registration;
use self::selector::Selector;
use self::slots::Slots;
pub use self::source::{Direction, Pollable, Source};
use self::wake::WakeList;
use crate::LoopClosed;

/// How long [`Driver::poll`] may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Do not wait.
    Now,
    /// Until an event comes or this moment is reached, on the clock of
    /// [`system_nanos`](crate::clock::system_nanos).
    Until(u64),
    /// Until an event comes.
    Forever,
}

/// A handle to the loop's driver; clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Driver {
    shared: Rc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// `None` when the loop is closed, so that a remaining source does not keep the poller's
    /// descriptors open.
    poller: RefCell<Option<Poller>>,
    slots: RefCell<Slots>,
    /// Empty between polls; kept for its capacity.
    woken: RefCell<WakeList>,
    /// Bytes that sources have read and written.
    bytes: [Cell<u64>; 2],
}

#[derive(Debug)]
struct Poller {
    selector: Selector,
    precise: Precise,
    waker: Arc<mio::Waker>,
}

/// Ends a wait of the driver, from any thread. It does not keep the driver's descriptors open.
#[derive(Clone, Debug)]
pub(crate) struct PollWaker(Weak<mio::Waker>);

impl PollWaker {
    /// Ends the current wait, or the next one if the driver does not wait now.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.0.upgrade() {
            // The call fails only when the counter is full, which ends the wait as well.
            let _ = waker.wake();
        }
    }
}

impl Driver {
    pub(crate) fn new() -> io::Result<Self> {
        let selector = Selector::new()?;
        let waker = Arc::new(mio::Waker::new(selector.registry(), selector::WAKER)?);
        let precise = Precise::new(selector.registry(), selector::TIMER)?;
        Ok(Self {
            shared: Rc::new(Shared {
                poller: RefCell::new(Some(Poller { selector, precise, waker })),
                slots: RefCell::default(),
                woken: RefCell::default(),
                bytes: Default::default(),
            }),
        })
    }

    /// The waker by which another thread ends a wait.
    pub(crate) fn waker(&self) -> PollWaker {
        let poller = self.shared.poller.borrow();
        let waker = poller.as_ref().map(|poller| Arc::downgrade(&poller.waker));
        PollWaker(waker.unwrap_or_default())
    }

    /// Closes all descriptors of the driver, even if handles still exist. Waiting is not possible
    /// any more.
    pub(crate) fn close(&self) {
        self.shared.poller.take();
    }

    /// The number of known descriptors.
    pub(crate) fn watched(&self) -> usize {
        self.shared.slots.borrow().len()
    }

    /// Bytes that sources have read, and bytes that they have written.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let [read, written] = &self.shared.bytes;
        (read.get(), written.get())
    }

    /// Whether a descriptor is registered.
    pub(crate) fn is_watching(&self) -> bool {
        !self.shared.slots.borrow().is_empty()
    }

    /// A duplicate of the poller's descriptor, which is readable when a poll would find something.
    pub(crate) fn duplicate_poller(&self) -> io::Result<OwnedFd> {
        self.shared.with_selector(Selector::duplicate)
    }

    /// Makes the poller's descriptor readable when the wait is over, if the system has a timer for
    /// that.
    pub(crate) fn arm(&self, wait: Wait) -> io::Result<()> {
        let poller = self.shared.poller.borrow();
        poller.as_ref().ok_or_else(closed)?.precise.timeout(wait)?;
        Ok(())
    }

    /// Whether the last poll took as many events as fit, so that there may be more.
    pub(crate) fn was_batch_full(&self) -> bool {
        let poller = self.shared.poller.borrow();
        poller.as_ref().is_some_and(|poller| poller.selector.was_full())
    }

    /// Waits, then wakes the waiters of the descriptors that became ready. Returns whether there
    /// was one.
    pub(crate) fn poll(&self, wait: Wait) -> io::Result<bool> {
        let mut found = false;
        let mut woken = self.shared.woken.take();
        {
            let mut poller = self.shared.poller.borrow_mut();
            let Poller { selector, precise, .. } = poller.as_mut().ok_or_else(closed)?;
            let timeout = precise.timeout(wait)?;
            let mut slots = self.shared.slots.borrow_mut();
            for event in selector.select(timeout)? {
                found |= dispatch(event, precise, &mut slots, &mut woken);
            }
        }
        woken.wake_all();
        self.shared.woken.replace(woken);
        Ok(found)
    }
}

impl Shared {
    fn with_selector<R>(&self, action: impl FnOnce(&Selector) -> io::Result<R>) -> io::Result<R> {
        let poller = self.poller.borrow();
        action(&poller.as_ref().ok_or_else(closed)?.selector)
    }
}

/// Whether the event belongs to a descriptor.
fn dispatch(event: &Event, precise: &Precise, slots: &mut Slots, woken: &mut WakeList) -> bool {
    match event.token() {
        selector::WAKER => {}
        selector::TIMER => precise.fired(),
        _ => {
            slots.on_event(event, woken);
            return true;
        }
    }
    false
}

fn closed() -> io::Error {
    io::Error::other(LoopClosed(()))
}
