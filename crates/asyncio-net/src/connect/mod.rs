//! Connecting.

mod attempt;
mod builder;
mod options;
mod race;
mod target;
mod unix;

pub use self::builder::Connect;
pub use self::race::ConnectErrors;
pub use self::target::{ClientAddress, ConnectedSocket};

use crate::layer::Accepting;
use crate::protocol::{BufferedProtocol, Protocol};
use crate::stream::{StreamReader, StreamWriter, streams};
use crate::transport::{Lent, Own, Transport, start};

/// Connects to `address`.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or a value that converts into one, a Unix path
/// ([`ClientAddress::unix`]), or a socket that is connected already. The methods of [`Connect`] are
/// the keyword arguments.
///
/// Keep the writer for as long as you read: dropping it closes the connection. `let (reader, _) =
/// …` drops it at once; `let (reader, _writer) = …` does not.
///
/// # Errors
///
/// The errors of [`Connect`].
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
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
#[track_caller]
pub fn open_connection(
    address: impl Into<ClientAddress>,
) -> Connect<'static, (StreamReader, StreamWriter)> {
    Connect::new(address.into(), |connection, options| Ok(streams(connection, options.limit)))
}

/// Connects to `address` and hands the connection to the protocol that `factory` makes.
///
/// `address` is as for [`open_connection`]. `connection_made` has been called when this returns.
/// The methods of [`Connect`] are the keyword arguments.
///
/// # Errors
///
/// The errors of [`Connect`].
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
///
/// # From asyncio
///
/// Only the transport is returned. To reach the protocol as well, make it an `Rc<RefCell<_>>` and
/// keep a clone.
///
/// # Examples
///
/// ```
/// use std::io;
/// use asyncio_net::{Protocol, Transport, create_connection, start_server};
/// use asyncio_task::create_future;
///
/// /// Ends with the greeting of the server.
/// struct Greeted(asyncio_task::Promise<String>);
///
/// impl Protocol for Greeted {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         let _ = self.0.set_result(String::from_utf8_lossy(data).into_owned());
///         transport.close();
///     }
/// }
///
/// asyncio_task::run(async {
///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
///     let server = start_server("127.0.0.1:0", hello).await?;
///     let greeting = create_future();
///     create_connection(server.local_addr()?, || Greeted(greeting.clone())).await?;
///     assert_eq!(greeting.await.unwrap(), "hello");
///     io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn create_connection<'a, P: Protocol + 'static>(
    address: impl Into<ClientAddress>,
    factory: impl FnOnce() -> P + 'a,
) -> Connect<'a, Transport> {
    Connect::new(address.into(), |connection, _| start(connection, Box::new(Lent(factory()))))
}

/// [`create_connection`] for a protocol with its own buffer.
///
/// # Errors
///
/// The errors of [`Connect`].
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
///
/// # Examples
///
/// ```
/// use asyncio_net::{BufferedProtocol, Transport, create_buffered_connection, start_server};
/// use asyncio_task::{Promise, create_future};
///
/// /// Waits for a number of four bytes.
/// struct Number {
///     bytes: [u8; 4],
///     filled: usize,
///     number: Promise<u32>,
/// }
///
/// impl BufferedProtocol for Number {
///     fn get_buffer(&mut self, _size_hint: usize) -> &mut [u8] {
///         &mut self.bytes[self.filled..]
///     }
///     fn buffer_updated(&mut self, transport: &Transport, count: usize) {
///         self.filled += count;
///         if self.filled == 4 {
///             let _ = self.number.set_result(u32::from_be_bytes(self.bytes));
///             transport.close();
///         }
///     }
/// }
///
/// asyncio_task::run(async {
///     let handler = async |_, writer: asyncio_net::StreamWriter| writer.write(&[0, 0, 1, 0]);
///     let server = start_server("127.0.0.1:0", handler).await?;
///     let number = create_future();
///     let protocol = Number { bytes: [0; 4], filled: 0, number: number.clone() };
///     create_buffered_connection(server.local_addr()?, || protocol).await?;
///     assert_eq!(number.await.unwrap(), 256);
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn create_buffered_connection<'a, P: BufferedProtocol + 'static>(
    address: impl Into<ClientAddress>,
    factory: impl FnOnce() -> P + 'a,
) -> Connect<'a, Transport> {
    Connect::new(address.into(), |connection, _| start(connection, Box::new(Own(factory()))))
}

/// Hands a socket that was accepted elsewhere, for example on another thread, to the protocol that
/// `factory` makes.
///
/// # Errors
///
/// The system's error if the socket cannot be used. If a layer was put over it, the layer's.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the socket.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use asyncio_net::{Protocol, Transport, connect_accepted_socket, open_connection};
///
/// struct Echo;
///
/// impl Protocol for Echo {
///     fn data_received(&mut self, transport: &Transport, data: &[u8]) {
///         transport.write(data);
///     }
/// }
///
/// asyncio_task::run(async {
///     let (accepted, theirs) = UnixStream::pair()?;
///     connect_accepted_socket(accepted, || Echo).await?;
///     let (mut reader, writer) = open_connection(theirs).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn connect_accepted_socket<'a, P: Protocol + 'static>(
    socket: impl Into<ConnectedSocket>,
    factory: impl FnOnce() -> P + 'a,
) -> Connect<'a, Transport, Accepting> {
    let address = ClientAddress::from(socket.into());
    Connect::new(address, |connection, _| start(connection, Box::new(Lent(factory()))))
}
