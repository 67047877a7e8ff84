//! A connected stream socket as a [`ByteStream`].

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::net::{RecvFlags, SendFlags, Shutdown, getpeername, getsockname, recv, send, shutdown};

use crate::address::Address;
use crate::sendfile::system_sendfile;
use crate::source::{ByteSource, ByteStream};

/// A socket until it is closed, and its addresses for ever.
pub(crate) struct SocketStream {
    /// `None` when it is closed, and while it is being used.
    source: Cell<Option<Source<OwnedFd>>>,
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

impl SocketStream {
    /// `peer` is asked for when it is not known.
    pub(crate) fn new(
        event_loop: &LoopRef,
        socket: impl Into<OwnedFd>,
        peer: Option<Address>,
    ) -> Self {
        Self::from_source(Source::new(event_loop, socket.into()), peer)
    }

    pub(crate) fn from_source(source: Source<OwnedFd>, peer: Option<Address>) -> Self {
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
    fn with<R>(&self, action: impl FnOnce(&Source<OwnedFd>) -> R) -> Option<R> {
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

    fn ask_local(&self) -> Address {
        let address = self.with(|source| getsockname(source.get_ref()).ok());
        Address::from_any(address.flatten())
    }

    fn ask_peer(&self) -> Address {
        let address = self.with(|source| getpeername(source.get_ref()).ok());
        Address::from_any(address.flatten().flatten())
    }
}

fn transmit(socket: &OwnedFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(match slices {
        [one] => send(socket, one, SendFlags::NOSIGNAL)?,
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
            source.poll_transfer(cx, Direction::Read, length, |socket| {
                Ok(recv(socket, &mut *buffer, RecvFlags::empty())?.0)
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
        let length = slices.iter().map(|slice| slice.len()).sum();
        let written = self.with(|source| {
            source.try_transfer(Direction::Write, length, |socket| transmit(socket, slices))
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
        let shut = self.with(|source| Ok(shutdown(source.get_ref(), Shutdown::Write)?));
        shut.unwrap_or(Ok(()))
    }

    fn close(&self) {
        drop(self.take_fd());
    }

    fn take_fd(&self) -> Option<OwnedFd> {
        self.closed.set(true);
        let source = self.source.take()?;
        source.wake_waiters();
        Some(source.into_inner())
    }

    fn local_address(&self) -> Address {
        self.names().local.get_or_init(|| self.ask_local()).clone()
    }

    fn peer_address(&self) -> Address {
        match self.peer {
            SmallPeer { address, is_known: true } => Address::Inet(address.into()),
            _ => self.names().peer.get_or_init(|| self.ask_peer()).clone(),
        }
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.with(|source| look(source.get_ref().as_fd()));
    }
}
