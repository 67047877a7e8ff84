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
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::Protocol for Echo {
/// #     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// use asyncio_net::{ConnectOptions, create_connection_with, create_server};
///
/// asyncio_task::run(async {
///     let server = create_server("127.0.0.1:0", || Echo).await?;
///     let options = ConnectOptions::new().local_addr("127.0.0.1:0");
///     let transport = create_connection_with(server.local_addr()?, || Echo, options).await?;
///     assert!(transport.local_addr().unwrap().ip().is_loopback());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
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
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use asyncio_net::{BufferedProtocol, Transport, create_buffered_connection, start_server};
///
/// struct Fill {
///     buffer: [u8; 16],
///     total: Rc<Cell<usize>>,
/// }
///
/// impl BufferedProtocol for Fill {
///     fn get_buffer(&mut self, _size_hint: usize) -> &mut [u8] {
///         &mut self.buffer
///     }
///     fn buffer_updated(&mut self, _: &Transport, count: usize) {
///         self.total.set(self.total.get() + count);
///     }
/// }
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |_, writer| writer.write(&[0; 100])).await?;
///     let total = Rc::new(Cell::new(0));
///     let protocol = Fill { buffer: [0; 16], total: total.clone() };
///     create_buffered_connection(server.local_addr()?, || protocol).await?;
///     server.close();
///     server.wait_closed().await;
///     while total.get() < 100 {
///         asyncio_task::yield_now().await;
///     }
///     assert_eq!(total.get(), 100);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
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
///
/// # Examples
///
/// ```
/// # struct Echo;
/// # impl asyncio_net::Protocol for Echo {
/// #     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{connect_accepted_socket, open_connection};
///
/// asyncio_task::run(async {
///     let (accepted, theirs) = UnixStream::pair()?;
///     connect_accepted_socket(accepted, || Echo)?;
///     let (mut reader, writer) = open_connection(theirs).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
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
/// Keep the writer for as long as you read: dropping it closes the connection, and `let (reader, _) = …` drops it
/// at once; `_writer` does not.
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
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_net::{ConnectOptions, open_connection_with, start_server};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |_, writer| writer.write(b"hello\n")).await?;
///     let options = ConnectOptions::new().happy_eyeballs_delay(Duration::from_millis(250)).limit(1024);
///     let (mut reader, _writer) = open_connection_with(server.local_addr()?, options).await?;
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
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
