//! The network as one host sees it.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use asyncio_net::Address;
use asyncio_net::machinery::{
    DatagramOptions, Datagrams, Incoming, ListenOptions, OpeningStream, Sockets,
};

use super::tcp::Tcp;
use super::udp::Udp;
use super::wire::{HostId, Wire};

/// The state that all hosts share.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) wire: Rc<Wire>,
    pub(super) tcp: Rc<Tcp>,
    pub(super) udp: Rc<Udp>,
}

impl Net {
    pub(super) fn new(wire: Rc<Wire>) -> Self {
        let (tcp, udp) = (Tcp::new(&wire), Udp::new(&wire));
        Self { wire, tcp, udp }
    }

    /// Ends the sockets of a host: its peers get resets, or nothing.
    pub(super) fn end_host(&self, host: HostId, silently: bool) {
        self.tcp.end_host(host, silently);
        self.udp.end_host(host);
    }

    pub(super) fn end(&self) {
        self.tcp.end();
        self.udp.end();
        self.wire.agenda().clear();
    }
}

/// The sockets of a host, for one run of its program.
#[derive(Debug)]
pub(super) struct HostSockets {
    net: Net,
    host: HostId,
    is_over: Cell<bool>,
}

impl HostSockets {
    pub(super) fn new(net: &Net, host: HostId) -> Rc<Self> {
        Rc::new(Self { net: net.clone(), host, is_over: Cell::new(false) })
    }

    /// Whether the program has ended. Its destructors can open no sockets then.
    pub(super) fn end(&self) {
        self.is_over.set(true);
    }

    fn check(&self) -> io::Result<()> {
        let text = "the host has stopped";
        if self.is_over.get() { Err(io::Error::new(ErrorKind::NetworkDown, text)) } else { Ok(()) }
    }
}

impl Sockets for HostSockets {
    fn resolve(&self, host: &str) -> io::Result<(Vec<IpAddr>, String)> {
        self.check()?;
        if host == "localhost" {
            return Ok((vec![Ipv4Addr::LOCALHOST.into()], host.to_owned()));
        }
        let found = self.net.wire.host_named(host);
        let unknown = || io::Error::new(ErrorKind::NotFound, "the network has no such host");
        let ip = self.net.wire.host(found.ok_or_else(unknown)?).ip;
        Ok((vec![ip.into()], host.to_owned()))
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        if address.is_loopback() {
            return Some("localhost".to_owned());
        }
        let host = self.net.wire.host_at(self.host, address)?;
        Some(self.net.wire.host(host).name.to_string())
    }

    fn connect(&self, to: &Address, local: Option<SocketAddr>) -> OpeningStream {
        let connecting = self.check().and_then(|()| self.net.tcp.connect(self.host, to, local));
        Box::pin(async move { connecting?.await })
    }

    fn listen(&self, at: &Address, options: ListenOptions) -> io::Result<Rc<dyn Incoming>> {
        self.check()?;
        self.net.tcp.listen(self.host, at, options)
    }

    fn datagrams(
        &self,
        local: Option<&Address>,
        remote: Option<&Address>,
        options: DatagramOptions,
    ) -> io::Result<Rc<dyn Datagrams>> {
        self.check()?;
        self.net.udp.open(self.host, local, remote, options)
    }
}
