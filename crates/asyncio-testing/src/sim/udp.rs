//! Datagrams.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::LoopWaker;
use asyncio_net::Address;
use asyncio_net::machinery::{DatagramOptions, Datagrams};

use super::tcp::{check_own, covers};
use super::wire::{HostId, Wire};

/// The maximum payload of a datagram over IPv4.
const LONGEST: usize = 65507;
/// How many bytes may wait to be received; more are dropped. As in Linux (`rmem_default`).
const ROOM: usize = 212_992;

/// All datagram sockets of a network.
#[derive(Debug)]
pub(super) struct Udp {
    wire: Rc<Wire>,
    sockets: RefCell<Vec<Rc<Socket>>>,
}

struct Socket {
    udp: Weak<Udp>,
    host: HostId,
    local: Address,
    peer: Option<Address>,
    broadcast: bool,
    reuse_port: bool,
    inbox: RefCell<VecDeque<(Rc<[u8]>, Address)>>,
    size: Cell<usize>,
    failure: Cell<Option<ErrorKind>>,
    reader: Cell<Option<LoopWaker>>,
    /// Unix sockets that wait for room here.
    writers: RefCell<Vec<LoopWaker>>,
    /// The Unix socket that had no room for this socket's last datagram.
    full: RefCell<Weak<Socket>>,
}

impl Udp {
    pub(super) fn new(wire: &Rc<Wire>) -> Rc<Self> {
        Rc::new(Self { wire: Rc::clone(wire), sockets: RefCell::default() })
    }

