//! Where a loop's sockets come from in place of the system: a simulated network.
//!
//! It is asked for where sockets are made and names are resolved, and nowhere else: its streams are
//! [`ByteStream`]s like those of users. A loop without one makes the system's sockets.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::LoopRef;

use crate::address::Address;
use crate::io::ByteStream;
use crate::network::Network;

/// A connection that opens.
pub type OpeningStream = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>>>>;

/// Makes sockets, and knows the names of hosts.
pub trait Sockets {
    /// The addresses of a host, and its full name. Hosts that are written as numbers do not come
    /// here.
    ///
    /// # Errors
    ///
    /// When there is no such host.
    fn resolve(&self, host: &str) -> io::Result<(Vec<IpAddr>, String)>;

    /// The name of a host with this address.
    fn name_of(&self, address: IpAddr) -> Option<String>;

    /// Connects a stream socket, from `local` if that is given.
    fn connect(&self, to: &Address, local: Option<SocketAddr>) -> OpeningStream;

    /// Makes a stream socket that listens.
    ///
    /// # Errors
    ///
    /// Those of `bind` and `listen`.
    fn listen(&self, at: &Address, options: ListenOptions) -> io::Result<Rc<dyn Incoming>>;

    /// Makes a datagram socket, bound to `local`, and connected to `remote`, if they are given.
    ///
    /// # Errors
    ///
    /// Those of `bind` and `connect`.
    fn datagrams(
        &self,
        local: Option<&Address>,
        remote: Option<&Address>,
        options: DatagramOptions,
    ) -> io::Result<Rc<dyn Datagrams>>;
}

/// Options of a socket that listens.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// How many connections wait to be accepted.
    pub backlog: u32,
    /// Several sockets may listen at the address.
    pub reuse_port: bool,
    /// A Unix socket takes the place of another one.
    pub replace: bool,
}

/// Options of a datagram socket.
#[derive(Clone, Copy, Debug)]
pub struct DatagramOptions {
    /// It may send to the broadcast address.
    pub broadcast: bool,
    /// Several sockets may be bound to the address.
    pub reuse_port: bool,
    /// A Unix socket takes the place of another one.
    pub replace: bool,
    /// It is one of IPv6, if no address says what it is.
    pub inet6: bool,
}

/// A socket that listens.
pub trait Incoming {
    /// The next connection; `None` when the socket is closed.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<Box<dyn ByteStream>>>;

    /// Where it listens.
    fn address(&self) -> Address;

    /// Closes it; a task that waits for a connection is woken.
    fn close(&self);
}

/// A datagram socket.
pub trait Datagrams {
    /// The next datagram: its full length, of which only the beginning may fit into the buffer, and
    /// its sender.
    ///
    /// # Errors
    ///
    /// What a datagram of ours met.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Address)>>;

    /// Sends a datagram; to the connected peer without an address.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) when there is no room for now; those of `sendto`.
    fn try_send(&self, data: &[u8], to: Option<&Address>) -> io::Result<()>;

    /// Waits until [`try_send`](Self::try_send) is worth a try.
    ///
    /// # Errors
    ///
    /// When waiting is not possible.
    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Where it is bound.
    fn local(&self) -> Option<Address>;

    /// Closes it.
    fn close(&self);
}

/// Has the loop take its sockets from `sockets` from now on.
pub fn set_sockets(event_loop: &LoopRef, sockets: Rc<dyn Sockets>) {
    Network::of(event_loop).set_sockets(sockets);
}
