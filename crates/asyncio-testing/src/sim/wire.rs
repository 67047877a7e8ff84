//! The state that all sockets of a network share: hosts with their addresses, links, and the
//! agenda.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

use asyncio_loop::{LoopRef, LoopTime};

use super::agenda::Agenda;
use super::link::{Link, Traits};
use crate::conductor::Conductor;
use crate::rng::mix;

/// The number of a host, from 0 in order of creation.
pub(super) type HostId = usize;

#[derive(Debug)]
pub(super) struct Wire {
    conductor: Rc<Conductor>,
    /// The loop of the test, whose clock is the network's.
    main: LoopRef,
    agenda: Agenda,
    hosts: RefCell<Vec<Rc<Station>>>,
    links: RefCell<BTreeMap<(HostId, HostId), Rc<Link>>>,
    /// The properties of unchanged links.
    usual: Cell<Traits>,
    window: Cell<usize>,
    seed: u64,
}

/// A host as others see it.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) name: Rc<str>,
    pub(super) ip: Ipv4Addr,
    /// Whether the host has no power and does not answer.
    pub(super) is_off: Cell<bool>,
    /// The next port to give to a socket that asks for none.
    port: Cell<u16>,
}

/// The ephemeral ports of Linux.
const EPHEMERAL: std::ops::Range<u16> = 32768..60999;
/// How many bytes of a connection may be in transit or unread.
const WINDOW: usize = 256 * 1024;

impl Wire {
    pub(super) fn new(conductor: Rc<Conductor>, main: LoopRef, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            conductor,
            main,
            agenda: Agenda::default(),
            hosts: RefCell::default(),
            links: RefCell::default(),
            usual: Cell::default(),
            window: Cell::new(WINDOW),
            seed,
        })
    }

    pub(super) fn conductor(&self) -> &Rc<Conductor> {
        &self.conductor
    }

    pub(super) fn agenda(&self) -> &Agenda {
        &self.agenda
    }

    pub(super) fn now(&self) -> LoopTime {
        self.main.time()
    }

    pub(super) fn window(&self) -> usize {
        self.window.get()
    }

    pub(super) fn set_window(&self, bytes: usize) {
        self.window.set(bytes);
    }

    /// Adds a host. Returns its number.
    pub(super) fn add_host(&self, name: &str) -> HostId {
        let mut hosts = self.hosts.borrow_mut();
        let id = hosts.len();
        // The address 10.0.0.255 is the broadcast address.
        assert!(id < 254, "a network has at most 254 hosts");
        let last = id as u8 + 1;
        hosts.push(Rc::new(Station {
            name: name.into(),
            ip: Ipv4Addr::new(10, 0, 0, last),
            is_off: Cell::new(false),
            port: Cell::new(EPHEMERAL.start),
        }));
        id
    }

    pub(super) fn host(&self, id: HostId) -> Rc<Station> {
        Rc::clone(&self.hosts.borrow()[id])
    }

    pub(super) fn host_count(&self) -> usize {
        self.hosts.borrow().len()
    }

    pub(super) fn host_named(&self, name: &str) -> Option<HostId> {
        self.hosts.borrow().iter().position(|host| *host.name == *name)
    }

    /// The host that an address leads to, as seen from `from`.
    pub(super) fn host_at(&self, from: HostId, ip: IpAddr) -> Option<HostId> {
        match ip {
            IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => Some(from),
            IpAddr::V4(ip) => self.hosts.borrow().iter().position(|host| host.ip == ip),
            IpAddr::V6(_) => None,
        }
    }

    pub(super) fn is_off(&self, id: HostId) -> bool {
        self.hosts.borrow()[id].is_off.get()
    }

    /// A free port, the one least recently assigned.
    pub(super) fn next_port(&self, id: HostId, is_taken: impl Fn(u16) -> bool) -> Option<u16> {
        let host = self.host(id);
        for _ in EPHEMERAL {
            let port = host.port.get();
            host.port.set(if port + 1 < EPHEMERAL.end { port + 1 } else { EPHEMERAL.start });
            if !is_taken(port) {
                return Some(port);
            }
        }
        None
    }

    /// The link from one host to another.
    pub(super) fn link(&self, from: HostId, to: HostId) -> Rc<Link> {
        let make = || match from == to {
            true => Rc::new(Link::loopback()),
            false => {
                let number = (from as u64) << 32 | to as u64;
                Rc::new(Link::new(self.usual.get(), mix(self.seed ^ mix(number + 1))))
            }
        };
        Rc::clone(self.links.borrow_mut().entry((from, to)).or_insert_with(make))
    }

    /// Changes the properties of all links, including later ones.
    pub(super) fn change_all(&self, change: impl Fn(&mut Traits)) {
        let mut usual = self.usual.get();
        change(&mut usual);
        self.usual.set(usual);
        let links = self.links.borrow();
        links.values().filter(|link| !link.is_loopback()).for_each(|link| link.change(&change));
    }

    /// Lets all packets through again.
    pub(super) fn heal(&self) {
        self.links.borrow().values().for_each(|link| link.set_cut(false));
    }
}
