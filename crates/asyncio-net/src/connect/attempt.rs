//! Connecting to one address.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use asyncio_loop::{Direction, LoopRef, Source};
use rustix::net::sockopt;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::address::Address;
use crate::error::explain;
use crate::io::SocketStream;
use crate::network::Network;

/// Connects to `address`, from one of `local` if there are any.
pub(super) async fn connect(
    network: &Rc<Network>,
    address: SocketAddr,
    local: &[SocketAddr],
) -> io::Result<SocketStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if !local.is_empty() {
        bind(&socket, address, local)?;
    }
    socket.set_tcp_nodelay(true)?;
    let source = connect_socket(network.event_loop(), socket, &address.into()).await?;
    Ok(SocketStream::from_source(source, Some(Address::Inet(address))))
}

/// Connects a new socket.
pub(crate) async fn connect_socket(
    event_loop: &LoopRef,
    socket: Socket,
    address: &SockAddr,
) -> io::Result<Source<OwnedFd>> {
    // One system call; `set_nonblocking` of socket2 makes two.
    rustix::io::ioctl_fionbio(&socket, true)?;
    let connecting = match socket.connect(address) {
        Ok(()) => false,
        Err(error) if is_in_progress(&error) => true,
        Err(error) => return Err(error),
    };
    let source = Source::new(event_loop, OwnedFd::from(socket));
    if connecting {
        source.clear_ready(Direction::Write);
        source.ready(Direction::Write).await?;
        sockopt::socket_error(source.get_ref())??;
    }
    Ok(source)
}

/// Whether the error says that the system connects in the background. `WouldBlock` has another
/// meaning: the backlog of a Unix server is full.
fn is_in_progress(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error())
}

/// Binds to the first address of `local` that has the family of `address` and can be bound.
fn bind(socket: &Socket, address: SocketAddr, local: &[SocketAddr]) -> io::Result<()> {
    let mut refused = None;
    for local in local.iter().filter(|local| local.is_ipv4() == address.is_ipv4()) {
        match socket.bind(&(*local).into()) {
            Ok(()) => return Ok(()),
            Err(error) => {
                refused = Some(explain(error, format_args!("cannot bind to {local}")));
            }
        }
    }
    let none = || io::Error::new(io::ErrorKind::InvalidInput, "no local address of its family");
    Err(refused.unwrap_or_else(none))
}
