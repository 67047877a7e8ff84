//! The datagrams that wait until the socket takes them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use bytes::Bytes;

use crate::address::Address;
use crate::connection::Limits;

/// The size that a queued datagram counts in addition to its data, as in asyncio, so that empty
/// datagrams fill the queue too.
const OVERHEAD: usize = 8;

/// A datagram that is to be sent.
pub(super) struct Datagram<B> {
    pub(super) data: B,
    /// Descriptors that are sent with the data.
    pub(super) descriptors: Vec<OwnedFd>,
    /// The destination, unless that is the peer the socket is connected to.
    pub(super) address: Option<Address>,
}

/// The queue, its size, and whether the size has reached the high-water mark.
#[derive(Default)]
pub(super) struct Outgoing {
    queue: RefCell<VecDeque<Datagram<Bytes>>>,
    size: Cell<usize>,
    limits: Cell<Limits>,
    full: Cell<bool>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    /// The bytes of the queued datagrams, and the overhead of each.
    pub(super) fn size(&self) -> usize {
        self.size.get()
    }

    /// True from the moment at which the size exceeds the high-water mark until it falls to the low
    /// one.
    pub(super) fn is_full(&self) -> bool {
        self.full.get()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits.get()
    }

    pub(super) fn set_limits(&self, limits: Limits) {
        self.limits.set(limits);
        self.set_size(self.size.get());
    }

    pub(super) fn push(&self, datagram: Datagram<&[u8]>) {
        let Datagram { data, descriptors, address } = datagram;
        let data = Bytes::copy_from_slice(data);
        self.set_size(self.size.get() + data.len() + OVERHEAD);
        self.queue.borrow_mut().push_back(Datagram { data, descriptors, address });
    }

    /// The next datagram to send, which stays in the queue.
    pub(super) fn with_first<R>(&self, look: impl FnOnce(&Datagram<Bytes>) -> R) -> Option<R> {
        self.queue.borrow().front().map(look)
    }

    pub(super) fn pop(&self) {
        let sent = self.queue.borrow_mut().pop_front();
        if let Some(sent) = sent {
            self.set_size(self.size.get() - sent.data.len() - OVERHEAD);
        }
    }

    pub(super) fn clear(&self) {
        self.queue.take();
        self.set_size(0);
    }

    fn set_size(&self, size: usize) {
        self.size.set(size);
        let limits = self.limits.get();
        if size > limits.high {
            self.full.set(true);
        } else if size <= limits.low {
            self.full.set(false);
        }
    }
}
