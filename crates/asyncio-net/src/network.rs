//! The state that this crate keeps for each loop.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::panic::Location;
use std::rc::{Rc, Weak};

use asyncio_loop::inspect::name_sockets_by;
use asyncio_loop::{LoopRef, TaskOptions, running_loop, try_running_loop};

use crate::io::Buffer;
use crate::io::SocketStream;
use crate::io::buffer_pool;
use crate::io::{Lingering, Owner};
use crate::names::socket_names;
use crate::outgoing::WriteQueue;
use crate::outgoing::{BEHIND, Cork, Corked};
use crate::sockets::Sockets;

/// The maximum number of empty queues that are kept with their memory.
const QUEUES: usize = 2 * BEHIND;

/// The loop, the connections whose small writes wait for the end of the turn, and buffers.
pub(crate) struct Network {
    event_loop: LoopRef,
    cork: Cork,
    at_turn_end: Rc<dyn Fn()>,
    /// A call at the end of this turn has been requested.
    asked: Cell<bool>,
    /// The buffer that protocols receive into; `None` while it is lent.
    buffer: Cell<Option<Box<Buffer>>>,
    /// The empty queue that was used last, which is still in the cache.
    last_queue: Cell<Option<Box<WriteQueue>>>,
    /// Memory for small pieces that leave together.
    #[cfg(feature = "hyper")]
    gathered: Cell<Vec<u8>>,
    /// Other empty queues.
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    queues: RefCell<Vec<Box<WriteQueue>>>,
    lingering: OnceCell<Rc<Lingering>>,
    /// The simulated network that sockets come from, if there is one.
    sockets: RefCell<Option<Rc<dyn Sockets>>>,
}

impl Network {
    /// The state of a loop, made at the first call.
    pub(crate) fn of(event_loop: &LoopRef) -> Rc<Self> {
        let slot = event_loop.local::<OnceCell<Rc<Self>>>();
        slot.get_or_init(|| Self::new(event_loop.clone())).clone()
    }

    /// The state of the running loop.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    #[track_caller]
    pub(crate) fn running() -> Rc<Self> {
        Self::of(&running_loop())
    }

    /// The state of the running loop, for a builder that was made at `site`.
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    pub(crate) fn running_for(site: &Location<'_>) -> Rc<Self> {
        match try_running_loop() {
            Ok(event_loop) => Self::of(&event_loop),
            Err(error) => panic!("{error}: needed by the call at {site}"),
        }
    }

    fn new(event_loop: LoopRef) -> Rc<Self> {
        name_sockets_by(socket_names);
        Rc::new_cyclic(|this: &Weak<Self>| {
            let this = this.clone();
            let at_turn_end = move || {
                if let Some(network) = this.upgrade() {
                    network.asked.set(false);
                    network.cork.uncork();
                }
            };
            Self {
                event_loop,
                cork: Cork::default(),
                at_turn_end: Rc::new(at_turn_end),
                asked: Cell::new(false),
                buffer: Cell::default(),
                last_queue: Cell::default(),
                #[cfg(feature = "hyper")]
                gathered: Cell::default(),
                queues: RefCell::default(),
                lingering: OnceCell::new(),
                sockets: RefCell::default(),
            }
        })
    }

    pub(crate) fn event_loop(&self) -> &LoopRef {
        &self.event_loop
    }

    /// The simulated network that sockets come from; `None` for the system.
    pub(crate) fn sockets(&self) -> Option<Rc<dyn Sockets>> {
        self.sockets.borrow().clone()
    }

    pub(crate) fn set_sockets(&self, sockets: Rc<dyn Sockets>) {
        let before = self.sockets.replace(Some(sockets));
        drop(before);
    }

    /// Makes `connection` send at the end of the turn, after the connections that were added before
    /// it.
    #[inline]
    pub(crate) fn cork(&self, connection: Rc<dyn Corked>) {
        if self.cork.add(connection) && !self.asked.replace(true) {
            self.event_loop.at_turn_end(self.at_turn_end.clone());
        }
    }

    /// Makes a corked connection send now if it is the only one: the task that wrote to it waits
    /// for the answer.
    #[inline]
    pub(crate) fn uncork_lone(&self) {
        self.cork.uncork_lone();
    }

    /// The loop's read buffer, to be lent to a protocol.
    #[inline]
    pub(crate) fn take_buffer(&self) -> Box<Buffer> {
        self.buffer.take().unwrap_or_else(buffer_pool::take)
    }

    #[inline]
    pub(crate) fn give_buffer(&self, buffer: Box<Buffer>) {
        self.buffer.set(Some(buffer));
    }

    /// Lends memory for small pieces that leave together.
    #[cfg(feature = "hyper")]
    #[inline]
    pub(crate) fn with_gathered<R>(&self, use_it: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut gathered = self.gathered.take();
        gathered.clear();
        let result = use_it(&mut gathered);
        self.gathered.set(gathered);
        result
    }

    #[inline]
    pub(crate) fn take_queue(&self) -> Box<WriteQueue> {
        self.last_queue.take().unwrap_or_else(|| self.take_other_queue())
    }

    #[cold]
    fn take_other_queue(&self) -> Box<WriteQueue> {
        self.queues.borrow_mut().pop().unwrap_or_default()
    }

    /// Keeps an empty queue for the next writer.
    #[inline]
    pub(crate) fn give_queue(&self, queue: Box<WriteQueue>) {
        debug_assert!(queue.len() == 0, "only empty queues are kept");
        if let Some(before) = self.last_queue.replace(Some(queue)) {
            self.keep_queue(before);
        }
    }

    #[cold]
    fn keep_queue(&self, queue: Box<WriteQueue>) {
        let mut queues = self.queues.borrow_mut();
        if queues.len() < QUEUES {
            queues.push(queue);
        }
    }

    /// Closes a socket without destroying bytes that were sent to the peer.
    pub(crate) fn close_gently(
        &self,
        socket: &SocketStream,
        has_unread: bool,
        owner: Option<Rc<dyn Owner>>,
    ) {
        if let Some(socket) = socket.close_gently(has_unread) {
            let lingering = || Lingering::new(&self.event_loop);
            self.lingering.get_or_init(lingering).add(socket, owner);
        }
    }

    /// Closes the remaining sockets of an owner, whether or not the peers have read everything.
    pub(crate) fn close_lingering(&self, owner: &dyn Owner) {
        if let Some(lingering) = self.lingering.get() {
            lingering.close_all_of(owner);
        }
    }

    /// Runs `future` in a hidden task, until it is done or the loop is closed.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + 'static) {
        // A closed loop refuses the task.
        let _ = self.event_loop.spawn(future, TaskOptions::new().hidden());
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("event_loop", &self.event_loop).finish_non_exhaustive()
    }
}
