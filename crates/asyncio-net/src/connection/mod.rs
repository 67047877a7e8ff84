//! What stream writers and transports share: the way out, and the end.
//!
//! # The life of a connection
//!
//! ```text
//!   open ──close()──▶ closing: flushes ──▶ over ──▶ closed: no descriptor
//!     │                                     ▲
//!     └─── abort(), a failed write or read ─┘
//! ```
//!
//! A stream's connection is closed as soon as it is over. A protocol's is closed by its pump, which tells
//! the protocol first, in a turn of its own.
//!
//! Small writes are corked: appended to a queue that leaves at the end of the turn. Large ones leave at once, with
//! what is queued before them. What the socket does not take is left to a *flusher*, a task that exists for as
//! long as there is such a rest.

mod closing;
mod flush;
mod limits;
mod sendfile;
mod write;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{LocalWaker, TaskRef};

pub(crate) use self::limits::Limits;
use crate::error::SharedError;
use crate::network::Network;
use crate::queue::Queue;
use crate::server::Membership;
use crate::source::{ByteSource, ByteStream};
use crate::stream::{StreamReader, StreamWriter};
use crate::transport::Receiver;

/// One connection: the descriptor (last, for it may be any kind) and everything around it.
pub(crate) struct Connection<S: ?Sized = dyn ByteStream> {
    network: Rc<Network>,
    flags: Cell<u16>,
    /// System calls made by writers since one of them last gave way to others.
    sends: Cell<u8>,
    out: RefCell<Outgoing>,
    /// The protocol; `None` for streams, and while the protocol is being called.
    receiver: Cell<Option<Box<dyn Receiver>>>,
    /// The task that calls the protocol.
    pump: OnceCell<TaskRef>,
    /// The server that accepted it.
    membership: Cell<Option<Membership>>,
    io: S,
}

/// A new connection, seen from both sides.
pub(crate) struct Opened {
    pub(crate) connection: Rc<Connection>,
    pub(crate) source: Rc<dyn ByteSource>,
}

impl Opened {
    pub(crate) fn new(network: &Rc<Network>, io: impl ByteStream + 'static) -> Self {
        let source = Connection::new(network, io);
        Self { connection: source.clone(), source }
    }

    pub(crate) fn into_streams(self, limit: usize) -> (StreamReader, StreamWriter) {
        (StreamReader::with_limit(self.source, limit), StreamWriter::new(self.connection))
    }
}

#[derive(Default)]
struct Outgoing {
    queue: Option<Box<Queue>>,
    rare: Option<Box<Rare>>,
}

/// What most connections never need.
#[derive(Default)]
struct Rare {
    limits: Limits,
    error: Option<SharedError>,
    /// Who waits for room, or for the end.
    waiters: Vec<LocalWaker>,
    ignored_writes: u32,
}

/// Stands in the network's list of those that have something to send.
pub(crate) const CORKED: u16 = 1;
/// A flusher is at work: the socket takes nothing now.
pub(crate) const BLOCKED: u16 = 1 << 1;
/// No more is taken from writers; what is queued still leaves.
pub(crate) const CLOSING: u16 = 1 << 2;
/// Nothing leaves any more, and nothing is received.
pub(crate) const OVER: u16 = 1 << 3;
/// The descriptor is gone.
pub(crate) const CLOSED: u16 = 1 << 4;
/// The other side is to be told that no more comes.
pub(crate) const EOF_ASKED: u16 = 1 << 5;
/// More is queued than the high-water mark allows, and has not fallen to the low one since.
pub(crate) const FULL: u16 = 1 << 6;
/// The protocol knows that it is `FULL`.
pub(crate) const PAUSED: u16 = 1 << 7;
/// The protocol wants no data.
pub(crate) const READING_PAUSED: u16 = 1 << 8;
/// The protocol was told of the end of the stream and keeps the connection.
pub(crate) const READ_EOF: u16 = 1 << 9;
/// Only the file that is being sent may be written.
pub(crate) const SENDING_FILE: u16 = 1 << 10;

impl<S: ByteStream + 'static> Connection<S> {
    pub(crate) fn new(network: &Rc<Network>, io: S) -> Rc<Self> {
        Rc::new(Self {
            network: network.clone(),
            flags: Cell::new(0),
            sends: Cell::new(0),
            out: RefCell::default(),
            receiver: Cell::new(None),
            pump: OnceCell::new(),
            membership: Cell::new(None),
            io,
        })
    }
}

impl<S: ?Sized> Connection<S> {
    pub(crate) fn network(&self) -> &Rc<Network> {
        &self.network
    }

    pub(crate) fn io(&self) -> &S {
        &self.io
    }

    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags.get() & flags != 0
    }

    pub(crate) fn set(&self, flags: u16) {
        self.flags.set(self.flags.get() | flags);
    }

    pub(crate) fn clear(&self, flags: u16) {
        self.flags.set(self.flags.get() & !flags);
    }

    pub(crate) fn join(&self, membership: Membership) {
        self.membership.set(Some(membership));
    }

    pub(crate) fn set_pump(&self, pump: TaskRef) {
        let set = self.pump.set(pump);
        debug_assert!(set.is_ok(), "a connection has one pump");
    }

    pub(crate) fn wake_pump(&self) {
        if let Some(pump) = self.pump.get() {
            pump.wake();
        }
    }

    pub(crate) fn set_receiver(&self, receiver: Box<dyn Receiver>) {
        drop(self.receiver.replace(Some(receiver)));
    }

    pub(crate) fn take_receiver(&self) -> Option<Box<dyn Receiver>> {
        self.receiver.take()
    }

    /// The error that ended it, if one did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.out.borrow().rare.as_ref()?.error.as_ref().map(SharedError::to_io)
    }

    fn with_rare<R>(&self, action: impl FnOnce(&mut Rare) -> R) -> R {
        action(self.out.borrow_mut().rare.get_or_insert_default())
    }

    /// Has the task of `cx` woken at the next change.
    fn wait(&self, cx: &Context<'_>) {
        self.with_rare(|rare| {
            if !rare.waiters.iter().any(|waiter| waiter.will_wake(cx)) {
                rare.waiters.push(LocalWaker::from_context(cx));
            }
        });
    }

    fn wake_waiters(&self) {
        let waiters = match &mut self.out.borrow_mut().rare {
            Some(rare) => std::mem::take(&mut rare.waiters),
            None => return,
        };
        waiters.into_iter().for_each(LocalWaker::wake);
    }
}

/// What a stream reader sees: after our own `close` the stream has ended.
impl<S: ByteSource + ?Sized> ByteSource for Connection<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if self.has(CLOSING) {
            return Poll::Ready(Ok(0));
        }
        self.io.poll_read(cx, buffer)
    }
}

impl<S: ?Sized> fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match () {
            () if self.has(CLOSED) => "closed",
            () if self.has(CLOSING | OVER) => "closing",
            () => "open",
        };
        f.debug_struct("Connection")
            .field("state", &state)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
