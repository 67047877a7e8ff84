//! A stream of bytes that carries descriptors too.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Direction, Source, running_loop};
use rustix::net::{
    AddressFamily, Shutdown, SocketType, getpeername, getsockname, shutdown, sockopt,
};
use socket2::SockRef;

use crate::address::Address;
use crate::control;
use crate::io::failure;
use crate::io::{ByteSource, ByteStream};

/// The maximum number of descriptors that the system sends at once.
const AT_ONCE: usize = 253;

/// The maximum number of descriptors that wait to be taken.
const WAITING: usize = 512;

/// A Unix stream socket that passes descriptors with its bytes.
///
/// Put streams over it by [`stream_over`](crate::stream_over), and keep a clone: clones are the
/// same stream. Descriptors arrive in the order in which they were passed, and no later than the
/// bytes that were written after them.
///
/// # Examples
///
/// ```
/// use std::fs::File;
/// use std::io::{Read, Write};
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{DescriptorStream, stream_over};
///
/// asyncio_task::run(async {
///     let (ours, theirs) = UnixStream::pair()?;
///     let (ours, theirs) = (DescriptorStream::new(ours)?, DescriptorStream::new(theirs)?);
///     let (_reader, writer) = stream_over(ours.clone());
///     let (mut reader, _writer) = stream_over(theirs.clone());
///
///     let (mut reading, writing) = UnixStream::pair()?;
///     ours.pass([writing]);
///     writer.write(b"write to it\n");
///     writer.flush().await?;
///
///     assert_eq!(reader.read_line().await?, "write to it\n");
///     File::from(theirs.take().unwrap()).write_all(b"hello")?;
///     let mut text = String::new();
///     reading.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[derive(Clone)]
#[doc(alias = "SCM_RIGHTS")]
pub struct DescriptorStream(Rc<Shared>);

struct Shared {
    /// `None` when the stream is closed.
    source: RefCell<Option<Source<OwnedFd>>>,
    /// Descriptors to send with the next bytes.
    outgoing: RefCell<VecDeque<OwnedFd>>,
    incoming: RefCell<VecDeque<OwnedFd>>,
    /// The end of the output was sent.
    said_end: Cell<bool>,
    local: OnceCell<Address>,
    peer: OnceCell<Address>,
}

impl DescriptorStream {
    /// Takes a connected Unix stream socket. The socket may be blocking; its mode is not changed.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) for a socket of another kind or family: a TCP
    /// connection carries no descriptors, and is closed in another way ([`open_connection`] takes
    /// it). Otherwise the system's errors.
    ///
    /// [`open_connection`]: crate::open_connection()
    ///
    /// # Panics
    ///
    /// If no loop runs on this thread.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn new(socket: impl Into<OwnedFd>) -> io::Result<Self> {
        let socket = socket.into();
        let is_unix = getsockname(&socket)?.address_family() == AddressFamily::UNIX;
        if !is_unix || sockopt::socket_type(&socket)? != SocketType::STREAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix stream socket"));
        }
        Ok(Self(Rc::new(Shared {
            source: RefCell::new(Some(Source::new(&running_loop(), socket))),
            outgoing: RefCell::default(),
            incoming: RefCell::default(),
            said_end: Cell::new(false),
            local: OnceCell::new(),
            peer: OnceCell::new(),
        })))
    }

    /// Passes descriptors with the next bytes that are written; without bytes they are not sent.
    /// This process's copies are closed when they have been sent.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn pass<D: Into<OwnedFd>>(&self, descriptors: impl IntoIterator<Item = D>) {
        let descriptors = descriptors.into_iter().map(Into::into);
        self.0.outgoing.borrow_mut().extend(descriptors);
    }

    /// Takes the oldest descriptor that came with bytes which were read; `None` if there is none.
    ///
    /// If more than 512 descriptors wait to be taken, reading fails.
    ///
    /// # Examples
    ///
    /// See the [type](Self).
    pub fn take(&self) -> Option<OwnedFd> {
        self.0.incoming.borrow_mut().pop_front()
    }

    fn receive(&self, socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<usize> {
        let arrived = control::receive(socket, buffer, AT_ONCE)?;
        let mut incoming = self.0.incoming.borrow_mut();
        if arrived.lost_descriptors || incoming.len() + arrived.descriptors.len() > WAITING {
            let text = "more descriptors came than were taken";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        incoming.extend(arrived.descriptors);
        Ok(arrived.length)
    }

    /// Sends bytes, and as many descriptors as fit into the messages.
    fn send(&self, socket: &OwnedFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut outgoing = self.0.outgoing.borrow_mut();
        let count = outgoing.len().min(AT_ONCE);
        if count == outgoing.len() {
            let descriptors: Vec<_> = outgoing.iter().map(AsFd::as_fd).collect();
            let sent = control::send(socket, slices, &descriptors, None)?;
            outgoing.clear();
            return Ok(sent);
        }
        // Each full load of descriptors is sent with one byte; the last load is sent with the
        // remaining bytes.
        let descriptors: Vec<_> = outgoing.iter().take(count).map(AsFd::as_fd).collect();
        let first =
            slices.iter().find(|slice| !slice.is_empty()).map_or(&[][..], |slice| &slice[..1]);
        let sent = control::send(socket, &[IoSlice::new(first)], &descriptors, None)?;
        outgoing.drain(..count);
        Ok(sent)
    }
}

fn closed<R>() -> io::Result<R> {
    Err(io::ErrorKind::NotConnected.into())
}

impl ByteSource for DescriptorStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        source.poll_io(cx, Direction::Read, |socket| {
            self.receive(socket, buffer).inspect(|&count| source.count(Direction::Read, count))
        })
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(())) };
        source.poll_ready(cx, Direction::Read)
    }
}

impl ByteStream for DescriptorStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return closed() };
        let count = source.try_io(Direction::Write, |socket| self.send(socket, slices))?;
        source.count(Direction::Write, count);
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(closed()) };
        source.poll_ready(cx, Direction::Write)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Poll::Pending };
        let failure = |socket: &OwnedFd| failure::of_socket(socket, self.0.said_end.get());
        source.poll_failure(cx, failure).map(|failed| failed.unwrap_or_else(|refused| refused))
    }

    fn write_eof(&self) -> io::Result<()> {
        self.0.said_end.set(true);
        let source = self.0.source.borrow();
        let Some(source) = &*source else { return Ok(()) };
        Ok(shutdown(source.get_ref(), Shutdown::Write)?)
    }

    fn close(&self) {
        let source = self.0.source.take();
        if let Some(source) = source {
            source.wake_waiters();
        }
    }

    fn local_address(&self) -> Address {
        let ask = || {
            let name = self.0.source.borrow().as_ref().map(|source| getsockname(source.get_ref()));
            Address::from_any(name.and_then(Result::ok))
        };
        self.0.local.get_or_init(ask).clone()
    }

    fn peer_address(&self) -> Address {
        let ask = || {
            let name = self.0.source.borrow().as_ref().map(|source| getpeername(source.get_ref()));
            Address::from_any(name.and_then(Result::ok).flatten())
        };
        self.0.peer.get_or_init(ask).clone()
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        if let Some(source) = &*self.0.source.borrow() {
            look(SockRef::from(source.get_ref()));
        }
    }
}

impl fmt::Debug for DescriptorStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DescriptorStream")
            .field("open", &self.0.source.borrow().is_some())
            .field("to pass", &self.0.outgoing.borrow().len())
            .field("to take", &self.0.incoming.borrow().len())
            .finish()
    }
}
