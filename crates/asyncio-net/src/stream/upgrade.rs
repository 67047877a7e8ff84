//! Putting a stream over a stream: the seam for TLS and the like.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::{StreamReader, StreamWriter, feed_reader_with_limit};
use crate::address::Address;
use crate::connection::{Connection, Exclusive};
use crate::io::{ByteSource, ByteStream};

/// Puts a stream that `wrap` makes over an established connection, in place: afterwards `reader`
/// and `writer` are its two ends. This is what `start_tls` is made of.
///
/// What was written before is sent first, unwrapped. Then `wrap` is given the connection as it was,
/// with what `reader` had buffered in front; it may wait, for a handshake. A server's
/// [`close_clients`](crate::Server::close_clients) closes the new stream. Clones of the old
/// [`Transport`](crate::Transport) can still close the connection; writing to them panics.
///
/// # Errors
///
/// The error that ended the connection; whatever `wrap` fails with. The connection is ended then.
///
/// # Panics
///
/// After `write_eof`, and while a file is being sent.
///
/// # Cancel safety
///
/// Dropped before it is done, it ends the connection: nobody could tell which bytes were wrapped.
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
pub async fn upgrade_streams<S: ByteStream + 'static>(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    wrap: impl AsyncFnOnce(PlainStream) -> io::Result<S>,
) -> io::Result<()> {
    let connection = writer.connection().clone();
    let unfinished = Unfinished(Some(connection.clone()));
    let alone = connection.exclusive()?;
    connection.drained().await?;
    let (_, ended) = feed_reader_with_limit(reader.limit());
    let plain = PlainStream {
        reader: RefCell::new(std::mem::replace(reader, ended)),
        connection: connection.clone(),
        _alone: alone,
    };
    let upgraded = Connection::over(connection.network(), wrap(plain).await?);
    connection.set_cover(&upgraded);
    *reader = StreamReader::of(upgraded.clone(), reader.limit());
    writer.set_connection(upgraded);
    unfinished.finish();
    Ok(())
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

/// A connection under the stream that [`upgrade_streams`] puts over it.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ByteStream, PlainStream, open_connection, start_server, upgrade_streams};
///
/// asyncio_task::run(async {
///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
///     let address = server.local_addr()?;
///     let (mut reader, mut writer) = open_connection(address).await?;
///     upgrade_streams(&mut reader, &mut writer, async |plain: PlainStream| {
///         assert_eq!(plain.peer_address().as_inet(), Some(address));
///         Ok(plain)
///     })
///     .await?;
///     assert_eq!(reader.read(1).await?, "");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub struct PlainStream {
    reader: RefCell<StreamReader>,
    connection: Rc<Connection>,
    _alone: Exclusive,
}

impl PlainStream {
    /// Whether a server accepted the connection: then it is for the other side to begin.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_net::{open_connection, start_server, upgrade_streams};
    ///
    /// asyncio_task::run(async {
    ///     let server = start_server("127.0.0.1:0", async |_, _| ()).await?;
    ///     let (mut reader, mut writer) = open_connection(server.local_addr()?).await?;
    ///     let upgraded = upgrade_streams(&mut reader, &mut writer, async |plain| {
    ///         assert!(!plain.is_server_side());
    ///         Ok(plain)
    ///     });
    ///     assert!(upgraded.await.is_ok());
    ///     std::io::Result::Ok(())
    /// }).unwrap();
    /// ```
    pub fn is_server_side(&self) -> bool {
        self.connection.server().is_some()
    }
}

impl ByteSource for PlainStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.reader.borrow_mut().poll_read_into(cx, buffer)
    }
}

impl ByteStream for PlainStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = self.connection.io().try_write(slices);
        written.map_err(|error| self.connection.error().unwrap_or(error))
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.connection.io().try_sendfile(file, offset, count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.io().poll_write_ready(cx)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.connection.poll_lost(cx)
    }

    fn can_read(&self) -> bool {
        self.connection.io().can_read()
    }

    fn can_write(&self) -> bool {
        self.connection.io().can_write()
    }

    fn can_write_eof(&self) -> bool {
        self.connection.io().can_write_eof()
    }

    fn write_eof(&self) -> io::Result<()> {
        self.connection.io().write_eof()
    }

    fn close(&self) {
        self.connection.close();
    }

    fn abort(&self) {
        self.connection.abort();
    }

    fn local_address(&self) -> Address {
        self.connection.io().local_address()
    }

    fn peer_address(&self) -> Address {
        self.connection.io().peer_address()
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.connection.io().with_fd(look);
    }
}

impl Drop for PlainStream {
    fn drop(&mut self) {
        self.connection.close();
    }
}

impl fmt::Debug for PlainStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainStream").field("connection", &self.connection).finish_non_exhaustive()
    }
}
