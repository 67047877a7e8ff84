//! Connecting to a Unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use asyncio_loop::Source;
use asyncio_task::sleep;
use socket2::{Domain, Socket, Type};

use super::attempt::connect_socket;
use crate::address::Address;
use crate::io::{Io, SocketStream};
use crate::network::Network;

/// The longest pause before a client asks a server again that has no room for it.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn connect(network: &Network, address: Address) -> io::Result<Io> {
    let name = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"))
    };
    if let Some(sockets) = network.sockets() {
        let stream = sockets.connect(&address, None).await.map_err(name)?;
        return Ok(Io::simulated(network.event_loop(), stream));
    }
    let source = connect_patiently(network, &address).await?;
    Ok(SocketStream::from_source(source, Some(address)).into())
}

/// Connects, and waits while the server's backlog is full. A blocking `connect` would wait for it;
/// a non-blocking one fails, and the system does not tell when to come again.
async fn connect_patiently(network: &Network, address: &Address) -> io::Result<Source<OwnedFd>> {
    let name = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"))
    };
    let system_address = address.to_sock_addr().map_err(name)?;
    let mut pause = Duration::from_millis(1);
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match connect_socket(network.event_loop(), socket, &system_address).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            connected => return connected.map_err(name),
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
