//! The connection that stream writers and transports share: its output and its end.
//!
//! Its end is in [`ending`].
//!
//! Small writes are corked: appended to a queue that is sent at the end of the turn. Large ones are
//! sent at once, with the bytes queued before them. Bytes that the socket does not take are left to
//! a *flusher*, a task that exists for as long as there are such bytes. A stream that is not a
//! socket may hold bytes that it has taken; the flusher makes it send them.

#[cfg(feature = "hyper")]
mod collected;
mod ending;
mod exclusive;
mod flush;
mod limits;
mod poll;
mod sendfile;
mod watch;
mod write;

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::io::{ErrorKind, Result};
use std::panic::Location;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};

use asyncio_loop::TaskRef;

use self::ending::Stage;
pub(crate) use self::exclusive::Exclusive;
pub(crate) use self::limits::Limits;
use crate::error::SharedError;
use crate::fence;
use crate::io::{ByteSource, ByteStream, Foreign, Io};
use crate::network::Network;
use crate::outgoing::WriteQueue;
use crate::server;
use crate::transport::Receiver;
use crate::waiters::{Awaited, Place, WaiterSet};

/// One connection: the descriptor and everything around it.
pub(crate) struct Connection {
    network: Rc<Network>,
    flags: Cell<u16>,
    /// The number of system calls by writers since one of them last yielded.
    sends: Cell<u8>,
    /// The stage of the connection.
    stage: Cell<Stage>,
    /// Its number with the server that accepted it.
    client: Cell<u32>,
    /// Bytes that were written and not sent; `None` if there are none.
    queue: Cell<Option<Box<WriteQueue>>>,
    rare: OnceCell<Box<Rare>>,
    /// The protocol; `None` for streams, and while the protocol is being called.
    receiver: Cell<Option<Box<dyn Receiver>>>,
    /// The task that serves it: a stream's handler, the task of a protocol without a server.
    task: Cell<Option<TaskRef>>,
    /// The server that accepted it.
    server: OnceCell<Rc<server::Shared>>,
    io: Io,
}

/// State that most connections never need.
#[derive(Default)]
struct Rare {
    limits: Cell<Limits>,
    /// The error that ended the connection.
    error: OnceCell<SharedError>,
    /// Some written bytes were not sent, and never will be.
    is_cut: Cell<bool>,
    /// The tasks that wait for room, or for the end.
    waiters: WaiterSet,
    /// The places of the task that writes by polling, and of the task that flushes by polling.
    writing: Place,
    flushing: Place,
    ignored_writes: Cell<u32>,
    /// The place of the call that made the connection, in debug mode.
    made_at: Cell<Option<&'static Location<'static>>>,
    /// Another stream is over this one, or is being put there; the protocol receives nothing.
    is_covered: Cell<bool>,
    /// The connection that was put over this one, and that is closed instead of it.
    cover: RefCell<Option<Weak<Connection>>>,
}

/// The connection is in the cork, and sends at the end of the turn.
pub(crate) const CORKED: u16 = 1;
/// A flusher is running: the socket takes nothing now.
pub(crate) const BLOCKED: u16 = 1 << 1;
/// A writer exists, which closes the connection when it is dropped.
pub(crate) const STREAMS: u16 = 1 << 2;
/// A reader holds bytes that were not consumed.
const UNREAD: u16 = 1 << 3;
/// The end of the output has to be sent.
pub(crate) const EOF_ASKED: u16 = 1 << 5;
/// The stage is not the first one any more. It is repeated here so that one test of the flags
/// covers most cases.
pub(crate) const NOT_OPEN: u16 = 1 << 4;
/// More is queued than the high-water mark allows, and has not fallen to the low one since.
pub(crate) const FULL: u16 = 1 << 6;
/// The protocol knows that it is `FULL`.
pub(crate) const PAUSED: u16 = 1 << 7;
/// The protocol wants no data.
pub(crate) const READING_PAUSED: u16 = 1 << 8;
/// `eof_received` was called, and the protocol keeps the connection.
pub(crate) const READ_EOF: u16 = 1 << 9;
/// The output is exclusive: a file is being sent, or a stream was put over this one.
pub(crate) const ALONE: u16 = 1 << 10;
/// A writer that drains a closing connection has yielded.
pub(crate) const GAVE_WAY: u16 = 1 << 11;
/// A task waits until everything has been sent.
pub(crate) const FLUSH_ASKED: u16 = 1 << 12;
/// A task watches the descriptor for failure.
const WATCHED: u16 = 1 << 13;
/// A transport was cloned, so the addresses may be read after the end.
pub(crate) const KEPT: u16 = 1 << 14;
/// A protocol has the connection; a task calls it.
pub(crate) const HAS_PROTOCOL: u16 = 1 << 15;

