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

mod alone;
mod closing;
mod flush;
mod limits;
mod poll;
mod sendfile;
mod write;

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{LocalWaker, TaskRef};

pub(crate) use self::alone::Alone;
pub(crate) use self::limits::Limits;
use crate::error::SharedError;
use crate::network::Network;
use crate::queue::Queue;
use crate::server::{self, Membership};
use crate::source::{ByteSource, ByteStream};
use crate::stream::{StreamReader, StreamWriter};
use crate::transport::Receiver;

/// One connection: the descriptor (last, for it may be any kind) and everything around it.
pub(crate) struct Connection<S: ?Sized = dyn ByteStream> {
    network: Rc<Network>,
    flags: Cell<u16>,
    /// System calls made by writers since one of them last gave way to others.
    sends: Cell<u8>,
    /// Its number with the server that accepted it.
    client: Cell<u32>,
    /// What has been written and has not left; `None` if that is nothing.
    queue: Cell<Option<Box<Queue>>>,
    rare: Cell<Option<Box<Rare>>>,
    /// The protocol; `None` for streams, and while the protocol is being called.
    receiver: Cell<Option<Box<dyn Receiver>>>,
    /// The task that calls the protocol.
    pump: OnceCell<TaskRef>,
    /// The server that accepted it.
    server: OnceCell<Rc<server::Shared>>,
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
/// Only one may write: a file that is being sent, a stream that was put over this one.
pub(crate) const ALONE: u16 = 1 << 10;
/// A writer that drains a closing connection has let others run.
pub(crate) const GAVE_WAY: u16 = 1 << 11;
/// Somebody waits until everything has left.
pub(crate) const FLUSH_ASKED: u16 = 1 << 12;
/// Not everything that was written has left, nor ever will.
pub(crate) const DROPPED: u16 = 1 << 13;
/// A transport was cloned: somebody may ask for the addresses after the end.
pub(crate) const KEPT: u16 = 1 << 15;
/// The pump is woken when there is something to be read; without it, a read is to be tried.
pub(crate) const AWAITS_DATA: u16 = 1 << 14;

impl<S: ByteStream + 'static> Connection<S> {
    pub(crate) fn new(network: &Rc<Network>, io: S) -> Rc<Self> {
        Rc::new(Self {
            network: network.clone(),
            flags: Cell::new(0),
            sends: Cell::new(0),
            client: Cell::new(0),
            queue: Cell::new(None),
            rare: Cell::new(None),
            receiver: Cell::new(None),
            pump: OnceCell::new(),
            server: OnceCell::new(),
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

    /// Puts the connection under the care of the server that accepted it.
    pub(crate) fn join(&self, membership: Membership) {
        self.client.set(membership.key);
        let joined = self.server.set(membership.server);
        debug_assert!(joined.is_ok(), "a connection has one server");
    }

    /// Its number with the server that accepted it.
    pub(crate) fn client(&self) -> u32 {
        self.client.get()
    }

    /// The server that accepted it, and its number there.
    pub(crate) fn membership(&self) -> Option<(&Rc<server::Shared>, u32)> {
        self.server.get().map(|server| (server, self.client.get()))
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

    /// Whether there is a protocol that is not being called: while one is, that it was replaced.
    pub(crate) fn has_receiver(&self) -> bool {
        let receiver = self.receiver.take();
        let has = receiver.is_some();
        self.receiver.set(receiver);
        has
    }

    pub(crate) fn take_receiver(&self) -> Option<Box<dyn Receiver>> {
        self.receiver.take()
    }

    /// The error that ended it, if one did.
    pub(crate) fn error(&self) -> Option<io::Error> {
        self.if_rare(|rare| rare.error.as_ref().map(SharedError::to_io)).flatten()
    }

    fn if_rare<R>(&self, action: impl FnOnce(&mut Rare) -> R) -> Option<R> {
        let mut rare = self.rare.take()?;
        let result = action(&mut rare);
        self.rare.set(Some(rare));
        Some(result)
    }

    fn with_rare<R>(&self, action: impl FnOnce(&mut Rare) -> R) -> R {
        let mut rare = self.rare.take().unwrap_or_default();
        let result = action(&mut rare);
        self.rare.set(Some(rare));
        result
    }

    /// Has the task of `cx` woken at the next change.
    fn wait(&self, cx: &Context<'_>) {
        let waits = |rare: &mut Rare| rare.waiters.iter().any(|waiter| waiter.will_wake(cx));
        if !self.if_rare(waits).unwrap_or(false) {
            let waiter = LocalWaker::from_context(cx);
            self.with_rare(|rare| rare.waiters.push(waiter));
        }
    }

    fn wake_waiters(&self) {
        let waiters = self.if_rare(|rare| std::mem::take(&mut rare.waiters)).unwrap_or_default();
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

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has(CLOSING) {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_read_ready(cx)
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
