//! Connections between hosts, and Unix sockets within one: listening and connecting.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::LoopWaker;
use asyncio_net::machinery::{Incoming, ListenOptions};
use asyncio_net::{Address, ByteStream};

use super::endpoint::{Endpoint, Stream};
use super::link::Link;
use super::wire::{HostId, Wire};

/// How often Linux retries a handshake (`tcp_syn_retries`): it gives up after 127 s.
const RETRIES: u32 = 6;
/// How many ends the list may have before the first cleanup.
const TIDY: usize = 64;

/// All connections of a network.
#[derive(Debug)]
pub(super) struct Tcp {
    wire: Rc<Wire>,
    listeners: RefCell<Vec<Rc<Listener>>>,
    ends: RefCell<Vec<Weak<Endpoint>>>,
    tidy_at: Cell<usize>,
}

impl Tcp {
    pub(super) fn new(wire: &Rc<Wire>) -> Rc<Self> {
        Rc::new(Self {
            wire: Rc::clone(wire),
            listeners: RefCell::default(),
            ends: RefCell::default(),
            tidy_at: Cell::new(TIDY),
        })
    }

    pub(super) fn listen(
        self: &Rc<Self>,
        host: HostId,
        at: &Address,
        options: ListenOptions,
    ) -> io::Result<Rc<dyn Incoming>> {
        let address = match at {
            Address::Inet(at) => Address::Inet(self.inet_to_listen_at(host, *at, options)?),
            name => {
                self.make_way(host, name, options.replace)?;
                name.clone()
            }
        };
        let listener = Rc::new(Listener {
            tcp: Rc::downgrade(self),
            host,
            address,
            backlog: options.backlog as usize,
            reuse_port: options.reuse_port,
            queue: RefCell::default(),
            half_open: Cell::default(),
            waiting: RefCell::default(),
            waiter: Cell::default(),
            is_closed: Cell::default(),
        });
        self.listeners.borrow_mut().push(Rc::clone(&listener));
        Ok(listener)
    }

