//! A connected stream socket as a [`ByteStream`].

use std::cell::{OnceCell, RefCell};
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{Shutdown, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll};

use asyncio_loop::{Direction, LoopRef, Source};
use mio::net::{TcpStream, UnixStream};
use socket2::Socket;

use crate::address::Address;
use crate::sendfile::system_sendfile;
use crate::source::{ByteSource, ByteStream};

/// What stream sockets have in common.
pub(crate) trait StreamSocket: AsFd + 'static {
    fn from_socket(socket: Socket) -> Self;
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
    source: RefCell<Option<Source<S>>>,
    /// By itself because it is small, and most peers have one.
    peer_v4: Option<SocketAddrV4>,
    names: OnceCell<Box<Names>>,
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
        let source = RefCell::new(Some(source));
        let (peer_v4, names) = match peer {
            None => (None, OnceCell::new()),
            Some(Address::Inet(SocketAddr::V4(peer))) => (Some(peer), OnceCell::new()),
            Some(peer) => {
                let names = Names { peer: peer.into(), ..Names::default() };
                (None, Box::new(names).into())
            }
        };
        Self { source, peer_v4, names }
    }

    fn names(&self) -> &Names {
        self.names.get_or_init(Box::default)
    }

    fn ask(&self, question: impl FnOnce(&S) -> io::Result<Address>) -> Address {
        let source = self.source.borrow();
        let socket = source.as_ref().map(Source::get_ref);
        socket.and_then(|socket| question(socket).ok()).unwrap_or(Address::Unnamed)
    }
}

impl<S: StreamSocket> ByteSource for SocketStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Ready(Ok(0)) };
        source.poll_transfer(cx, Direction::Read, buffer.len(), |socket| socket.receive(buffer))
    }
}

impl<S: StreamSocket> ByteStream for SocketStream<S> {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        let length = slices.iter().map(|slice| slice.len()).sum();
        source.try_transfer(Direction::Write, length, |socket| socket.send(slices))
    }

    fn is_read_ready(&self) -> bool {
        self.source.borrow().as_ref().is_none_or(|source| source.is_ready(Direction::Read))
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        source.try_io(Direction::Write, |socket| system_sendfile(socket, file, offset, count))
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let source = self.source.borrow();
        let Some(source) = &*source else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        source.poll_ready(cx, Direction::Write)
    }

    fn write_eof(&self) -> io::Result<()> {
        let source = self.source.borrow();
        source.as_ref().map_or(Ok(()), |source| source.get_ref().shutdown(Shutdown::Write))
    }

    fn close(&self) {
        let source = self.source.take();
        if let Some(source) = source {
            source.wake_waiters();
        }
    }

    fn local_address(&self) -> Address {
        self.names().local.get_or_init(|| self.ask(S::local)).clone()
    }

    fn peer_address(&self) -> Address {
        match self.peer_v4 {
            Some(peer) => Address::Inet(peer.into()),
            None => self.names().peer.get_or_init(|| self.ask(S::peer)).clone(),
        }
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(source) = &*self.source.borrow() {
            look(source.get_ref().as_fd());
        }
    }
}
