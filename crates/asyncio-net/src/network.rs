//! What this crate keeps for each loop.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::{Rc, Weak};

use asyncio_loop::{LoopRef, TaskOptions, running_loop};

use crate::connection::Connection;
use crate::pool;
use crate::queue::Queue;

/// With so many connections waiting, what they wrote leaves: their buffers are still in the cache.
const CORKED: usize = 16;

/// Empty queues that are kept with their memory.
const QUEUES: usize = 2 * CORKED;

/// The loop, the connections whose small writes wait for the end of the turn, and buffers.
pub(crate) struct Network {
    event_loop: LoopRef,
    corked: RefCell<Vec<Rc<Connection>>>,
    /// Empty; kept for its capacity.
    leaving: RefCell<Vec<Rc<Connection>>>,
    at_turn_end: Rc<dyn Fn()>,
    /// The end of this turn has been asked for.
    asked: Cell<bool>,
    /// What protocols receive into; empty while it is lent.
    buffer: Cell<Box<[u8]>>,
    /// Empty queues; the one used last goes first, for it is still in the cache.
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    queues: RefCell<Vec<Box<Queue>>>,
}

impl Network {
    /// That of a loop, made at the first call.
    pub(crate) fn of(event_loop: &LoopRef) -> Rc<Self> {
        let slot = event_loop.local::<OnceCell<Rc<Self>>>();
        slot.get_or_init(|| Self::new(event_loop.clone())).clone()
    }

    /// That of the running loop.
    ///
    /// # Panics
    ///
    /// Where none runs.
    #[track_caller]
    pub(crate) fn running() -> Rc<Self> {
        Self::of(&running_loop())
    }

    fn new(event_loop: LoopRef) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| {
            let this = this.clone();
            let at_turn_end = move || {
                if let Some(network) = this.upgrade() {
                    network.asked.set(false);
                    network.uncork();
                }
            };
            Self {
                event_loop,
                corked: RefCell::default(),
                leaving: RefCell::default(),
                at_turn_end: Rc::new(at_turn_end),
                asked: Cell::new(false),
                buffer: Cell::default(),
                queues: RefCell::default(),
            }
        })
    }

    pub(crate) fn event_loop(&self) -> &LoopRef {
        &self.event_loop
    }

    /// Has what `connection` wrote leave at the end of the turn, after that of those who came before it.
    pub(crate) fn cork(&self, connection: Rc<Connection>) {
        if self.corked.borrow().len() == CORKED {
            self.uncork();
        }
        self.corked.borrow_mut().push(connection);
        if !self.asked.replace(true) {
            self.event_loop.at_turn_end(self.at_turn_end.clone());
        }
    }

    fn uncork(&self) {
        let empty = self.leaving.take();
        let mut leaving = self.corked.replace(empty);
        for connection in leaving.drain(..) {
            connection.uncorked();
        }
        self.leaving.replace(leaving);
    }

    /// The loop's read buffer, to be lent to a protocol.
    pub(crate) fn take_buffer(&self) -> Box<[u8]> {
        let buffer = self.buffer.take();
        if buffer.is_empty() { pool::take() } else { buffer }
    }

    pub(crate) fn give_buffer(&self, buffer: Box<[u8]>) {
        self.buffer.set(buffer);
    }

    pub(crate) fn take_queue(&self) -> Box<Queue> {
        self.queues.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps an empty queue for the next one to write.
    pub(crate) fn give_queue(&self, queue: Box<Queue>) {
        debug_assert!(queue.len() == 0, "only empty queues are kept");
        let mut queues = self.queues.borrow_mut();
        if queues.len() < QUEUES {
            queues.push(queue);
        }
    }

    /// Runs `future` as a part of the machinery, until it is done or the loop is closed.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        // On a closed loop nothing runs any more, this neither.
        let _ = self.event_loop.spawn(future, TaskOptions::new().hidden());
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("event_loop", &self.event_loop).finish_non_exhaustive()
    }
}
