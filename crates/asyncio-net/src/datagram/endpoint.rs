//! A datagram socket, its protocol, and what waits to be sent.

use std::any::type_name_of_val;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::{Direction, ErrorContext, Source, TaskOptions, TaskRef};
use bytes::Bytes;

use super::socket::Socket;
use super::{DatagramProtocol, DatagramTransport};
use crate::address::Address;
use crate::connection::Limits;
use crate::network::Network;
use crate::server::SocketFile;

/// So many datagrams are received before others get their turn.
const RECEIVES_IN_A_ROW: usize = 32;

pub(super) struct Endpoint {
    network: Rc<Network>,
    source: RefCell<Option<Source<Socket>>>,
    /// The file to be removed in the end.
    file: Cell<Option<SocketFile>>,
    local: Option<Address>,
    remote: Option<Address>,
    /// `None` while it is being called, and once it was told of the end.
    protocol: Cell<Option<Box<dyn DatagramProtocol>>>,
    protocol_name: &'static str,
    /// The task that calls the protocol.
    pump: OnceCell<TaskRef>,
    queue: RefCell<VecDeque<(Bytes, Option<Address>)>>,
    queued: Cell<usize>,
    limits: Cell<Limits>,
    /// To be told to the protocol.
    errors: RefCell<VecDeque<io::Error>>,
    fatal: Cell<Option<io::Error>>,
    closing: Cell<bool>,
    over: Cell<bool>,
    /// A flusher is at work.
    blocked: Cell<bool>,
    full: Cell<bool>,
    paused: Cell<bool>,
}

/// An endpoint that is being received from, until this is dropped: at its end, or with the loop. A protocol that holds its
/// transport would keep the socket open for ever.
struct Pumped(Rc<Endpoint>);

impl Drop for Pumped {
    fn drop(&mut self) {
        self.0.closing.set(true);
        self.0.over.set(true);
        self.0.give_up_socket();
        drop(self.0.protocol.take());
    }
}

