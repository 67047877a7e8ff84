//! A datagram endpoint: sending, receiving, and its end.
//!
//! One hidden task sends queued datagrams, receives, and calls the protocol. It runs in
//! the context of the code that made the endpoint.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{LoopRef, TaskOptions, TaskRef};

use super::fenced::{Called, FencedProtocol};
use super::medium::{Medium, Opening};
use super::outgoing::{Datagram, Outgoing};
use super::{DatagramProtocol, DatagramTransport};
use crate::address::Address;
use crate::connection::Limits;
use crate::io::buffer_pool;
use crate::network::Network;
use crate::socket_file::SocketFile;

/// The number of datagrams that are sent, and received, before other tasks run. The endpoint's task
/// does nothing else in a step, so the budget of the step, which limits loops in code of users, is
/// not used: it would only make the steps shorter.
const IN_A_ROW: usize = 32;

/// The maximum number of errors that wait to be reported to the protocol; further ones are dropped.
const ERRORS: usize = 1024;

/// A socket, ready to be served.
pub(super) struct Opened {
    pub(super) socket: Opening,
    /// The file to remove when the endpoint ends.
    pub(super) file: Option<SocketFile>,
    /// The address that the socket is connected to.
    pub(super) peer: Option<Address>,
    /// The destination of datagrams without an address, for a socket that is not connected.
    pub(super) destination: Option<Address>,
    /// The length of the longest datagram that is received.
    pub(super) limit: usize,
    /// The number of descriptors that may come with a datagram.
    pub(super) descriptors: usize,
}

pub(super) struct Endpoint {
    /// The place of the call that made the endpoint.
    site: &'static Location<'static>,
    network: Rc<Network>,
    medium: RefCell<Option<Medium>>,
    file: Cell<Option<SocketFile>>,
    local: Option<Address>,
    peer: Option<Address>,
    destination: Option<Address>,
    protocol: FencedProtocol,
    task: OnceCell<TaskRef>,
    outgoing: Outgoing,
    limit: usize,
    descriptors: usize,
    /// The buffer for a limit above the length of pooled buffers.
    own_buffer: Cell<Option<Box<[u8]>>>,
    /// Errors to report to the protocol.
    errors: RefCell<VecDeque<io::Error>>,
    fatal: Cell<Option<io::Error>>,
    closing: Cell<bool>,
    over: Cell<bool>,
    /// The protocol knows that the queue is full.
    paused: Cell<bool>,
}

/// Ends the endpoint when its task ends or is dropped by the loop. Otherwise a protocol that holds
/// its transport would keep the socket open forever.
struct EndpointTask(Rc<Endpoint>);

impl Drop for EndpointTask {
    fn drop(&mut self) {
        if !self.0.closing.get() && !self.0.over.get() {
            let (message, site) =
                ("a datagram endpoint was not closed before its loop", self.0.site);
            self.0.event_loop().report_unclosed(message, Some(site), |context| {
                let transport = DatagramTransport(self.0.clone());
                context.field("transport", format_args!("{transport:?}"))
            });
        }
        self.0.closing.set(true);
        self.0.over.set(true);
        self.0.give_up_socket();
        self.0.protocol.discard(&DatagramTransport(self.0.clone()));
    }
}

