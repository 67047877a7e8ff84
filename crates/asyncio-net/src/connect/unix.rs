//! Connecting to a Unix socket.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use asyncio_loop::Source;
use asyncio_task::sleep;
use socket2::{Domain, Socket, Type};

use super::attempt::connect_socket;
use crate::address::Address;
use crate::error::explain;
use crate::io::{Io, SocketStream};
use crate::network::Network;

/// The longest pause before a client tries again to connect to a server whose backlog is full.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

pub(super) async fn connect(network: &Network, address: Address) -> io::Result<Io> {
    let name = |error| explain(error, format_args!("cannot connect to {address}"));
    if let Some(sockets) = network.sockets() {
        let stream = sockets.connect(&address, None).await.map_err(name)?;
        return Ok(Io::simulated(network.event_loop(), stream));
    }
    let source = connect_waiting_for_backlog(network, &address).await.map_err(name)?;
    Ok(SocketStream::from_source(source, Some(address)).into())
}

/// Connects, and waits while the server's backlog is full. A blocking `connect` would wait. A
/// non-blocking one fails, and the system does not signal when there is room.
async fn connect_waiting_for_backlog(
    network: &Network,
    address: &Address,
) -> io::Result<Source<OwnedFd>> {
    let system_address = address.to_sock_addr()?;
    let mut pause = Duration::from_millis(1);
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match connect_socket(network.event_loop(), socket, &system_address).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            connected => return connected,
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