impl Endpoint {
    pub(super) fn start<P: DatagramProtocol + 'static>(
        network: &Rc<Network>,
        socket: Socket,
        file: Option<SocketFile>,
        remote: Option<Address>,
        protocol: Box<P>,
    ) -> io::Result<DatagramTransport> {
        let protocol_name = type_name_of_val(&*protocol);
        let endpoint = Rc::new(Self {
            network: network.clone(),
            file: Cell::new(file),
            local: socket.local(),
            source: RefCell::new(Some(Source::new(network.event_loop(), socket))),
            remote,
            protocol: Cell::new(Some(protocol)),
            protocol_name,
            pump: OnceCell::new(),
            queue: RefCell::default(),
            queued: Cell::new(0),
            limits: Cell::default(),
            errors: RefCell::default(),
            fatal: Cell::new(None),
            closing: Cell::new(false),
            over: Cell::new(false),
            blocked: Cell::new(false),
            full: Cell::new(false),
            paused: Cell::new(false),
        });
        let pumped = Pumped(endpoint.clone());
        let pump = poll_fn(move |cx| pumped.0.poll_pump(cx));
        let pump = network.event_loop().spawn(pump, TaskOptions::new().hidden());
        let pump = pump.map_err(io::Error::other)?;
        let _ = endpoint.pump.set(pump.task().clone());
        endpoint.call(|protocol, transport| protocol.connection_made(transport));
        Ok(DatagramTransport(endpoint))
    }

    pub(super) fn local(&self) -> Option<&Address> {
        self.local.as_ref()
    }

    pub(super) fn remote(&self) -> Option<&Address> {
        self.remote.as_ref()
    }

    pub(super) fn queued(&self) -> usize {
        self.queued.get()
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits.get()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn with_source<R>(&self, look: impl FnOnce(&Source<Socket>) -> R) -> Option<R> {
        self.source.borrow().as_ref().map(look)
    }

    /// Receiving.
    fn poll_pump(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.tell_errors();
        if self.over.get() {
            self.tell_lost();
            return Poll::Ready(());
        }
        let mut buffer = self.network.take_buffer();
        let mut received = 0;
        while !self.closing.get() && received < RECEIVES_IN_A_ROW {
            match self.poll_receive(cx, buffer.storage()) {
                Poll::Pending => break,
                Poll::Ready(Ok((length, sender))) => {
                    self.call(|protocol, transport| {
                        protocol.datagram_received(transport, &buffer.storage()[..length], &sender);
                    });
                }
                Poll::Ready(Err(error)) => {
                    self.call(|protocol, transport| protocol.error_received(transport, error));
                }
            }
            received += 1;
        }
        self.network.give_buffer(buffer);
        if received == RECEIVES_IN_A_ROW {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn poll_receive(
        &self,
        cx: &Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Address)>> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Poll::Pending };
        source.poll_io(cx, Direction::Read, |socket| socket.receive(buffer))
    }

    /// Sends now if nothing is queued and the socket takes it, later otherwise.
    pub(super) fn send(self: &Rc<Self>, data: &[u8], address: Option<Address>) {
        if self.closing.get() || self.over.get() {
            return;
        }
        if self.queue.borrow().is_empty() {
            match self.try_send(data, address.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return self.failed(error),
                Ok(()) => return,
            }
        }
        self.queued.set(self.queued.get() + data.len());
        self.queue.borrow_mut().push_back((Bytes::copy_from_slice(data), address));
        self.start_flusher();
        self.check_limits();
    }

    fn try_send(&self, data: &[u8], address: Option<&Address>) -> io::Result<()> {
        let source = self.source.borrow();
        let Some(source) = &*source else { return Err(io::ErrorKind::NotConnected.into()) };
        source.try_io(Direction::Write, |socket| socket.send(data, address))
    }

    /// The protocol is told, in a step of its own.
    fn failed(&self, error: io::Error) {
        self.errors.borrow_mut().push_back(error);
        self.wake_pump();
    }

    fn start_flusher(self: &Rc<Self>) {
        if !self.blocked.replace(true) {
            let endpoint = self.clone();
            self.network.spawn(poll_fn(move |cx| endpoint.poll_flush(cx)));
        }
    }

    fn poll_flush(self: &Rc<Self>, cx: &Context<'_>) -> Poll<()> {
        while !self.over.get() {
            let Some((data, address)) = self.queue.borrow().front().cloned() else { break };
            match self.try_send(&data, address.as_ref()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = self.with_source(|source| source.poll_ready(cx, Direction::Write));
                    match ready!(ready.unwrap_or(Poll::Ready(Ok(())))) {
                        Ok(()) => continue,
                        Err(error) => self.failed(error),
                    }
                }
                Err(error) => self.failed(error),
                Ok(()) => {}
            }
            self.queue.borrow_mut().pop_front();
            self.queued.set(self.queued.get() - data.len());
            self.check_limits();
        }
        self.blocked.set(false);
        if self.closing.get() {
            self.end();
        }
        Poll::Ready(())
    }

    pub(super) fn set_limits(self: &Rc<Self>, limits: Limits) {
        self.limits.set(limits);
        self.check_limits();
    }

    fn check_limits(self: &Rc<Self>) {
        let limits = self.limits.get();
        if self.queued.get() > limits.high {
            self.full.set(true);
        } else if self.queued.get() <= limits.low {
            self.full.set(false);
        }
        self.tell_paused();
    }

    /// Calls `pause_writing` or `resume_writing`, if it is time and the protocol is not being called.
    fn tell_paused(self: &Rc<Self>) {
        while self.full.get() != self.paused.get() && !self.over.get() {
            let full = self.full.get();
            let told = self.try_call(|protocol, transport| {
                transport.0.paused.set(full);
                if full {
                    protocol.pause_writing(transport)
                } else {
                    protocol.resume_writing(transport)
                }
            });
            if !told {
                break;
            }
        }
    }

    /// Those of now: a protocol that answers an error by a send that fails is told of that in the next turn, after others.
    fn tell_errors(self: &Rc<Self>) {
        for error in self.errors.take() {
            self.call(|protocol, transport| protocol.error_received(transport, error));
        }
    }

    fn tell_lost(self: &Rc<Self>) {
        let error = self.fatal.take();
        self.try_call(|protocol, transport| protocol.connection_lost(transport, error));
        drop(self.protocol.take());
        self.give_up_socket();
    }

    fn give_up_socket(&self) {
        drop(self.file.take());
        drop(self.source.take());
    }

    pub(super) fn close(&self) {
        if !self.closing.replace(true) && self.queue.borrow().is_empty() {
            self.end();
        }
    }

    pub(super) fn abort(&self) {
        self.closing.set(true);
        self.queue.take();
        self.queued.set(0);
        self.end();
    }

    fn end(&self) {
        self.over.set(true);
        self.wake_pump();
        if let Some(source) = &*self.source.borrow() {
            // The flusher, if there is one.
            source.wake_waiters();
        }
    }

    fn wake_pump(&self) {
        if let Some(pump) = self.pump.get() {
            pump.wake();
        }
    }

    fn call(self: &Rc<Self>, call: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport)) {
        self.try_call(call);
        self.tell_paused();
    }

    /// False if the protocol is being called, or gone.
    fn try_call(
        self: &Rc<Self>,
        call: impl FnOnce(&mut dyn DatagramProtocol, &DatagramTransport),
    ) -> bool {
        let Some(mut protocol) = self.protocol.take() else { return false };
        let transport = DatagramTransport(self.clone());
        let result = catch_unwind(AssertUnwindSafe(|| call(&mut *protocol, &transport)));
        self.protocol.set(Some(protocol));
        if let Err(payload) = result {
            let context = ErrorContext::new("fatal error: a datagram protocol's method failed")
                .with_panic(&*payload)
                .field("protocol", self.protocol_name)
                .field("transport", format_args!("{transport:?}"));
            self.network.event_loop().report(&context);
            self.fatal.set(Some(io::Error::other("the protocol panicked")));
            self.abort();
        }
        true
    }
}
