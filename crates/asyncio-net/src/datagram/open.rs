//! The socket of a datagram endpoint.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use socket2::{Domain, Type};

use super::address::pairs;
use super::endpoint::Opened;
use super::medium::Opening;
use super::options::Options;
use super::socket::Socket;
use crate::address::Address;
use crate::error::explain;
use crate::network::Network;
use crate::socket_file::{InUse, SocketFile, bind};
use crate::sockets::{DatagramOptions, Sockets};

/// Takes the given socket, or makes one for the first pair of addresses for which that works.
pub(super) async fn open(network: &Rc<Network>, mut options: Options) -> io::Result<Opened> {
    if let Some(socket) = options.socket.take() {
        return adopt(socket, &options);
    }
    if !options.has_address() {
        return Err(invalid("a datagram endpoint needs an address, a family or a socket"));
    }
    let mut refused = None;
    for (local, remote) in pairs(network.event_loop(), &options).await? {
        let made = match network.sockets() {
            Some(sockets) => simulate(&*sockets, local.as_ref(), remote, &options),
            None => make(local.as_ref(), remote, &options),
        };
        match made {
            Ok(opened) => return Ok(opened),
            Err(error) => refused = Some(refused.unwrap_or(error)),
        }
    }
    Err(refused.unwrap_or_else(|| invalid("no address family in common")))
}

fn adopt(socket: OwnedFd, options: &Options) -> io::Result<Opened> {
    if options.has_those_of_a_new_socket() {
        return Err(invalid("options of a new socket given together with a socket"));
    }
    let socket = Socket::adopt(socket)?;
    let peer = socket.peer();
    let socket = Opening::System(socket);
    let (limit, descriptors) = (options.limit, options.descriptors);
    Ok(Opened { socket, file: None, peer, destination: None, limit, descriptors })
}

fn make(local: Option<&Address>, remote: Option<Address>, options: &Options) -> io::Result<Opened> {
    let domain = match local.or(remote.as_ref()) {
        Some(Address::Inet(address)) => Domain::for_address(*address),
        Some(_) => Domain::UNIX,
        None => options.domain(),
    };
    let socket = socket2::Socket::new(domain, Type::DGRAM, None)
        .map_err(|error| unnamed(error, local, remote.as_ref()))?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if options.allow_broadcast {
        socket.set_broadcast(true)?;
    }
    let mut file = None;
    if let Some(local) = local {
        let in_use = InUse::replaced_if(options.replace_socket);
        bind(&socket, local, in_use).map_err(|error| named("bind to", local, error))?;
        if options.cleanup_socket {
            file = SocketFile::of(local)?;
        }
    }
    // Many hosts answer a broadcast, so the socket is not connected.
    let (peer, destination) = if options.allow_broadcast { (None, remote) } else { (remote, None) };
    if let Some(peer) = &peer {
        let connected = peer.to_sock_addr().and_then(|address| socket.connect(&address));
        connected.map_err(|error| named("connect to", peer, error))?;
    }
    socket.set_nonblocking(true)?;
    let socket = Opening::System(Socket::adopt(socket.into())?);
    let (limit, descriptors) = (options.limit, options.descriptors);
    Ok(Opened { socket, file, peer, destination, limit, descriptors })
}

/// As [`make`], on a simulated network.
fn simulate(
    sockets: &dyn Sockets,
    local: Option<&Address>,
    remote: Option<Address>,
    options: &Options,
) -> io::Result<Opened> {
    let (peer, destination) = if options.allow_broadcast { (None, remote) } else { (remote, None) };
    let how = DatagramOptions {
        broadcast: options.allow_broadcast,
        reuse_port: options.reuse_port,
        replace: options.replace_socket,
        inet6: options.domain() == Domain::IPV6,
    };
    let made = sockets.datagrams(local, peer.as_ref(), how);
    let socket = made.map_err(|error| unnamed(error, local, peer.as_ref()))?;
    let (limit, descriptors) = (options.limit, options.descriptors);
    let socket = Opening::Simulated(socket);
    Ok(Opened { socket, file: None, peer, destination, limit, descriptors })
}

/// Names both addresses in an error that does not say which of them caused it.
fn unnamed(error: io::Error, local: Option<&Address>, remote: Option<&Address>) -> io::Error {
    match (local, remote) {
        (Some(local), _) => named("bind to", local, error),
        (None, Some(remote)) => named("connect to", remote, error),
        (None, None) => error,
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn named(what: &str, address: &Address, error: io::Error) -> io::Error {
    explain(error, format_args!("cannot {what} {address}"))
}
