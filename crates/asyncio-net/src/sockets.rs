//! The interface of a simulated network, from which a loop gets its sockets instead of from the
//! system.
//!
//! The crate asks for it where sockets are made and names are resolved, and nowhere else: its
//! streams are [`ByteStream`]s, like those of users. A loop without a simulated network makes the
//! system's sockets.

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

/// A connection that is being opened.
pub type OpeningStream = Pin<Box<dyn Future<Output = io::Result<Box<dyn ByteStream>>>>>;

/// Makes sockets, and knows the names of hosts.
pub trait Sockets {
    /// Returns the addresses of a host, and its full name. Numeric hosts are not passed to this.
    ///
    /// # Errors
    ///
    /// If there is no such host.
    fn resolve(&self, host: &str) -> io::Result<(Vec<IpAddr>, String)>;

    /// Returns the name of the host with this address.
    fn name_of(&self, address: IpAddr) -> Option<String>;

    /// Connects a stream socket, bound to `local` if that is given.
    fn connect(&self, to: &Address, local: Option<SocketAddr>) -> OpeningStream;

    /// Makes a listening stream socket.
    ///
    /// # Errors
    ///
    /// The errors of `bind` and `listen`.
    fn listen(&self, at: &Address, options: ListenOptions) -> io::Result<Rc<dyn Incoming>>;

    /// Makes a datagram socket, bound to `local`, and connected to `remote`, if they are given.
    ///
    /// # Errors
    ///
    /// The errors of `bind` and `connect`.
    fn datagrams(
        &self,
        local: Option<&Address>,
        remote: Option<&Address>,
        options: DatagramOptions,
    ) -> io::Result<Rc<dyn Datagrams>>;
}

/// Options of a listening socket.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// How many connections wait to be accepted.
    pub backlog: u32,
    /// Whether several sockets may listen at the address.
    pub reuse_port: bool,
    /// Whether a Unix socket replaces another one.
    pub replace: bool,
}

/// Options of a datagram socket.
#[derive(Clone, Copy, Debug)]
pub struct DatagramOptions {
    /// Whether the socket may send to broadcast addresses.
    pub broadcast: bool,
    /// Whether several sockets may be bound to the address.
    pub reuse_port: bool,
    /// Whether a Unix socket replaces another one.
    pub replace: bool,
    /// Whether the socket's family is IPv6, if no address determines the family.
    pub inet6: bool,
}

/// A listening socket.
pub trait Incoming {
    /// Polls for the next connection; `None` when the socket is closed.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<Option<Box<dyn ByteStream>>>;

    /// The address that the socket listens on.
    fn address(&self) -> Address;

    /// Closes the socket, and wakes a task that waits for a connection.
    fn close(&self);
}

/// A datagram socket.
pub trait Datagrams {
    /// Polls for the next datagram. Returns its full length, even if only its beginning fits into
    /// the buffer, and its sender.
    ///
    /// # Errors
    ///
    /// The error that an earlier datagram of this socket caused.
    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<(usize, Address)>>;

    /// Sends a datagram to `address`, or without one to the connected peer.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room for now, and the errors of
    /// `sendto`.
    fn try_send(&self, data: &[u8], to: Option<&Address>) -> io::Result<()>;

    /// Waits until [`try_send`](Self::try_send) may succeed.
    ///
    /// # Errors
    ///
    /// If waiting is not possible.
    fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// The address that the socket is bound to.
    fn local(&self) -> Option<Address>;

    /// Closes the socket.
    fn close(&self);
}

/// Makes the loop take its sockets from `sockets` from now on.
pub fn set_sockets(event_loop: &LoopRef, sockets: Rc<dyn Sockets>) {
    Network::of(event_loop).set_sockets(sockets);
}
