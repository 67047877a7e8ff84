//! Listening sockets, and the tasks that accept from them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_loop::machinery::Share;
use asyncio_loop::{Deadline, Direction, ErrorContext, LoopWaker, Source};
use mio::net::{TcpListener, UnixListener};

use super::shared::CloseAtEnd;
use super::{Serve, Shared};
use crate::address::Address;
use crate::connect::ConnectedSocket;
use crate::io::SocketStream;
use crate::network::Network;
use crate::socket_file::SocketFile;

/// The pause in accepting when the process has no descriptors left.
const PAUSE: Duration = Duration::from_secs(1);

/// A listening socket.
pub(super) trait ListenSocket: AsFd + Into<OwnedFd> + 'static {
    fn accept(&self) -> io::Result<(ConnectedSocket, Address)>;
    fn local(&self) -> io::Result<Address>;
}

impl ListenSocket for TcpListener {
    fn accept(&self) -> io::Result<(ConnectedSocket, Address)> {
        let (stream, peer) = self.accept()?;
        Ok((ConnectedSocket::Tcp(OwnedFd::from(stream).into()), peer.into()))
    }

    fn local(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }
}

impl ListenSocket for UnixListener {
    fn accept(&self) -> io::Result<(ConnectedSocket, Address)> {
        let (stream, peer) = self.accept()?;
        Ok((ConnectedSocket::Unix(OwnedFd::from(stream).into()), peer.into()))
    }

    fn local(&self) -> io::Result<Address> {
        self.local_addr().map(Address::from)
    }
}

/// A listening socket of any kind.
pub(super) trait Listening {
    fn start(self: Rc<Self>, shared: &Rc<Shared>);
    fn address(&self) -> Address;
    fn close(&self);
    /// Gives the socket away, which goes on listening. The file of a Unix socket stays.
    fn take_fd(&self) -> Option<OwnedFd>;
    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>));
}

/// A listening socket, and the state of the task that accepts from it.
pub(super) struct Listener<L: ListenSocket> {
    source: RefCell<Option<Source<L>>>,
    address: Address,
    /// The file, removed when the socket is closed.
    file: Cell<Option<SocketFile>>,
    /// The time at which a pause ends.
    paused: RefCell<Option<Deadline>>,
    /// The share of each step's budget, so that accepted clients are served between two steps.
    share: Share,
}

impl<L: ListenSocket> Listener<L> {
    pub(super) fn open(
        network: &Network,
        socket: L,
        file: Option<SocketFile>,
    ) -> io::Result<Rc<dyn Listening>> {
        let address = socket.local()?;
        let source = RefCell::new(Some(Source::new(network.event_loop(), socket)));
        Ok(Rc::new(Self {
            source,
            address,
            file: Cell::new(file),
            paused: RefCell::new(None),
            share: Share::default(),
        }))
    }

    /// Accepts until the socket is closed.
    fn poll_accept(&self, cx: &mut Context<'_>, shared: &Rc<Shared>) -> Poll<()> {
        while !self.is_paused() {
            if shared.is_full(cx) && self.source.borrow().is_some() {
                return Poll::Pending;
            }
            let accepted = {
                let source = self.source.borrow();
                let Some(source) = &*source else { return Poll::Ready(()) };
                let accept = |cx: &mut Context<'_>| source.poll_io(cx, Direction::Read, L::accept);
                ready!(self.share.poll(cx, accept))
            };
            match accepted {
                Ok((socket, peer)) => self.accepted(shared, socket, peer),
                Err(error) if is_of_the_peer(&error) => {}
                Err(error) => self.pause(cx, shared, error),
            }
        }
        Poll::Pending
    }

    fn accepted(&self, shared: &Rc<Shared>, socket: ConnectedSocket, peer: Address) {
        if let Some(Serve::Acceptor(hand_over)) = &shared.serve {
            return shared.hand_over(hand_over, socket);
        }
        let event_loop = shared.network().event_loop();
        let stream = SocketStream::new(event_loop, socket, Some(peer));
        Shared::accepted(shared, stream.into());
    }

    fn is_paused(&self) -> bool {
        self.paused.borrow().as_ref().is_some_and(Deadline::is_pending)
    }

    /// Reports the error and begins a pause.
    #[cold]
    fn pause(&self, cx: &Context<'_>, shared: &Shared, error: io::Error) {
        let event_loop = shared.network().event_loop();
        let context = ErrorContext::new("accepting a connection failed; trying again in a second")
            .with_error(error)
            .field("listening on", &self.address);
        event_loop.report(&context);
        let until = event_loop.time() + PAUSE;
        let deadline = event_loop.wake_at(until, LoopWaker::from_context(cx));
        self.paused.replace(Some(deadline));
    }
}

/// Whether the error concerns only one connection, which is gone.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, TimedOut};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

impl<L: ListenSocket> Listening for Listener<L> {
    fn start(self: Rc<Self>, shared: &Rc<Shared>) {
        let server = CloseAtEnd(shared.clone());
        shared.spawn(poll_fn(move |cx| self.poll_accept(cx, &server.0)));
    }

    fn address(&self) -> Address {
        self.address.clone()
    }

    fn close(&self) {
        drop(self.file.take());
        drop(self.take_fd());
    }

    fn take_fd(&self) -> Option<OwnedFd> {
        drop(self.paused.take());
        self.file.take().and_then(SocketFile::keep);
        let source = self.source.take()?;
        source.wake_waiters();
        Some(source.into_inner().into())
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        if let Some(source) = &*self.source.borrow() {
            look(source.get_ref().as_fd());
        }
    }
}
