//! The high-water and low-water marks, and the actions when the queue crosses them.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{Connection, FULL, GAVE_WAY, NOT_OPEN, PAUSED};
use crate::waiters::Place;

/// The number of system calls that a writer makes before it yields to other tasks.
///
/// The connection counts these calls itself, instead of using the budget of the step
/// (`asyncio_loop::machinery::Share`): `write` is no future and cannot be refused, and a `drain`
/// that sends nothing must not use up the budget for reads. The number is the same as the budget's.
const SENDS_IN_A_ROW: u8 = 16;

/// The size of the queue above which writers have to wait, and the size at which they go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) high: usize,
    pub(crate) low: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl Limits {
    /// The default of the high mark.
    const HIGH: usize = 64 * 1024;

    /// Fills in missing marks: 64 KiB, and a factor of four between the two.
    ///
    /// # Panics
    ///
    /// If the low mark is above the high one.
    pub(crate) fn new(high: Option<usize>, low: Option<usize>) -> Self {
        let high = high.unwrap_or_else(|| low.map_or(Self::HIGH, |low| low.saturating_mul(4)));
        let low = low.unwrap_or(high / 4);
        assert!(low <= high, "the low-water mark ({low}) must not be above the high one ({high})");
        Self { high, low }
    }
}

impl Connection {
    pub(crate) fn limits(&self) -> Limits {
        self.rare.get().map(|rare| rare.limits.get()).unwrap_or_default()
    }

    /// Whether `bytes` is above the high-water mark.
    #[inline]
    pub(super) fn exceeds_high(&self, queued: usize) -> bool {
        queued > self.rare.get().map_or(Limits::HIGH, |rare| rare.limits.get().high)
    }

    /// The number of unsent bytes, in the queue and in the stream below.
    pub(crate) fn queued(&self) -> usize {
        let queue = self.queue.take();
        let queued = queue.as_ref().map_or(0, |queue| queue.len());
        self.queue.set(queue);
        queued + self.io.unsent()
    }
}

impl Connection {
    /// Copies the marks of the connection that this one replaces.
    pub(crate) fn adopt_limits(&self, before: &Connection) {
        if before.limits() != Limits::default() {
            self.rare().limits.set(before.limits());
        }
    }

    /// Calls `pause_writing` or `resume_writing` at once, because the caller may expect new limits
    /// to have an immediate effect.
    pub(crate) fn set_limits(self: &Rc<Self>, limits: Limits) {
        self.rare().limits.set(limits);
        self.check_high(self.queued());
        if self.lets_writers_go_on() {
            self.tell_protocol();
        }
    }

    /// Makes writers wait if too much is queued.
    #[inline]
    pub(super) fn check_high(self: &Rc<Self>, queued: usize) {
        if queued > 0 && !self.has(FULL) && !self.is_closed() && queued > self.limits().high {
            self.set(FULL);
            self.tell_protocol();
        }
    }

    /// Lets writers go on if little enough is queued. Returns whether they had been waiting. The
    /// protocols' task calls `resume_writing`, in its own context, because the bytes that are sent
    /// here may come from many writers.
    #[inline]
    pub(super) fn check_low(self: &Rc<Self>) -> bool {
        let goes_on = self.lets_writers_go_on();
        if goes_on && self.has(PAUSED) {
            self.wake_protocols_task();
        }
        goes_on
    }

    #[inline]
    fn lets_writers_go_on(&self) -> bool {
        let goes_on = self.has(FULL) && self.queued() <= self.limits().low;
        if goes_on {
            self.clear(FULL);
            self.wake_waiters();
        }
        goes_on
    }

    /// Calls `pause_writing` or `resume_writing`. If the protocol is being called already, this
    /// happens when that call returns.
    #[inline]
    pub(crate) fn tell_protocol(self: &Rc<Self>) {
        if self.has(FULL) != self.has(PAUSED) {
            self.tell_changes();
        }
    }

    #[cold]
    fn tell_changes(self: &Rc<Self>) {
        while self.has(FULL) != self.has(PAUSED) && !self.is_closed() {
            let full = self.has(FULL);
            let told = self.with_receiver(|receiver, transport| {
                // Set before the call, because the call may write, and get here again.
                transport.connection().note_paused(full);
                if full {
                    receiver.pause_writing(transport);
                } else {
                    receiver.resume_writing(transport);
                }
            });
            if told.is_none() {
                break;
            }
        }
    }

    fn note_paused(&self, paused: bool) {
        if paused { self.set(PAUSED) } else { self.clear(PAUSED) }
    }

    /// Waits while too much is queued.
    pub(crate) fn poll_drain(
        &self,
        cx: &Context<'_>,
        place: &Place,
        waited: bool,
    ) -> Poll<io::Result<()>> {
        if let Some(error) = self.error() {
            return Poll::Ready(Err(error));
        }
        if self.is_closed() && !waited {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if self.has(FULL) && !self.is_closed() {
            self.wait(cx, place);
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether a writer needs neither to wait nor to yield.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        !self.has(FULL | GAVE_WAY | NOT_OPEN) && self.sends.get() < SENDS_IN_A_ROW
    }

    /// Whether a writer that never has to wait should yield now. True at most once in a row.
    pub(crate) fn must_give_way(&self) -> bool {
        if self.is_shut() && !self.is_closed() && !self.has(GAVE_WAY)
            || self.sends.get() >= SENDS_IN_A_ROW
        {
            self.set(GAVE_WAY);
            self.sends.set(0);
            return true;
        }
        self.clear(GAVE_WAY);
        false
    }
}
