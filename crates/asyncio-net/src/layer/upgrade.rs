//! Putting a stream over a connection that is in use.

use std::io;
use std::rc::Rc;

use asyncio_loop::machinery::around_user;

use super::PlainStream;
use crate::connection::{Connection, HAS_PROTOCOL, KEPT, PAUSED, READING_PAUSED};
use crate::io::{ByteStream, Io};
use crate::stream::{StreamReader, StreamWriter, feed_reader};
use crate::transport::Transport;

/// Puts a stream that `wrap` makes over an established connection, in place: afterwards `reader`
/// and `writer` belong to the new stream. `start_tls` is made of this.
///
/// Bytes that were written before are sent first, unwrapped. Then `wrap` gets the old connection,
/// which begins with the bytes that `reader` had buffered. `wrap` may wait, for example for a
/// handshake. A server's [`close_clients`](crate::Server::close_clients) closes the new stream.
/// Clones of the old [`Transport`](crate::Transport) can still close the connection; writing to
/// them panics.
///
/// # Errors
///
/// The error that ended the connection, or the error of `wrap`. The connection is ended then.
///
/// # Panics
///
/// After `write_eof`, and while a file is being sent.
///
/// # Cancel safety
///
/// Dropping the future before it is done ends the connection, because it is unknown which bytes
/// were wrapped.
///
/// # Examples
///
/// ```
/// use asyncio_net::{open_connection, start_server, upgrade_streams};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |mut reader, writer| {
///         while let Some(line) = reader.next_line().await? {
///             writer.write(&line);
///         }
///         writer.close().await
///     })
///     .await?;
///     let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"before\n");
///     assert_eq!(reader.read_line().await?, "before\n");
///     // A session of a real protocol would be made here.
///     upgrade_streams(&mut reader, &mut writer, async |plain| Ok(plain)).await?;
///     writer.write(b"after\n");
///     assert_eq!(reader.read_line().await?, "after\n");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn upgrade_streams<S: ByteStream + 'static>(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    wrap: impl AsyncFnOnce(PlainStream) -> io::Result<S>,
) -> impl Future<Output = io::Result<()>> {
    around_user(
        async move {
            let connection = writer.connection().clone();
            let unfinished = Unfinished(Some(connection.clone()));
            let alone = connection.exclusive()?;
            connection.drained().await?;
            let (limit, (_, ended)) = (reader.limit(), feed_reader());
            let reading = std::mem::replace(reader, ended);
            let plain = PlainStream::used(connection.clone(), Some(reading), alone);
            let upgraded = Connection::over(connection.network(), wrap(plain).await?);
            connection.site().into_iter().for_each(|site| upgraded.made_at(site));
            connection.set_cover(&upgraded);
            *reader = StreamReader::of(upgraded.clone(), limit);
            writer.set_connection(upgraded);
            unfinished.finish();
            Ok(())
        },
        &file!(),
    )
}

/// Puts a stream that `wrap` makes over the connection of a protocol. The protocol goes on with the
/// returned transport, which its methods get from then on; `connection_made` is not called again.
/// `loop.start_tls` is made of this.
///
/// Bytes that were written before are sent first, unwrapped. Meanwhile the protocol receives
/// nothing: bytes that the peer sends early go to `wrap`. A server's
/// [`close_clients`](crate::Server::close_clients) closes the new transport. Clones of the old one
/// can still close the connection; writing to them panics.
///
/// # Errors
///
/// The error that ended the connection, or the error of `wrap`. The connection is ended then, and
/// the protocol's `connection_lost` is called.
///
/// # Panics
///
/// After `write_eof`, while a file is being sent, and for the transport of streams.
///
/// # Cancel safety
///
/// Dropping the future before it is done ends the connection, because it is unknown which bytes
/// were wrapped.
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, connect_accepted_socket, upgrade_transport};
/// use std::os::unix::net::UnixStream;
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
///     let (ours, theirs) = UnixStream::pair()?;
///     let before = connect_accepted_socket(ours, || Echo).await?;
///     // A session of a real protocol would be made here.
///     let after = upgrade_transport(&before, async |plain| Ok(plain)).await?;
///     assert!(after != before);
///     let (mut reader, writer) = asyncio_net::open_connection(theirs).await?;
///     writer.write("hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub fn upgrade_transport<S: ByteStream + 'static>(
    transport: &Transport,
    wrap: impl AsyncFnOnce(PlainStream) -> io::Result<S>,
) -> impl Future<Output = io::Result<Transport>> {
    around_user(
        async move {
            let connection = transport.connection();
            assert!(!connection.has_streams(), "streams are upgraded by `upgrade_streams`");
            let unfinished = Unfinished(Some(connection.clone()));
            let alone = connection.exclusive()?;
            let wants_nothing = connection.begin_cover();
            connection.drained().await?;
            if let Io::Socket(socket) = connection.io() {
                socket.leave_list(connection.network().event_loop());
            }
            let plain = PlainStream::used(connection.clone(), None, alone);
            let upgraded = Connection::over(connection.network(), wrap(plain).await?);
            connection.site().into_iter().for_each(|site| upgraded.made_at(site));
            if wants_nothing {
                upgraded.set(READING_PAUSED);
            }
            hand_over_protocol(connection, &upgraded)?;
            unfinished.finish();
            Ok(Transport(upgraded))
        },
        &file!(),
    )
}

/// Moves the protocol of `before` to `after`.
fn hand_over_protocol(before: &Connection, after: &Rc<Connection>) -> io::Result<()> {
    let aborted = || before.error().unwrap_or_else(|| io::ErrorKind::ConnectionAborted.into());
    if !before.is_open() {
        return Err(aborted());
    }
    let protocol = before.take_receiver().ok_or_else(aborted)?;
    // If the protocol had a task of its own, that task ends.
    before.wake_protocols_task();
    before.clear(HAS_PROTOCOL);
    before.set_cover(after);
    if before.has(PAUSED) {
        after.set(PAUSED);
    }
    after.set(KEPT);
    after.adopt_limits(before);
    after.resume(protocol).map_err(io::Error::other)
}

/// Ends the connection unless the upgrade is finished.
struct Unfinished(Option<Rc<Connection>>);

impl Unfinished {
    fn finish(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.abort();
        }
    }
}
