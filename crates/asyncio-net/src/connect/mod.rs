//! Connecting.

mod attempt;
mod options;
mod race;
mod target;

use std::io;
use std::rc::Rc;

pub use self::options::ConnectOptions;
pub use self::race::ConnectErrors;
pub use self::target::{ClientAddress, ConnectedSocket};

pub(crate) use self::attempt::connect_socket;
use crate::connection::{KEPT, Opened};
use crate::network::Network;
use crate::protocol::{BufferedProtocol, Protocol};
use crate::stream::{StreamReader, StreamWriter};
use crate::transport::{Lent, Own, Receiver, Transport};

/// Connects to `address` and hands the connection to the protocol that `factory` makes.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or whatever can be one, or a socket that is connected already.
/// The protocol has been told of the connection when this returns.
///
/// # Errors
///
/// When the name cannot be resolved; when none of its addresses connects, with [`ConnectErrors`] inside.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropping it closes the socket.
///
/// # From asyncio
///
/// `loop.create_connection`. It returns the transport; to reach the protocol as well, give it
/// an `Rc<RefCell<_>>` of yours. The keyword arguments are [`ConnectOptions`], for
/// [`create_connection_with`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, create_connection, create_server};
///
/// struct Quiet;
///
/// impl Protocol for Quiet {
///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
/// }
///
/// asyncio_task::run(async {
///     let server = create_server("127.0.0.1:0", || Quiet).await?;
///     let transport = create_connection(server.local_addr()?, || Quiet).await?;
///     assert_eq!(transport.peer_addr(), server.local_addr().ok());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_connection<P: Protocol + 'static>(
    address: impl Into<ClientAddress>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    create_connection_with(address, factory, ConnectOptions::new()).await
}

/// [`create_connection`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Cancel safety
///
/// As there.
pub async fn create_connection_with<P: Protocol + 'static>(
    address: impl Into<ClientAddress>,
    factory: impl FnOnce() -> P,
    options: ConnectOptions,
) -> io::Result<Transport> {
    let network = Network::running();
    let opened = open(&network, address.into(), &options).await?;
    start(opened, Box::new(Lent(factory())))
}

/// [`create_connection`] for a protocol that brings its own buffer.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Cancel safety
///
/// As there.
pub async fn create_buffered_connection<P: BufferedProtocol + 'static>(
    address: impl Into<ClientAddress>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let network = Network::running();
    let opened = open(&network, address.into(), &ConnectOptions::new()).await?;
    start(opened, Box::new(Own(factory())))
}

/// Hands a socket that was accepted elsewhere, on another thread perhaps, to the protocol that `factory` makes.
///
/// # Errors
///
/// The system's, if the socket is of no use.
///
/// # Panics
///
/// Where no loop runs.
pub fn connect_accepted_socket<P: Protocol + 'static>(
    socket: impl Into<ConnectedSocket>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let opened = socket.into().open(&Network::running())?;
    start(opened, Box::new(Lent(factory())))
}

/// Connects to `address`.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or whatever can be one, or a socket that is connected already.
///
/// # Errors
///
/// When the name cannot be resolved; when none of its addresses connects, with [`ConnectErrors`] inside.
///
/// # Panics
///
/// Where no loop runs.
///
/// # Cancel safety
///
/// Dropping it closes the socket.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let (mut reader, writer) = asyncio_net::open_connection("example.org:80").await?;
/// writer.write(b"HEAD / HTTP/1.0\r\n\r\n");
/// while let Some(line) = reader.next_line().await? {
///     print!("{}", String::from_utf8_lossy(&line));
/// }
/// # Ok(())
/// # }
/// ```
pub async fn open_connection(
    address: impl Into<ClientAddress>,
) -> io::Result<(StreamReader, StreamWriter)> {
    open_connection_with(address, ConnectOptions::new()).await
}

/// [`open_connection`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Cancel safety
///
/// As there.
pub async fn open_connection_with(
    address: impl Into<ClientAddress>,
    options: ConnectOptions,
) -> io::Result<(StreamReader, StreamWriter)> {
    let network = Network::running();
    let opened = open(&network, address.into(), &options).await?;
    Ok(opened.into_streams(options.limit))
}

async fn open(
    network: &Rc<Network>,
    address: ClientAddress,
    options: &ConnectOptions,
) -> io::Result<Opened> {
    match address {
        ClientAddress::Endpoint(endpoint) => race::connect(network, &endpoint, options).await,
        ClientAddress::Socket(socket) => socket.open(network),
    }
}

/// Tells the protocol and starts to receive.
pub(crate) fn start(opened: Opened, receiver: Box<dyn Receiver>) -> io::Result<Transport> {
    opened.connection.set(KEPT);
    opened.connection.start(receiver).map_err(io::Error::other)?;
    Ok(Transport(opened.connection))
}