    pub(super) fn open(
        self: &Rc<Self>,
        host: HostId,
        local: Option<&Address>,
        peer: Option<&Address>,
        options: DatagramOptions,
    ) -> io::Result<Rc<dyn Datagrams>> {
        if local.or(peer).is_none() && options.inet6 {
            return Err(ErrorKind::AddrNotAvailable.into());
        }
        let local = match (local, peer) {
            (Some(Address::Inet(local)), _) => self.inet(host, *local, peer, options)?,
            (Some(name), _) => self.named(host, name, options.replace)?,
            (None, Some(Address::Inet(_)) | None) => {
                let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0);
                self.inet(host, any, peer, options)?
            }
            (None, Some(_)) => Address::Unnamed,
        };
        if let Some(name) = peer.filter(|peer| !matches!(peer, Address::Inet(_))) {
            self.unix_socket(host, name)?;
        }
        let socket = Rc::new(Socket {
            udp: Rc::downgrade(self),
            host,
            local,
            peer: peer.cloned(),
            broadcast: options.broadcast,
            reuse_port: options.reuse_port,
            inbox: RefCell::default(),
            size: Cell::default(),
            failure: Cell::default(),
            reader: Cell::default(),
            writers: RefCell::default(),
            full: RefCell::default(),
        });
        self.sockets.borrow_mut().push(Rc::clone(&socket));
        Ok(socket)
    }

    /// The address to bind a socket to that asks for `wanted`.
    fn inet(
        &self,
        host: HostId,
        wanted: SocketAddr,
        peer: Option<&Address>,
        options: DatagramOptions,
    ) -> io::Result<Address> {
        check_own(&self.wire, host, wanted.ip())?;
        let mut ip = wanted.ip();
        if let (true, Some(Address::Inet(peer))) = (ip.is_unspecified(), peer) {
            // A connected socket has the source address of the route.
            let is_loopback = peer.ip().is_loopback();
            ip = if is_loopback { Ipv4Addr::LOCALHOST } else { self.wire.host(host).ip }.into();
        }
        let is_taken = |port: u16, reuse: bool| {
            let address = SocketAddr::new(ip, port);
            self.sockets.borrow().iter().any(|it| {
                let overlaps = it.local.as_inet().is_some_and(|local| covers(local, address));
                it.host == host && overlaps && !(reuse && it.reuse_port)
            })
        };
        let port = match wanted.port() {
            0 => self.wire.next_port(host, |port| is_taken(port, false)),
            port => Some(port).filter(|port| !is_taken(*port, options.reuse_port)),
        };
        Ok(Address::Inet(SocketAddr::new(ip, port.ok_or(ErrorKind::AddrInUse)?)))
    }

    fn named(&self, host: HostId, name: &Address, replace: bool) -> io::Result<Address> {
        let is_there = |it: &Rc<Socket>| it.host == host && it.local == *name;
        let mut sockets = self.sockets.borrow_mut();
        if sockets.iter().any(is_there) {
            if !replace {
                return Err(ErrorKind::AddrInUse.into());
            }
            sockets.retain(|it| !is_there(it));
        }
        Ok(name.clone())
    }

    fn unix_socket(&self, host: HostId, name: &Address) -> io::Result<Rc<Socket>> {
        let sockets = self.sockets.borrow();
        let found = sockets.iter().find(|it| it.host == host && it.local == *name);
        Ok(Rc::clone(found.ok_or(ErrorKind::NotFound)?))
    }

    /// The socket that receives datagrams from `from` to `to`; if several share the address, one of
    /// them.
    fn receiver(&self, host: HostId, from: SocketAddr, to: SocketAddr) -> Option<Rc<Socket>> {
        let sockets = self.sockets.borrow();
        let is_for = |it: &&Rc<Socket>| {
            let is_here = it.local.as_inet().is_some_and(|local| covers(local, to));
            let is_theirs = it.peer.as_ref().is_none_or(|peer| *peer == Address::Inet(from));
            it.host == host && is_here && is_theirs
        };
        // A connected socket takes precedence over an unconnected one.
        sockets.iter().filter(is_for).max_by_key(|it| it.peer.is_some()).cloned()
    }

    pub(super) fn end_host(&self, host: HostId) {
        self.sockets.borrow_mut().retain(|it| it.host != host);
    }

    pub(super) fn end(&self) {
        let sockets = self.sockets.take();
        drop(sockets);
    }

    fn send(self: &Rc<Self>, socket: &Socket, data: &[u8], to: SocketAddr) -> io::Result<()> {
        if data.len() > LONGEST {
            return Err(io::Error::new(ErrorKind::InvalidInput, "message too long"));
        }
        let data: Rc<[u8]> = data.into();
        if is_broadcast(to.ip()) {
            if !socket.broadcast {
                return Err(ErrorKind::PermissionDenied.into());
            }
            for host in (0..self.wire.host_count()).filter(|host| *host != socket.host) {
                self.send_to_host(socket, &data, (host, to));
            }
        } else if let Some(host) = self.wire.host_at(socket.host, to.ip()) {
            self.send_to_host(socket, &data, (host, to));
        }
        Ok(())
    }

    /// Sends a datagram, which may be lost, duplicated or late.
    fn send_to_host(
        self: &Rc<Self>,
        socket: &Socket,
        data: &Rc<[u8]>,
        (host, to): (HostId, SocketAddr),
    ) {
        let from = self.sender(socket, host, to);
        let link = self.wire.link(socket.host, host);
        let (traits, conductor) = (link.traits(), self.wire.conductor());
        let words = |what: &str| format!("a datagram {from} -> {to} {what}");
        if !link.carries() || conductor.fault(traits.loss, || words("is lost")) {
            return;
        }
        let again = conductor.fault(traits.duplicate, || words("comes twice"));
        for _ in 0..1 + usize::from(again) {
            let mut arrival = link.arrival(self.wire.now(), data.len());
            if conductor.fault(traits.reorder, || words("is late")) {
                let slow = 4 * (traits.latency + traits.spread) + Duration::from_millis(1);
                arrival += link.draw(slow);
            }
            let (this, data) = (Rc::clone(self), Rc::clone(data));
            let way = (socket.host, host);
            self.wire.agenda().at(arrival, move || this.arrive(way, from, to, data));
        }
    }

    /// The address that the receiver sees.
    fn sender(&self, socket: &Socket, host: HostId, to: SocketAddr) -> SocketAddr {
        let local = socket.local.as_inet().unwrap_or(to);
        if !local.ip().is_unspecified() {
            return local;
        }
        let is_loopback = host == socket.host && !is_broadcast(to.ip()) && to.ip().is_loopback();
        let own = if is_loopback { Ipv4Addr::LOCALHOST } else { self.wire.host(socket.host).ip };
        SocketAddr::new(own.into(), local.port())
    }

    fn arrive(
        self: &Rc<Self>,
        (there, here): (HostId, HostId),
        from: SocketAddr,
        to: SocketAddr,
        data: Rc<[u8]>,
    ) {
        if !self.wire.link(there, here).carries() || self.wire.is_off(here) {
            return;
        }
        let at = match is_broadcast(to.ip()) || to.ip().is_unspecified() {
            true => SocketAddr::new(self.wire.host(here).ip.into(), to.port()),
            false => to,
        };
        match self.receiver(here, from, at) {
            Some(socket) => socket.receive(data, Address::Inet(from)),
            None if is_broadcast(to.ip()) => {}
            None => self.refuse((here, there), from, to),
        }
    }

    /// There is no receiver. A connected socket gets the error.
    fn refuse(self: &Rc<Self>, (here, there): (HostId, HostId), from: SocketAddr, to: SocketAddr) {
        let back = self.wire.link(here, there);
        if !back.carries() {
            return;
        }
        let this = Rc::clone(self);
        self.wire.agenda().at(back.arrival(self.wire.now(), 0), move || {
            let receiver = this.receiver(there, to, from).filter(|_| back.carries());
            if let Some(socket) = receiver.filter(|socket| socket.peer.is_some()) {
                socket.failure.set(Some(ErrorKind::ConnectionRefused));
                socket.wake();
            }
        });
    }
}

