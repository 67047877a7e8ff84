//! A connected stream socket as a [`ByteStream`].

use std::cell::{Cell, OnceCell, RefCell};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::ManuallyDrop;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use asyncio_loop::machinery::ReadyList;
use asyncio_loop::{Direction, LoopRef, Source};
use rustix::net::{
    RecvAncillaryBuffer, RecvFlags, ReturnFlags, Shutdown, getpeername, getsockname, recv, recvmsg,
    send, shutdown,
};
use socket2::{SockRef, Socket};

use super::buffer_pool;
use super::failure;
use super::lingering::{Lingerer, Unread, drop_unread};
use super::source::{ByteSource, ByteStream};
use crate::address::Address;
use crate::sigpipe::{self, NO_SIGPIPE};

/// A socket until it is closed, and its addresses, which stay known.
pub(crate) struct SocketStream {
    /// `None` when the socket is closed.
    source: RefCell<Option<Source<OwnedFd>>>,
    names: OnceCell<Box<Names>>,
    /// The peer's address if it is an IPv4 one, as with most peers, kept without an allocation. No
    /// peer has port 0.
    peer: SocketAddrV4,
    marks: Cell<u8>,
}

/// The socket has to be closed when it is not in use any more.
const CLOSED: u8 = 1;
/// The socket has joined a list.
const LISTED: u8 = 1 << 1;
/// The peer has sent its end, and a read has got it, here or in a layer above.
const HEARD_END: u8 = 1 << 2;

/// The socket may be a Unix one, where a short read may have stopped at ancillary data or at
/// another sender.
const SHORT_OF_ALL: u8 = 1 << 3;

/// The end of the output was sent.
const SAID_END: u8 = 1 << 4;
/// Bytes were sent.
const WROTE: u8 = 1 << 5;

const UNKNOWN: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);

/// The addresses that were read.
#[derive(Default)]
struct Names {
    local: OnceCell<Address>,
    peer: OnceCell<Address>,
}

impl SocketStream {
    /// The peer's address is read when it is needed if `peer` is not given.
    pub(crate) fn new(
        event_loop: &LoopRef,
        socket: impl Into<OwnedFd>,
        peer: Option<Address>,
    ) -> Self {
        Self::from_source(Source::new(event_loop, socket.into()), peer)
    }

    pub(crate) fn from_source(source: Source<OwnedFd>, peer: Option<Address>) -> Self {
        sigpipe::never(source.get_ref());
        let is_tcp = matches!(peer, Some(Address::Inet(_)));
        let (peer, names) = match peer {
            None => (UNKNOWN, OnceCell::new()),
            Some(Address::Inet(SocketAddr::V4(peer))) => (peer, OnceCell::new()),
            Some(peer) => {
                let names = Names { peer: peer.into(), ..Names::default() };
                (UNKNOWN, Box::new(names).into())
            }
        };
        let marks = Cell::new(if is_tcp { 0 } else { SHORT_OF_ALL });
        Self { source: RefCell::new(Some(source)), names, peer, marks }
    }

    /// Calls `f` with the socket, unless it is closed. If the socket is closed meanwhile, the
    /// descriptor is closed afterwards.
    #[inline]
    fn with<R>(&self, action: impl FnOnce(&Source<OwnedFd>) -> R) -> Option<R> {
        let result = action(self.source.borrow().as_ref()?);
        if self.has(CLOSED) {
            drop(self.take_socket());
        }
        Some(result)
    }

    #[inline]
    fn has(&self, mark: u8) -> bool {
        self.marks.get() & mark != 0
    }

    #[inline]
    fn mark(&self, mark: u8) {
        self.marks.set(self.marks.get() | mark);
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(Box::default)
    }

    fn ask_local(&self) -> Address {
        let address = self.with(|source| getsockname(source.get_ref()).ok());
        Address::from_any(address.flatten())
    }

    fn ask_peer(&self) -> Address {
        let address = self.with(|source| getpeername(source.get_ref()).ok());
        Address::from_any(address.flatten().flatten())
    }
}

/// The state of the peer when the socket is being closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sends {
    /// The peer has sent its end, or there is nothing that a reset could destroy.
    No,
    /// No bytes are unread, but more may come.
    Perhaps,
    Surely,
}

/// The result of a receive.
pub(crate) enum Received {
    /// This many bytes; zero at the end of the stream.
    Bytes(usize),
    /// This many bytes, and no more for now.
    Last(usize),
    Nothing,
}

