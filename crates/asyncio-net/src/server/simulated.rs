//! Listening sockets of a simulated network.

use std::future::poll_fn;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::machinery::Share;

use super::Shared;
use super::accept::Listening;
use super::options::Options;
use super::shared::CloseAtEnd;
use crate::address::Address;
use crate::io::Io;
use crate::sockets::{Incoming, ListenOptions, Sockets};

/// Listens on one address.
pub(super) fn listen(
    sockets: &dyn Sockets,
    address: &Address,
    options: &Options,
) -> io::Result<Rc<dyn Listening>> {
    let Options { backlog, reuse_port, replace_socket: replace, .. } = *options;
    let incoming = sockets.listen(address, ListenOptions { backlog, reuse_port, replace })?;
    Ok(Rc::new(Simulated { incoming, share: Share::default() }))
}

/// [`listen`]s; an error names the address.
pub(super) fn listen_named(
    sockets: &dyn Sockets,
    address: &Address,
    options: &Options,
) -> io::Result<Rc<dyn Listening>> {
    listen(sockets, address, options).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

struct Simulated {
    incoming: Rc<dyn Incoming>,
    share: Share,
}

impl Simulated {
    fn poll_accept(&self, cx: &mut Context<'_>, shared: &Rc<Shared>) -> Poll<()> {
        loop {
            let accept = |cx: &mut Context<'_>| self.incoming.poll_accept(cx);
            let Some(stream) = ready!(self.share.poll(cx, accept)) else { return Poll::Ready(()) };
            let event_loop = shared.network().event_loop();
            Shared::accepted(shared, Io::simulated(event_loop, stream));
        }
    }
}

impl Listening for Simulated {
    fn start(self: Rc<Self>, shared: &Rc<Shared>) {
        let server = CloseAtEnd(shared.clone());
        shared.spawn(poll_fn(move |cx| self.poll_accept(cx, &server.0)));
    }

    fn address(&self) -> Address {
        self.incoming.address()
    }

    fn close(&self) {
        self.incoming.close();
    }

    /// A simulated socket has no descriptor to give away.
    fn take_fd(&self) -> Option<OwnedFd> {
        self.close();
        None
    }

    fn with_fd(&self, _look: &mut dyn FnMut(BorrowedFd<'_>)) {}
}