fn is_broadcast(ip: IpAddr) -> bool {
    ip == Ipv4Addr::BROADCAST || ip == Ipv4Addr::new(10, 0, 0, 255)
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("local", &self.local).finish_non_exhaustive()
    }
}

impl Socket {
    fn has_room(&self, length: usize) -> bool {
        self.size.get() + length <= ROOM || self.inbox.borrow().is_empty()
    }

    fn receive(&self, data: Rc<[u8]>, from: Address) {
        if self.has_room(data.len()) {
            self.size.set(self.size.get() + data.len());
            self.inbox.borrow_mut().push_back((data, from));
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn wake_writers(&self) {
        self.writers.take().into_iter().for_each(LoopWaker::wake);
    }
}

impl Datagrams for Socket {
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Address)>> {
        if let Some(kind) = self.failure.take() {
            return Poll::Ready(Err(kind.into()));
        }
        let next = self.inbox.borrow_mut().pop_front();
        let Some((data, from)) = next else {
            self.reader.set(Some(LoopWaker::from_context(cx)));
            return Poll::Pending;
        };
        self.size.set(self.size.get() - data.len());
        self.wake_writers();
        let count = data.len().min(buffer.len());
        buffer[..count].copy_from_slice(&data[..count]);
        Poll::Ready(Ok((data.len(), from)))
    }

    fn try_send(&self, data: &[u8], to: Option<&Address>) -> io::Result<()> {
        let to = to.or(self.peer.as_ref()).ok_or(ErrorKind::NotConnected)?;
        let udp = self.udp.upgrade().ok_or(ErrorKind::NotConnected)?;
        match to {
            Address::Inet(to) if to.is_ipv4() => udp.send(self, data, *to),
            Address::Inet(_) => Err(ErrorKind::NetworkUnreachable.into()),
            name => {
                let receiver = udp.unix_socket(self.host, name)?;
                if !receiver.has_room(data.len()) {
                    self.full.replace(Rc::downgrade(&receiver));
                    return Err(ErrorKind::WouldBlock.into());
                }
                receiver.receive(data.into(), self.local.clone());
                Ok(())
            }
        }
    }

    /// Datagrams wait at a slow link, so sending never waits; only a Unix socket waits for its
    /// receiver.
    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.full.borrow().upgrade().filter(|full| full.size.get() > 0) {
            Some(full) => {
                full.writers.borrow_mut().push(LoopWaker::from_context(cx));
                Poll::Pending
            }
            None => Poll::Ready(Ok(())),
        }
    }

    fn local(&self) -> Option<Address> {
        Some(self.local.clone())
    }

    fn close(&self) {
        if let Some(udp) = self.udp.upgrade() {
            let this = &raw const *self;
            let mut sockets = udp.sockets.borrow_mut();
            sockets.retain(|it| !std::ptr::eq(Rc::as_ptr(it), this));
            drop(sockets);
            self.wake_writers();
        }
    }
}
