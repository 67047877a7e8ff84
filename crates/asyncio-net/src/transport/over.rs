//! Protocols over any [`ByteStream`].

use std::io;
use std::panic::Location;
use std::rc::Rc;

use super::{Lent, Receiver, Transport};
use crate::connection::{Connection, KEPT};
use crate::io::ByteStream;
use crate::network::Network;
use crate::protocol::Protocol;

/// Connects `protocol` to a byte stream of any kind, as [`stream_over`](crate::stream_over) does
/// for streams. `connection_made` has been called when this returns.
///
/// To put a layer over a connection of [`create_connection`](crate::create_connection), use
/// [`Connect::layer`](crate::Connect::layer).
///
/// # Errors
///
/// If the loop is closed.
///
/// # Panics
///
/// If no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, memory_pair, stream_over, transport_over};
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
///     let (ours, theirs) = memory_pair(4096);
///     transport_over(theirs, Echo)?;
///     let (mut reader, writer) = stream_over(ours);
///     writer.write("hello\n");
///     assert_eq!(reader.read_line().await?, "hello\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn transport_over(
    stream: impl ByteStream + 'static,
    protocol: impl Protocol + 'static,
) -> io::Result<Transport> {
    let connection = Connection::over(&Network::running(), stream);
    connection.made_at(Location::caller());
    start(connection, Box::new(Lent(protocol)))
}

/// Tells the protocol and starts to receive.
pub(crate) fn start(
    connection: Rc<Connection>,
    receiver: Box<dyn Receiver>,
) -> io::Result<Transport> {
    connection.set(KEPT);
    connection.start(receiver).map_err(io::Error::other)?;
    Ok(Transport(connection))
}
