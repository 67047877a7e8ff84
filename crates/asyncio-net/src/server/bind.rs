//! Makes listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Socket, Type};

use super::options::Options;
use crate::error::explain;

/// Makes a socket for each address, or none if one fails.
///
/// An address that this machine does not have is skipped, as long as another one works.
pub(super) fn listen_on<L>(
    addresses: &[SocketAddr],
    listen: impl Fn(SocketAddr) -> io::Result<L>,
) -> io::Result<Vec<L>> {
    let mut listeners = Vec::new();
    let mut missing = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        if addresses[..index].contains(address) {
            continue;
        }
        match listen(*address) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_missing(&error) => missing.push((address, error)),
            Err(error) => return Err(explain(error, format_args!("cannot listen on {address}"))),
        }
    }
    if !listeners.is_empty() {
        return Ok(listeners);
    }
    let kind = missing.first().map_or(io::ErrorKind::InvalidInput, |(_, error)| error.kind());
    let texts: Vec<_> = missing.iter().map(|(at, error)| format!("{at}: {error}")).collect();
    Err(io::Error::new(kind, format!("no address to listen on: {}", texts.join("; "))))
}

/// Whether the machine lacks the address, or its whole family.
fn is_missing(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

/// Makes a listening socket of the system.
pub(super) fn listen(address: SocketAddr, options: &Options) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if options.reuse_address {
        socket.set_reuse_address(true)?;
    }
    if options.reuse_port {
        set_reuse_port(&socket)?;
    }
    if options.keep_alive {
        socket.set_keepalive(true)?;
    }
    if address.is_ipv6() {
        socket.set_only_v6(options.ipv6_only)?;
    }
    // Accepted sockets inherit the option.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket.into())
}

#[cfg(unix)]
fn set_reuse_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn set_reuse_port(_: &Socket) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "reuse_port is not supported by this system"))
}