impl Endpoint {
    pub(super) fn start<P: DatagramProtocol + 'static>(
        network: &Rc<Network>,
        opened: Opened,
        protocol: P,
        site: &'static Location<'static>,
    ) -> io::Result<DatagramTransport> {
        let Opened { socket, file, peer, destination, limit, descriptors } = opened;
        let own_buffer = (limit > buffer_pool::LENGTH).then(|| vec![0; limit].into());
        let endpoint = Rc::new(Self {
            network: network.clone(),
            site,
            file: Cell::new(file),
            local: socket.local(),
            medium: RefCell::new(Some(socket.open(network.event_loop()))),
            peer,
            destination,
            protocol: FencedProtocol::new(protocol),
            task: OnceCell::new(),
            outgoing: Outgoing::default(),
            limit,
            descriptors,
            own_buffer: Cell::new(own_buffer),
            errors: RefCell::default(),
            fatal: Cell::new(None),
            closing: Cell::new(false),
            over: Cell::new(false),
            paused: Cell::new(false),
        });
        let owner = EndpointTask(endpoint.clone());
        let task = poll_fn(move |cx| owner.0.poll_endpoint(cx));
        let task = network.event_loop().spawn(task, TaskOptions::new().hidden());
        let task = task.map_err(io::Error::other)?;
        let _ = endpoint.task.set(task.task().clone());
        let made = endpoint.call(|protocol, transport| protocol.connection_made(transport));
        if let Called::Panicked(panic) = made {
            endpoint.fatal.set(Some(panic.to_error("connection_made")));
            endpoint.abort();
        }
        Ok(DatagramTransport(endpoint))
    }

    pub(super) fn event_loop(&self) -> &LoopRef {
        self.network.event_loop()
    }

    pub(super) fn local(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    pub(super) fn peer(&self) -> Option<&Address> {
        self.peer.as_ref()
    }

    pub(super) fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn with_medium<R>(&self, look: impl FnOnce(&Medium) -> R) -> Option<R> {
        self.medium.borrow().as_ref().map(look)
    }

    fn poll_endpoint(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.tell_errors();
        let sent_all = self.flush(cx);
        if self.over.get() {
            self.call_connection_lost();
            return Poll::Ready(());
        }
        let received_all = self.receive(cx);
        if !sent_all || !received_all {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// Receiving.
impl Endpoint {
    /// Receives datagrams. False if there may be more.
    fn receive(self: &Rc<Self>, cx: &mut Context<'_>) -> bool {
        match self.own_buffer.take() {
            Some(mut buffer) => {
                let received_all = self.receive_into(cx, &mut buffer);
                self.own_buffer.set(Some(buffer));
                received_all
            }
            None => {
                let mut buffer = self.network.take_buffer();
                let received_all = self.receive_into(cx, &mut buffer.storage()[..self.limit]);
                self.network.give_buffer(buffer);
                received_all
            }
        }
    }

    fn receive_into(self: &Rc<Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> bool {
        for _ in 0..IN_A_ROW {
            if self.closing.get() {
                return true;
            }
            let Poll::Ready(received) = self.poll_receive(cx, buffer) else { return true };
            self.call(|protocol, transport| match received {
                Ok((length, sender, descriptors)) => {
                    if !descriptors.is_empty() {
                        protocol.descriptors_received(transport, descriptors);
                    }
                    protocol.datagram_received(transport, &buffer[..length], &sender);
                }
                Err(error) => protocol.error_received(transport, error),
            });
        }
        false
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Address, Vec<OwnedFd>)>> {
        let medium = self.medium.borrow();
        let Some(medium) = &*medium else { return Poll::Pending };
        medium.poll_receive(cx, buffer, self.descriptors)
    }
}

/// Sending.
impl Endpoint {
    /// Sends now if nothing is queued and the socket takes it, later otherwise.
    pub(super) fn send(
        self: &Rc<Self>,
        data: &[u8],
        descriptors: Vec<OwnedFd>,
        address: Option<Address>,
    ) {
        if self.closing.get() || self.over.get() {
            return;
        }
        let address = address.or_else(|| self.destination.clone());
        if self.outgoing.is_empty() {
            match self.try_send(data, &descriptors, address.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wake_task(),
                Err(error) => return self.failed(error),
                Ok(()) => return,
            }
        }
        self.outgoing.push(Datagram { data, descriptors, address });
        self.tell_paused();
    }

    fn try_send(
        &self,
        data: &[u8],
        descriptors: &[OwnedFd],
        address: Option<&Address>,
    ) -> io::Result<()> {
        let medium = self.medium.borrow();
        let Some(medium) = &*medium else { return Err(io::ErrorKind::NotConnected.into()) };
        medium.try_send(data, descriptors, address)
    }

    /// Sends queued datagrams. False if the socket may take more.
    fn flush(self: &Rc<Self>, cx: &mut Context<'_>) -> bool {
        for _ in 0..IN_A_ROW {
            let sent = self.outgoing.with_first(|first| {
                self.try_send(&first.data, &first.descriptors, first.address.as_ref())
            });
            let Some(sent) = sent else { break };
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.with_medium(|medium| medium.poll_send_ready(cx));
                    match ready {
                        Some(Poll::Pending) => return true,
                        Some(Poll::Ready(Err(error))) => self.failed(error),
                        _ => continue,
                    }
                }
                Err(error) => self.failed(error),
                Ok(()) => {}
            }
            self.outgoing.pop();
            self.tell_paused();
        }
        if self.outgoing.is_empty() && self.closing.get() {
            self.over.set(true);
        }
        self.outgoing.is_empty()
    }

    /// Keeps the error, which is reported to the protocol in a step of its own.
    fn failed(&self, error: io::Error) {
        let mut errors = self.errors.borrow_mut();
        if errors.len() < ERRORS {
            errors.push_back(error);
        }
        self.wake_task();
    }

    pub(super) fn set_limits(self: &Rc<Self>, limits: Limits) {
        self.outgoing.set_limits(limits);
        self.tell_paused();
    }
}

/// The end.
impl Endpoint {
    /// Receives no more, and ends when all datagrams have been sent.
    pub(super) fn close(&self) {
        if !self.closing.replace(true) {
            self.wake_task();
        }
    }

    pub(super) fn abort(&self) {
        self.closing.set(true);
        self.over.set(true);
        self.outgoing.clear();
        self.wake_task();
    }

    fn call_connection_lost(self: &Rc<Self>) {
        let error = self.fatal.take();
        self.call(|protocol, transport| protocol.connection_lost(transport, error));
        self.give_up_socket();
    }

    /// The file is removed first: while the socket is open, no other file can get its identity.
    fn give_up_socket(&self) {
        drop(self.file.take());
        drop(self.medium.take());
    }

    fn wake_task(&self) {
        if let Some(task) = self.task.get() {
            task.wake();
        }
    }
}

/// Calling the protocol.
impl Endpoint {
    fn call(
        self: &Rc<Self>,
        method: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport),
    ) -> Called {
        let called = self.protocol.call(&DatagramTransport(self.clone()), method);
        self.tell_paused();
        called
    }

    /// Calls `pause_writing` or `resume_writing`, if it is due and the protocol is not being
    /// called.
    fn tell_paused(self: &Rc<Self>) {
        while self.outgoing.is_full() != self.paused.get() && !self.over.get() {
            let full = self.outgoing.is_full();
            let called =
                self.protocol.call(&DatagramTransport(self.clone()), |protocol, transport| {
                    self.paused.set(full);
                    if full {
                        protocol.pause_writing(transport)
                    } else {
                        protocol.resume_writing(transport)
                    }
                });
            if matches!(called, Called::Not) {
                break;
            }
        }
    }

    /// Reports the errors so far to the protocol. The error of a send that fails meanwhile is
    /// reported in the next turn.
    fn tell_errors(self: &Rc<Self>) {
        for error in self.errors.take() {
            self.call(|protocol, transport| protocol.error_received(transport, error));
        }
    }
}
