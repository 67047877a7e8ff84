//! Connecting.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use asyncio_loop::{Direction, Source};
use mio::net::TcpStream;

use crate::address::Address;
use crate::connection::Connection;
use crate::endpoint::Endpoint;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::resolve::resolve;
use crate::socket::SocketStream;
use crate::stream::{StreamReader, StreamWriter};
use crate::transport::{Lent, Transport};

/// Connects to `address` and hands the connection to a protocol made by `factory`.
///
/// # Errors
///
/// When the name cannot be resolved, or none of its addresses connects.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropping it closes the socket.
pub async fn create_connection<P: Protocol + 'static>(
    address: impl Into<Endpoint>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let network = Network::running();
    let connection: Rc<Connection> = connect(&network, address.into()).await?;
    connection.start(Box::new(Lent(factory()))).map_err(io::Error::other)?;
    Ok(Transport(connection))
}

/// Connects to `address`.
///
/// # Errors
///
/// When the name cannot be resolved, or none of its addresses connects.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropping it closes the socket.
pub async fn open_connection(
    address: impl Into<Endpoint>,
) -> io::Result<(StreamReader, StreamWriter)> {
    let network = Network::running();
    let connection = connect(&network, address.into()).await?;
    Ok((StreamReader::new(connection.clone()), StreamWriter::new(connection)))
}

async fn connect(
    network: &Rc<Network>,
    endpoint: Endpoint,
) -> io::Result<Rc<Connection<SocketStream<TcpStream>>>> {
    let addresses = resolve(network.event_loop(), &endpoint).await?;
    let mut last = None;
    for address in addresses {
        match connect_to(network, address).await {
            Ok(stream) => return Ok(Connection::new(network, stream)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.expect("the resolver gives an address or an error"))
}

async fn connect_to(
    network: &Rc<Network>,
    address: SocketAddr,
) -> io::Result<SocketStream<TcpStream>> {
    let source = Source::new(network.event_loop(), TcpStream::connect(address)?);
    source.clear_ready(Direction::Write);
    source.ready(Direction::Write).await?;
    if let Some(error) = source.get_ref().take_error()? {
        return Err(io::Error::new(error.kind(), format!("cannot connect to {address}: {error}")));
    }
    source.get_ref().set_nodelay(true)?;
    Ok(SocketStream::from_source(source, Some(Address::Inet(address))))
}