impl Connection {
    pub(crate) fn new(network: &Rc<Network>, io: Io) -> Rc<Self> {
        Rc::new(Self {
            network: network.clone(),
            flags: Cell::new(0),
            sends: Cell::new(0),
            stage: Cell::new(Stage::Open),
            client: Cell::new(0),
            queue: Cell::new(None),
            rare: OnceCell::new(),
            receiver: Cell::new(None),
            task: Cell::new(None),
            server: OnceCell::new(),
            io,
        })
    }

    /// Makes a connection over a stream that is not a socket.
    pub(crate) fn over(network: &Rc<Network>, stream: impl ByteStream + 'static) -> Rc<Self> {
        Self::new(network, Io::other(network.event_loop(), stream))
    }

    pub(crate) fn network(&self) -> &Rc<Network> {
        &self.network
    }

    pub(crate) fn has_streams(&self) -> bool {
        self.has(STREAMS)
    }

    #[inline]
    pub(crate) fn io(&self) -> &Io {
        &self.io
    }

    #[inline]
    pub(crate) fn has(&self, flags: u16) -> bool {
        self.flags.get() & flags != 0
    }

    #[inline]
    pub(crate) fn set(&self, flags: u16) {
        self.flags.set(self.flags.get() | flags);
    }

    #[inline]
    pub(crate) fn clear(&self, flags: u16) {
        self.flags.set(self.flags.get() & !flags);
    }

    /// Notes the call that made the connection, in debug mode.
    pub(crate) fn made_at(&self, site: &'static Location<'static>) {
        if self.network.event_loop().is_debug() {
            self.rare().made_at.set(Some(site));
        }
    }

    /// The call that made the connection or its server.
    pub(crate) fn site(&self) -> Option<&'static Location<'static>> {
        let own = self.rare.get().and_then(|rare| rare.made_at.get());
        own.or_else(|| self.server().map(|server| server.site()))
    }

    /// Notes whether a reader holds bytes that were not consumed.
    #[inline]
    pub(crate) fn set_unread(&self, unread: bool) {
        if unread { self.set(UNREAD) } else { self.clear(UNREAD) }
    }

    /// Hands the connection to the server that accepted it.
    pub(crate) fn join(&self, server: Rc<server::Shared>, client: u32) {
        self.client.set(client);
        let joined = self.server.set(server);
        debug_assert!(joined.is_ok(), "a connection has one server");
    }

    /// Its number with the server that accepted it.
    pub(crate) fn client(&self) -> u32 {
        self.client.get()
    }

    /// The server that accepted it.
    #[inline]
    pub(crate) fn server(&self) -> Option<&Rc<server::Shared>> {
        self.server.get()
    }

    pub(crate) fn set_task(&self, task: TaskRef) {
        self.task.set(Some(task));
    }

    pub(crate) fn take_task(&self) -> Option<TaskRef> {
        self.task.take()
    }

    pub(crate) fn has_task(&self) -> bool {
        self.task().is_some()
    }

    /// The task that serves the connection, until the task has ended.
    pub(crate) fn task(&self) -> Option<TaskRef> {
        let task = self.task.take();
        self.task.set(task.clone());
        task
    }

    /// The connection to be closed: this one, or the one that was put over it.
    pub(crate) fn uppermost(self: &Rc<Self>) -> Rc<Self> {
        let cover = self.rare.get().and_then(|rare| rare.cover.borrow().as_ref()?.upgrade());
        cover.map_or_else(|| self.clone(), |cover| cover.uppermost())
    }

    /// Stops receiving for the protocol. Returns whether it was paused before.
    pub(crate) fn begin_cover(&self) -> bool {
        self.rare().is_covered.set(true);
        let wanted_nothing = self.has(READING_PAUSED);
        self.set(READING_PAUSED);
        wanted_nothing
    }