impl SocketStream {
    /// Receives the available bytes, without waiting.
    #[inline]
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let received: Option<io::Result<_>> = self.with(|source| {
            let length = buffer.len();
            let count = if self.has(SHORT_OF_ALL) {
                source.try_io(Direction::Read, |_| self.receive_to_bound(source, buffer))?
            } else {
                source.try_transfer(Direction::Read, length, |socket| {
                    Ok(recv(socket, &mut *buffer, RecvFlags::empty())?.0)
                })?
            };
            if count == 0 {
                self.mark(HEARD_END);
            } else if !source.is_ready(Direction::Read) {
                return Ok(Received::Last(count));
            }
            Ok(Received::Bytes(count))
        });
        match received.unwrap_or(Ok(Received::Bytes(0))) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Received::Nothing),
            received => received,
        }
    }

    /// Receives from a socket where a short read does not mean that nothing is left. The system
    /// stops a read at ancillary data (descriptors, credentials of the sender), and sets a flag if
    /// there was any.
    fn receive_to_bound(&self, source: &Source<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len();
        let mut parts = [IoSliceMut::new(buffer)];
        // The buffer has no room, so it never holds a descriptor that a destructor would close.
        let mut ancillary = ManuallyDrop::new(RecvAncillaryBuffer::default());
        let flags = RecvFlags::empty();
        let received = recvmsg(source.get_ref(), &mut parts, &mut ancillary, flags)?;
        source.count(Direction::Read, received.bytes);
        if received.bytes == 0 {
            self.mark(HEARD_END);
        } else if received.bytes < length && !received.flags.contains(ReturnFlags::CTRUNC) {
            source.drained(Direction::Read);
        }
        Ok(received.bytes)
    }

    /// Closes the socket. But if the peer may send more, and closing would destroy bytes that were
    /// sent to it, only the output is shut down, and the socket is returned.
    ///
    /// `has_unread` says that a reader holds bytes from the peer.
    pub(crate) fn close_gently(&self, has_unread: bool) -> Option<Lingerer> {
        let sends = self.peer_sends(has_unread);
        if sends != Sends::No && self.write_eof().is_ok() {
            return Some(Lingerer { source: self.take_source()?, sends: sends == Sends::Surely });
        }
        self.close();
        None
    }

    /// Whether the peer sends. Drops the bytes that it has sent.
    fn peer_sends(&self, has_unread: bool) -> Sends {
        if self.has(HEARD_END) {
            return Sends::No;
        }
        let mut buffer = buffer_pool::take();
        let unread = self.with(|source| drop_unread(source.get_ref(), buffer.storage()));
        buffer_pool::give(buffer);
        match unread {
            None | Some(Unread::End) => Sends::No,
            Some(Unread::Bytes(_)) => Sends::Surely,
            Some(Unread::Nothing) if has_unread => Sends::Surely,
            // A Unix socket answers bytes that come after the close with an error only, so nothing
            // is destroyed.
            Some(Unread::Nothing) if self.has(WROTE) && !self.has(SHORT_OF_ALL) => Sends::Perhaps,
            Some(Unread::Nothing) => Sends::No,
        }
    }

    fn take_source(&self) -> Option<Source<OwnedFd>> {
        self.mark(CLOSED);
        // A socket that is in use is closed afterwards.
        let source = self.source.try_borrow_mut().ok()?.take()?;
        source.wake_waiters();
        Some(source)
    }

    /// Leaves the list that the socket has joined: from now on the reading task registers itself
    /// again.
    pub(crate) fn leave_list(&self, event_loop: &LoopRef) {
        if self.has(LISTED) {
            // A registration cannot leave its list, so the socket gets another one.
            let mut source = self.source.borrow_mut();
            *source = source.take().map(|source| Source::new(event_loop, source.into_inner()));
            self.marks.set(self.marks.get() & !LISTED);
        }
    }

    /// Whether the socket has joined a list.
    #[inline]
    pub(crate) fn is_listed(&self) -> bool {
        self.has(LISTED)
    }

    /// Registers the socket, so that `number` is put into `list`, once, when there are bytes to
    /// receive.
    pub(crate) fn join_list(&self, list: &ReadyList, number: u32) -> io::Result<()> {
        let joined = self.with(|source| source.join_list(list, number)).unwrap_or(Ok(()));
        if joined.is_ok() {
            self.mark(LISTED);
        }
        joined
    }

    #[inline]
    pub(crate) fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.mark(WROTE);
        let sent = self.with(|source| {
            source.try_transfer(Direction::Write, bytes.len(), |socket| {
                Ok(send(socket, bytes, NO_SIGPIPE)?)
            })
        });
        sent.unwrap_or_else(closed)
    }
}