    fn inet_to_listen_at(
        &self,
        host: HostId,
        at: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<SocketAddr> {
        check_own(&self.wire, host, at.ip())?;
        if at.port() == 0 {
            let is_taken = |port| self.is_taken(host, SocketAddr::new(at.ip(), port), false);
            let port = self.wire.next_port(host, is_taken).ok_or(ErrorKind::AddrInUse)?;
            return Ok(SocketAddr::new(at.ip(), port));
        }
        if self.is_taken(host, at, options.reuse_port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        Ok(at)
    }

    /// Whether the address already has a listener.
    fn is_taken(&self, host: HostId, at: SocketAddr, reuse: bool) -> bool {
        self.listeners.borrow().iter().any(|listener| {
            listener.host == host && listener.overlaps(at) && !(reuse && listener.reuse_port)
        })
    }

    /// Makes room for a Unix socket.
    fn make_way(&self, host: HostId, name: &Address, replace: bool) -> io::Result<()> {
        match self.unix_listener(host, name) {
            Some(before) if replace => self.remove(&before),
            Some(_) => return Err(ErrorKind::AddrInUse.into()),
            None => {}
        }
        Ok(())
    }

    fn unix_listener(&self, host: HostId, name: &Address) -> Option<Rc<Listener>> {
        let listeners = self.listeners.borrow();
        listeners.iter().find(|it| it.host == host && it.address == *name).cloned()
    }

    /// The listener that answers at an address; if several share it, one of them.
    fn listener_at(&self, host: HostId, to: SocketAddr) -> Option<Rc<Listener>> {
        let listeners = self.listeners.borrow();
        let mut fitting: Vec<_> =
            listeners.iter().filter(|it| it.host == host && it.overlaps(to)).collect();
        // A listener of a specific address takes precedence over one of all addresses.
        if fitting.iter().any(|it| it.address == Address::Inet(to)) {
            fitting.retain(|it| it.address == Address::Inet(to));
        }
        let shortest = fitting.into_iter().min_by_key(|it| it.queue.borrow().len());
        shortest.cloned()
    }

    fn remove(&self, listener: &Rc<Listener>) {
        self.listeners.borrow_mut().retain(|it| !Rc::ptr_eq(it, listener));
    }

    /// Registers an end, so that it can be ended with its host.
    fn note(&self, end: &Rc<Endpoint>) {
        let mut ends = self.ends.borrow_mut();
        if ends.len() >= self.tidy_at.get() {
            ends.retain(|end| end.strong_count() > 0);
            self.tidy_at.set((2 * ends.len()).max(TIDY));
        }
        ends.push(Rc::downgrade(end));
    }

    fn ends_of(&self, host: HostId) -> Vec<Rc<Endpoint>> {
        let ends = self.ends.borrow();
        ends.iter().filter_map(Weak::upgrade).filter(|end| end.host() == host).collect()
    }

    /// Ends the connections of a host, with or without resets.
    pub(super) fn end_host(&self, host: HostId, silently: bool) {
        let listeners: Vec<_> = {
            let listeners = self.listeners.borrow();
            listeners.iter().filter(|it| it.host == host).cloned().collect()
        };
        for end in self.ends_of(host) {
            if silently {
                end.forget();
            } else if !end.is_gone() {
                end.abort();
            }
        }
        listeners.iter().for_each(|listener| listener.close());
        self.look_after_writers();
    }

    /// The links to some hosts have changed, so writers that wait for room may have lost their
    /// credit messages.
    pub(super) fn look_after_writers(&self) {
        let ends: Vec<_> = self.ends.borrow().iter().filter_map(Weak::upgrade).collect();
        ends.iter().for_each(Endpoint::look_after_writer);
    }

    /// Ends the network.
    pub(super) fn end(&self) {
        let ends = self.ends.take();
        ends.iter().filter_map(Weak::upgrade).for_each(|end| end.part());
        let listeners = self.listeners.take();
        for listener in listeners {
            let (queue, waiting) = (listener.queue.take(), listener.waiting.take());
            drop((queue, waiting));
        }
    }
}

/// Refuses an address that the host does not have.
pub(super) fn check_own(wire: &Wire, host: HostId, ip: IpAddr) -> io::Result<()> {
    let is_own = match ip {
        IpAddr::V4(ip) => ip.is_unspecified() || ip.is_loopback() || ip == wire.host(host).ip,
        IpAddr::V6(_) => false,
    };
    if is_own { Ok(()) } else { Err(ErrorKind::AddrNotAvailable.into()) }
}

/// Whether `address` reaches a socket that is bound to `bound`.
pub(super) fn covers(bound: SocketAddr, address: SocketAddr) -> bool {
    let is_any = bound.ip().is_unspecified() || address.ip().is_unspecified();
    bound.port() == address.port() && (is_any || bound.ip() == address.ip())
}

/// A listening socket.
pub(super) struct Listener {
    tcp: Weak<Tcp>,
    host: HostId,
    address: Address,
    backlog: usize,
    reuse_port: bool,
    queue: RefCell<VecDeque<Rc<Endpoint>>>,
    /// Clients whose handshake is not complete.
    half_open: Cell<usize>,
    /// Clients of a Unix socket that wait for room in the backlog.
    waiting: RefCell<VecDeque<Rc<Opening>>>,
    waiter: Cell<Option<LoopWaker>>,
    is_closed: Cell<bool>,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Listener {
    fn overlaps(&self, at: SocketAddr) -> bool {
        self.address.as_inet().is_some_and(|address| covers(address, at))
    }

    /// Linux accepts one more than the backlog.
    fn is_full(&self) -> bool {
        self.queue.borrow().len() + self.half_open.get() > self.backlog
    }

    /// Accepts a new connection. Returns false if the listener is closed.
    fn enter(&self, end: Rc<Endpoint>) -> bool {
        if self.is_closed.get() {
            return false;
        }
        self.queue.borrow_mut().push_back(end);
        self.wake();
        true
    }

    /// Makes a client that waits for room retry.
    fn let_one_in(&self) {
        while let Some(client) = self.next_waiting() {
            if !client.is_over.get() {
                return client.ask(0);
            }
        }
    }

    fn next_waiting(&self) -> Option<Rc<Opening>> {
        self.waiting.borrow_mut().pop_front()
    }

    fn wake(&self) {
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

/// A client whose handshake is not complete.
struct HalfOpen(Rc<Listener>);

impl HalfOpen {
    fn new(listener: Rc<Listener>) -> Self {
        listener.half_open.set(listener.half_open.get() + 1);
        Self(listener)
    }
}

impl Drop for HalfOpen {
    fn drop(&mut self) {
        self.0.half_open.set(self.0.half_open.get() - 1);
    }
}

impl Incoming for Listener {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<Box<dyn ByteStream>>> {
        let next = self.queue.borrow_mut().pop_front();
        match next {
            Some(end) => {
                self.let_one_in();
                Poll::Ready(Some(Box::new(Stream(end))))
            }
            None if self.is_closed.get() => Poll::Ready(None),
            None => {
                self.waiter.set(Some(LoopWaker::from_context(cx)));
                Poll::Pending
            }
        }
    }

    fn address(&self) -> Address {
        self.address.clone()
    }

    /// Connections that were not accepted are reset, as by Linux.
    fn close(&self) {
        self.is_closed.set(true);
        if let Some(tcp) = self.tcp.upgrade() {
            tcp.listeners.borrow_mut().retain(|it| !std::ptr::eq(&raw const **it, self));
        }
        let queue = self.queue.take();
        queue.iter().for_each(Endpoint::abort);
        // They retry and find no listener.
        let waiting = self.waiting.take();
        waiting.iter().for_each(|client| client.ask(0));
        self.wake();
    }
}

/// A connection that is being opened.
pub(super) struct Connecting(Rc<Opening>);

struct Opening {
    tcp: Rc<Tcp>,
    from: (HostId, Address),
    to: (HostId, Address),
    way: Rc<Link>,
    way_back: Rc<Link>,
    result: RefCell<Option<io::Result<Rc<Endpoint>>>>,
    is_over: Cell<bool>,
    waiter: Cell<Option<LoopWaker>>,
}

impl Tcp {
    pub(super) fn connect(
        self: &Rc<Self>,
        host: HostId,
        to: &Address,
        local: Option<SocketAddr>,
    ) -> io::Result<Connecting> {
        let (from, to) = match to {
            Address::Inet(to) => {
                let there = self.wire.host_at(host, to.ip());
                let there = there.ok_or(ErrorKind::HostUnreachable)?;
                let local = self.local_of_client(host, there, *to, local)?;
                // The unspecified address means this host.
                let ip = if to.ip().is_unspecified() { local.ip() } else { to.ip() };
                let to = SocketAddr::new(ip, to.port());
                ((host, Address::Inet(local)), (there, Address::Inet(to)))
            }
            name => ((host, Address::Unnamed), (host, name.clone())),
        };
        let (way, way_back) = (self.wire.link(from.0, to.0), self.wire.link(to.0, from.0));
        let opening = Rc::new(Opening {
            tcp: Rc::clone(self),
            from,
            to,
            way,
            way_back,
            result: RefCell::default(),
            is_over: Cell::default(),
            waiter: Cell::default(),
        });
        opening.ask(0);
        Ok(Connecting(opening))
    }

    fn local_of_client(
        &self,
        host: HostId,
        there: HostId,
        to: SocketAddr,
        wanted: Option<SocketAddr>,
    ) -> io::Result<SocketAddr> {
        let is_loopback = host == there && (to.ip().is_loopback() || to.ip().is_unspecified());
        let own = if is_loopback { Ipv4Addr::LOCALHOST } else { self.wire.host(host).ip };
        let ends = self.ends_of(host);
        let is_used = |port: u16| {
            let is_same = |end: &Rc<Endpoint>| {
                !end.is_gone() && end.local().as_inet().is_some_and(|it| it.port() == port)
            };
            ends.iter().any(is_same)
        };
        let (ip, port) = wanted.map_or((own.into(), 0), |wanted| (wanted.ip(), wanted.port()));
        let ip = if ip.is_unspecified() { own.into() } else { ip };
        check_own(&self.wire, host, ip)?;
        let is_taken =
            |port| is_used(port) || self.is_taken(host, SocketAddr::new(ip, port), false);
        if port != 0 && is_taken(port) {
            return Err(ErrorKind::AddrInUse.into());
        }
        let free = if port == 0 { self.wire.next_port(host, is_taken) } else { Some(port) };
        Ok(SocketAddr::new(ip, free.ok_or(ErrorKind::AddrNotAvailable)?))
    }
}

impl Opening {
    /// Sends the first packet of the handshake, which the server answers with the second.
    fn ask(self: &Rc<Self>, tries: u32) {
        if self.is_over.get() {
            return;
        }
        let wire = &self.tcp.wire;
        if !matches!(self.to.1, Address::Inet(_)) {
            let this = Rc::clone(self);
            return wire.agenda().at(wire.now(), move || this.asked());
        }
        let this = Rc::clone(self);
        wire.agenda().at(wire.now() + Duration::from_secs(1 << tries), move || {
            if tries < RETRIES { this.ask(tries + 1) } else { this.end(ErrorKind::TimedOut) }
        });
        if self.way.carries() {
            let this = Rc::clone(self);
            wire.agenda().at(self.way.arrival(wire.now(), 0), move || {
                if this.way.carries() && !this.tcp.wire.is_off(this.to.0) {
                    this.asked();
                }
            });
        }
    }

    /// The first packet has arrived at the server.
    fn asked(self: &Rc<Self>) {
        if self.is_over.get() {
            return;
        }
        let (tcp, wire) = (&self.tcp, &self.tcp.wire);
        let listener = match &self.to.1 {
            Address::Inet(to) => tcp.listener_at(self.to.0, *to),
            name => tcp.unix_listener(self.to.0, name),
        };
        let Some(listener) = listener else { return self.answer(None) };
        if listener.is_full() {
            if !matches!(self.to.1, Address::Inet(_)) {
                listener.waiting.borrow_mut().push_back(Rc::clone(self));
            }
            return;
        }
        let half_open = HalfOpen::new(listener);
        let enter = Box::new(move |end| half_open.0.enter(end));
        let (client, server) = Endpoint::pair(wire, self.from.clone(), self.to.clone(), enter);
        tcp.note(&client);
        tcp.note(&server);
        self.answer(Some(client));
    }

    /// The second packet, or a reset, is on its way.
    fn answer(self: &Rc<Self>, client: Option<Rc<Endpoint>>) {
        let lost = |client: &Option<Rc<Endpoint>>| client.iter().for_each(|it| it.forget());
        if !self.way_back.carries() {
            return lost(&client);
        }
        let (this, wire) = (Rc::clone(self), &self.tcp.wire);
        wire.agenda().at(self.way_back.arrival(wire.now(), 0), move || {
            if this.is_over.get() || !this.way_back.carries() {
                return lost(&client);
            }
            match client {
                Some(client) => {
                    client.begin();
                    this.finish(Ok(client));
                }
                None if matches!(this.to.1, Address::Inet(_)) => {
                    this.end(ErrorKind::ConnectionRefused);
                }
                None => this.end(ErrorKind::NotFound),
            }
        });
    }

    fn end(&self, kind: ErrorKind) {
        if !self.is_over.get() {
            self.finish(Err(kind.into()));
        }
    }

    fn finish(&self, result: io::Result<Rc<Endpoint>>) {
        self.is_over.set(true);
        self.result.replace(Some(result));
        if let Some(waiter) = self.waiter.take() {
            waiter.wake();
        }
    }
}

impl Future for Connecting {
    type Output = io::Result<Box<dyn ByteStream>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(result) = self.0.result.take() else {
            self.0.waiter.set(Some(LoopWaker::from_context(cx)));
            return Poll::Pending;
        };
        Poll::Ready(result.map(|end| -> Box<dyn ByteStream> { Box::new(Stream(end)) }))
    }
}

impl Drop for Connecting {
    fn drop(&mut self) {
        self.0.is_over.set(true);
        if let Some(Ok(end)) = self.0.result.take() {
            end.close();
        }
    }
}
