//! The stream under a layer.

use std::cell::RefCell;
use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll};

use socket2::SockRef;

use crate::address::Address;
use crate::connection::{Connection, Exclusive};
use crate::io::{ByteSource, ByteStream, Extra, Io};
use crate::network::Network;
use crate::stream::StreamReader;

/// The connection under a stream that a [`Layer`](crate::Layer),
/// [`upgrade_streams`](crate::upgrade_streams) or [`upgrade_transport`](crate::upgrade_transport)
/// puts over it.
///
/// Dropping it closes the connection.
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
pub struct PlainStream(Below);

enum Below {
    /// A new connection that was not used yet.
    New { network: Rc<Network>, io: Io, is_server_side: bool },
    /// A connection that was in use, by a protocol or by streams.
    Used { connection: Rc<Connection>, reader: Option<RefCell<StreamReader>>, _alone: Exclusive },
}

impl PlainStream {
    pub(super) fn new(network: &Rc<Network>, io: Io, is_server_side: bool) -> Self {
        Self(Below::New { network: network.clone(), io, is_server_side })
    }

    /// `reader` holds bytes that have come already.
    pub(super) fn used(
        connection: Rc<Connection>,
        reader: Option<StreamReader>,
        alone: Exclusive,
    ) -> Self {
        Self(Below::Used { connection, reader: reader.map(RefCell::new), _alone: alone })
    }

    pub(super) fn network(&self) -> &Rc<Network> {
        match &self.0 {
            Below::New { network, .. } => network,
            Below::Used { connection, .. } => connection.network(),
        }
    }

    fn io(&self) -> &Io {
        match &self.0 {
            Below::New { io, .. } => io,
            Below::Used { connection, .. } => connection.io(),
        }
    }

    /// The error that ended a connection that was in use; it replaces a later one.
    fn first_error(&self, error: io::Error) -> io::Error {
        match &self.0 {
            Below::New { .. } => error,
            Below::Used { connection, .. } => connection.error().unwrap_or(error),
        }
    }

    /// Whether a server accepted the connection. Then the peer, as the client, begins a handshake.
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
        match &self.0 {
            Below::New { is_server_side, .. } => *is_server_side,
            Below::Used { connection, .. } => connection.server().is_some(),
        }
    }
}

impl ByteSource for PlainStream {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match &self.0 {
            Below::Used { reader: Some(reader), .. } => {
                reader.borrow_mut().poll_read_into(cx, buffer)
            }
            _ => self.io().poll_read(cx, buffer),
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Below::Used { reader: Some(reader), .. } => reader.borrow_mut().poll_read_ready(cx),
            _ => self.io().poll_read_ready(cx),
        }
    }
}

impl ByteStream for PlainStream {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.io().try_write(slices).map_err(|error| self.first_error(error))
    }

    fn unsent(&self) -> usize {
        self.io().unsent()
    }

    fn try_flush(&self) -> io::Result<()> {
        self.io().try_flush()
    }

    fn try_sendfile(&self, file: &File, offset: u64, count: usize) -> io::Result<usize> {
        self.io().try_sendfile(file, offset, count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_write_ready(cx)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        match &self.0 {
            Below::New { io, .. } => io.poll_lost(cx),
            Below::Used { connection, .. } => connection.poll_lost(cx),
        }
    }

    fn can_read(&self) -> bool {
        self.io().can_read()
    }

    fn can_write(&self) -> bool {
        self.io().can_write()
    }

    fn can_write_eof(&self) -> bool {
        self.io().can_write_eof()
    }

    fn write_eof(&self) -> io::Result<()> {
        self.io().write_eof()
    }

    fn note_end(&self) {
        self.io().note_end();
    }

    /// A connection that was in use finishes its stream by itself, after its `close`.
    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.0 {
            Below::New { io, .. } => io.poll_close(cx),
            Below::Used { .. } => Poll::Ready(Ok(())),
        }
    }

    fn close(&self) {
        match &self.0 {
            Below::New { network, io: Io::Socket(socket), .. } => {
                network.close_gently(socket, false, None);
            }
            Below::New { io, .. } => io.close(),
            Below::Used { connection, .. } => connection.close(),
        }
    }

    fn abort(&self) {
        match &self.0 {
            Below::New { io, .. } => io.abort(),
            Below::Used { connection, .. } => connection.abort(),
        }
    }

    fn local_address(&self) -> Address {
        self.io().local_address()
    }

    fn peer_address(&self) -> Address {
        self.io().peer_address()
    }

    fn extra(&self, request: &mut Extra<'_>) {
        self.io().extra(request);
    }

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        self.io().with_socket(look);
    }
}

impl Drop for PlainStream {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for PlainStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlainStream").field("peer", &self.peer_address()).finish_non_exhaustive()
    }
}