/// Lets the system send a part of a file, without waiting.
#[cfg(all(any(target_os = "linux", target_os = "android"), not(portable)))]
pub(crate) fn system_sendfile(
    socket: &impl AsFd,
    file: &File,
    mut offset: u64,
    count: usize,
) -> io::Result<usize> {
    Ok(rustix::fs::sendfile(socket, file, Some(&mut offset), count)?)
}

#[cfg(not(all(any(target_os = "linux", target_os = "android"), not(portable))))]
pub(crate) fn system_sendfile(_: &impl AsFd, _: &File, _: u64, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}

fn transmit(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(match slices {
        [one] => send(socket, one, NO_SIGPIPE)?,
        many => rustix::io::writev(socket, many)?,
    })
}

fn closed<R>() -> io::Result<R> {
    Err(io::ErrorKind::NotConnected.into())
}

impl ByteSource for SocketStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let length = buffer.len();
        let read = self.with(|source| {
            if self.has(SHORT_OF_ALL) {
                return source
                    .poll_io(cx, Direction::Read, |_| self.receive_to_bound(source, buffer));
            }
            source.poll_transfer(cx, Direction::Read, length, |socket| {
                let count = recv(socket, &mut *buffer, RecvFlags::empty())?.0;
                if count == 0 {
                    self.mark(HEARD_END);
                }
                Ok(count)
            })
        });
        read.unwrap_or(Poll::Ready(Ok(0)))
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.with(|source| source.poll_ready(cx, Direction::Read));
        ready.unwrap_or(Poll::Ready(Ok(())))
    }
}

impl ByteStream for SocketStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.mark(WROTE);
        let length = slices.iter().map(|slice| slice.len()).sum();
        let written = self.with(|source| {
            source.try_transfer(Direction::Write, length, |socket| transmit(socket, slices))
        });
        written.unwrap_or_else(closed)
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.mark(WROTE);
        let sent = self.with(|source| {
            let sent = source
                .try_io(Direction::Write, |socket| system_sendfile(socket, file, offset, count))?;
            source.count(Direction::Write, sent);
            Ok(sent)
        });
        sent.unwrap_or_else(closed)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.with(|source| source.poll_ready(cx, Direction::Write));
        ready.unwrap_or_else(|| Poll::Ready(closed()))
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let failure = |socket: &OwnedFd| failure::of_socket(socket, self.has(SAID_END));
        let failed = self.with(|source| source.poll_failure(cx, failure));
        failed.unwrap_or(Poll::Pending).map(|failed| failed.unwrap_or_else(|refused| refused))
    }

    fn write_eof(&self) -> io::Result<()> {
        self.mark(SAID_END);
        let shut = self.with(|source| Ok(shutdown(source.get_ref(), Shutdown::Write)?));
        shut.unwrap_or(Ok(()))
    }

    fn note_end(&self) {
        self.mark(HEARD_END);
    }

    fn close(&self) {
        drop(self.take_socket());
    }

    fn take_socket(&self) -> Option<Socket> {
        self.take_source().map(|source| source.into_inner().into())
    }

    fn local_address(&self) -> Address {
        self.names().local.get_or_init(|| self.ask_local()).clone()
    }

    fn peer_address(&self) -> Address {
        match self.peer {
            UNKNOWN => self.names().peer.get_or_init(|| self.ask_peer()).clone(),
            peer => Address::Inet(peer.into()),
        }
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        self.with(|source| look(SockRef::from(source.get_ref())));
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use asyncio_loop::EventLoop;

    use super::*;

    #[test]
    fn a_socket_whose_peer_sends_no_more_is_closed_at_once() {
        let event_loop = EventLoop::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let closed = |is_told: bool| {
            let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let _theirs = listener.accept().unwrap();
            ours.set_nonblocking(true).unwrap();
            let peer = Address::Inet(ours.peer_addr().unwrap());
            let socket = SocketStream::new(&event_loop, ours, Some(peer));
            socket.try_send(b"x").unwrap();
            if is_told {
                socket.note_end();
            }
            socket.close_gently(false).is_none()
        };
        assert!(!closed(false), "it may send more");
        assert!(closed(true));
    }
}
