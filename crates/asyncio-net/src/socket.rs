//! A connected stream socket as a [`ByteStream`].

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use asyncio_loop::{Direction, LoopRef, Source};
use mio::net::{TcpStream, UnixStream};
use socket2::Socket;

use crate::address::Address;
use crate::connect::ConnectedSocket;
use crate::sendfile::system_sendfile;
use crate::source::{ByteSource, ByteStream};

/// What stream sockets have in common.
pub(crate) trait StreamSocket: AsFd + Into<OwnedFd> + 'static {
    fn from_socket(socket: Socket) -> Self;
    fn into_connected(self) -> ConnectedSocket;
    fn take_error(&self) -> io::Result<Option<io::Error>>;
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize>;
    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
    fn shutdown(&self, how: Shutdown) -> io::Result<()>;
    fn local(&self) -> io::Result<Address>;
    fn peer(&self) -> io::Result<Address>;
}

impl StreamSocket for TcpStream {
    fn from_socket(socket: Socket) -> Self {
        Self::from_std(socket.into())
    }

    fn into_connected(self) -> ConnectedSocket {
        ConnectedSocket::Tcp(OwnedFd::from(self).into())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => (&mut &*self).write(one),
            many => (&mut &*self).write_vectored(many),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn local(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }

    fn peer(&self) -> io::Result<Address> {
        self.peer_addr().map(Address::from)
    }
}

impl StreamSocket for UnixStream {
    fn from_socket(socket: Socket) -> Self {
        Self::from_std(socket.into())
    }

    fn into_connected(self) -> ConnectedSocket {
        ConnectedSocket::Unix(OwnedFd::from(self).into())
    }

    fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.take_error()
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&mut &*self).read(buffer)
    }

    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [one] => (&mut &*self).write(one),
            many => (&mut &*self).write_vectored(many),
        }
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.shutdown(how)
    }

    fn local(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }

    fn peer(&self) -> io::Result<Address> {
        self.peer_addr().map(Address::from)
    }
}

/// A socket until it is closed, and its addresses for ever.
pub(crate) struct SocketStream<S: StreamSocket> {
    /// `None` when it is closed, and while it is being used.
    source: Cell<Option<Source<S>>>,
    peer: SmallPeer,
    closed: Cell<bool>,
    names: OnceCell<Box<Names>>,
}

/// The address that most peers have, kept without an allocation.
#[derive(Clone, Copy)]
struct SmallPeer {
    address: SocketAddrV4,
    is_known: bool,
}

impl SmallPeer {
    const UNKNOWN: Self =
        Self { address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0), is_known: false };
}

/// What was asked for.
#[derive(Default)]
struct Names {
    local: OnceCell<Address>,
    peer: OnceCell<Address>,
}

impl<S: StreamSocket> SocketStream<S> {
    /// `peer` is asked for when it is not known.
    pub(crate) fn new(event_loop: &LoopRef, socket: S, peer: Option<Address>) -> Self {
        Self::from_source(Source::new(event_loop, socket), peer)
    }

    pub(crate) fn from_source(source: Source<S>, peer: Option<Address>) -> Self {
        let (peer, names) = match peer {
            None => (SmallPeer::UNKNOWN, OnceCell::new()),
            Some(Address::Inet(SocketAddr::V4(address))) => {
                (SmallPeer { address, is_known: true }, OnceCell::new())
            }
            Some(peer) => {
                let names = Names { peer: peer.into(), ..Names::default() };
                (SmallPeer::UNKNOWN, Box::new(names).into())
            }
        };
        Self { source: Cell::new(Some(source)), peer, closed: Cell::new(false), names }
    }

    /// Uses the socket, unless it is closed. It may be closed meanwhile, which then happens afterwards.
    #[inline]
    fn with<R>(&self, action: impl FnOnce(&Source<S>) -> R) -> Option<R> {
        let source = self.source.take()?;
        let result = action(&source);
        if self.closed.get() {
            source.wake_waiters();
        } else {
            self.source.set(Some(source));
        }
        Some(result)
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(Box::default)
    }

    fn ask(&self, question: impl FnOnce(&S) -> io::Result<Address>) -> Address {
        let answer = self.with(|source| question(source.get_ref()).ok());
        answer.flatten().unwrap_or(Address::Unnamed)
    }
}

fn closed<R>() -> io::Result<R> {
    Err(io::ErrorKind::NotConnected.into())
}

impl<S: StreamSocket> ByteSource for SocketStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let length = buffer.len();
        let read = self.with(|source| {
            source.poll_transfer(cx, Direction::Read, length, |socket| socket.receive(buffer))
        });
        read.unwrap_or(Poll::Ready(Ok(0)))
    }
}

impl<S: StreamSocket> ByteStream for SocketStream<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let length = slices.iter().map(|slice| slice.len()).sum();
        let written = self.with(|source| {
            source.try_transfer(Direction::Write, length, |socket| socket.send(slices))
        });
        written.unwrap_or_else(closed)
    }

    fn is_read_ready(&self) -> bool {
        self.with(|source| source.is_ready(Direction::Read)).unwrap_or(true)
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let sent = self.with(|source| {
            source.try_io(Direction::Write, |socket| system_sendfile(socket, file, offset, count))
        });
        sent.unwrap_or_else(closed)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ready = self.with(|source| source.poll_ready(cx, Direction::Write));
        ready.unwrap_or_else(|| Poll::Ready(closed()))
    }

    fn write_eof(&self) -> io::Result<()> {
        let shut = self.with(|source| source.get_ref().shutdown(Shutdown::Write));
        shut.unwrap_or(Ok(()))
    }

    fn close(&self) {
        drop(self.take_fd());
    }

    fn take_fd(&self) -> Option<OwnedFd> {
        self.closed.set(true);
        let source = self.source.take()?;
        source.wake_waiters();
        Some(source.into_inner().into())
    }

    fn local_address(&self) -> Address {
        self.names().local.get_or_init(|| self.ask(S::local)).clone()
    }

    fn peer_address(&self) -> Address {
        match self.peer {
            SmallPeer { address, is_known: true } => Address::Inet(address.into()),
            _ => self.names().peer.get_or_init(|| self.ask(S::peer)).clone(),
        }
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.with(|source| look(source.get_ref().as_fd()));
    }
}