    /// Starts receiving for the protocol again, unless another stream is over this one.
    pub(crate) fn resume_reading(&self) {
        if !self.rare.get().is_some_and(|rare| rare.is_covered.get()) {
            self.clear(READING_PAUSED);
            self.wake_protocols_task();
        }
    }

    pub(crate) fn set_cover(&self, cover: &Rc<Self>) {
        self.rare().cover.replace(Some(Rc::downgrade(cover)));
    }

    pub(crate) fn set_receiver(&self, receiver: Box<dyn Receiver>) {
        if let Some(replaced) = self.receiver.replace(Some(receiver)) {
            self.drop_receiver(replaced);
        }
    }

    /// Drops a protocol; a panic of its destructor is reported.
    pub(crate) fn drop_receiver(&self, receiver: Box<dyn Receiver>) {
        fence::drop_value(self.network.event_loop(), receiver.type_name(), receiver);
    }

    /// Whether a protocol is present. While the protocol is being called, true means that it was
    /// replaced.
    pub(crate) fn has_receiver(&self) -> bool {
        let receiver = self.receiver.take();
        let has = receiver.is_some();
        self.receiver.set(receiver);
        has
    }

    pub(crate) fn take_receiver(&self) -> Option<Box<dyn Receiver>> {
        self.receiver.take()
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    /// Registers the task of `cx` to be woken at the next change.
    fn wait(&self, cx: &Context<'_>, place: &Place) {
        self.rare().waiters.wait(cx, place);
    }

    fn forget_wait(&self, place: &Place) {
        self.rare().waiters.leave(place);
    }

    /// Called when a reader waits. If bytes were just written, the reader waits for the answer to
    /// them. So they are sent now, while the connection is still in the cache, unless other
    /// connections are corked too.
    #[inline]
    fn waits_for_data(&self) {
        if self.has(CORKED) {
            self.network.uncork_lone();
        }
    }

    fn wake_waiters(&self) {
        if let Some(rare) = self.rare.get() {
            rare.waiters.wake_all(self.network.event_loop());
        }
    }
}

/// Any code may drop the last reference, so values of a user are dropped behind a fence.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(receiver) = self.take_receiver() {
            self.drop_receiver(receiver);
        }
    }
}

impl Awaited for Connection {
    fn waiters(&self) -> &WaiterSet {
        &self.rare().waiters
    }
}

/// A stream reader sees the bytes of the peer, then how the connection ended. After our own `close`
/// the stream has ended.
impl Connection {
    pub(crate) fn poll_read(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize>> {
        if !self.is_open() {
            return self.poll_rest(cx, buffer);
        }
        let read = self.poll_io(cx, buffer);
        match &read {
            Poll::Pending => self.waits_for_data(),
            Poll::Ready(Err(error)) if error.kind() != ErrorKind::Interrupted => {
                return self.stream_failed(read);
            }
            _ => {}
        }
        read
    }

    /// Reads from the stream below.
    #[inline]
    pub(crate) fn poll_io(
        self: &Rc<Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize>> {
        match &self.io {
            Io::Socket(socket) => socket.poll_read(cx, buffer),
            Io::Other(stream) => self.poll_other(stream, cx, buffer),
        }
    }

    /// Reads from a stream that may have to send something because of the bytes it read.
    fn poll_other(
        self: &Rc<Self>,
        stream: &Foreign,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<Result<usize>> {
        let read = stream.poll_read(cx, buffer);
        if stream.unsent() > 0 {
            self.flush_stream();
        }
        read
    }

    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !self.is_open() {
            return Poll::Ready(Ok(()));
        }
        let ready = self.io.poll_read_ready(cx);
        match &ready {
            Poll::Pending => self.waits_for_data(),
            Poll::Ready(Err(_)) => return self.stream_failed(ready),
            Poll::Ready(Ok(())) => {}
        }
        ready
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match () {
            () if self.is_closed() => "closed",
            () if !self.is_open() => "closing",
            () => "open",
        };
        f.debug_struct("Connection")
            .field("state", &state)
            .field("queued", &self.queued())
            .finish_non_exhaustive()
    }
}
