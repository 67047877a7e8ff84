//! Unix sockets by path.

use std::path::Path;

use crate::connect::{ClientAddress, Connect, create_connection, open_connection};
use crate::protocol::Protocol;
use crate::server::{HandlerResult, ServerAddress, StartServer, create_server, start_server};
use crate::stream::{StreamReader, StreamWriter};
use crate::transport::Transport;

/// Connects to the Unix socket at `path`.
///
/// While the server's backlog is full, this waits.
///
/// # Errors
///
/// The errors of [`Connect`]; they name the path.
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
/// use asyncio_net::{open_unix_connection, start_unix_server};
///
/// # let path = std::env::temp_dir().join(format!("asyncio-net-doc-open-{}", std::process::id()));
/// asyncio_task::run(async {
///     let hello = async |_, writer: asyncio_net::StreamWriter| writer.write("hello");
///     let server = start_unix_server(&path, hello).await?;
///     let (mut reader, _writer) = open_unix_connection(&path).await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     server.close();
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "UnixStream")]
#[track_caller]
pub fn open_unix_connection(
    path: impl AsRef<Path>,
) -> Connect<'static, (StreamReader, StreamWriter)> {
    open_connection(ClientAddress::unix(path))
}

/// [`create_connection`](crate::create_connection) to the Unix socket at `path`.
///
/// # Errors
///
/// The errors of [`Connect`]; they name the path.
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
/// use asyncio_net::{Protocol, Transport, create_unix_connection, start_unix_server};
///
/// struct Quiet;
///
/// impl Protocol for Quiet {
///     fn data_received(&mut self, _: &Transport, _: &[u8]) {}
/// }
///
/// # let name = format!("asyncio-net-doc-create-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// asyncio_task::run(async {
///     let server = start_unix_server(&path, async |_, _| ()).await?;
///     let transport = create_unix_connection(&path, || Quiet).await?;
///     assert_eq!(transport.peer_address().as_path(), Some(path.as_path()));
///     server.close();
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn create_unix_connection<'a, P: Protocol + 'static>(
    path: impl AsRef<Path>,
    factory: impl FnOnce() -> P + 'a,
) -> Connect<'a, Transport> {
    create_connection(ClientAddress::unix(path), factory)
}

/// Listens on a Unix socket at `path` and serves each client by `handler`, in a task of its own;
/// see [`start_server`](crate::start_server).
///
/// The file of a dead socket is replaced; a socket in use there is an error, unless
/// [`replace_socket(true)`](StartServer::replace_socket) is given. The new file is removed when the
/// server is closed, unless [`cleanup_socket(false)`](StartServer::cleanup_socket) is given.
///
/// # Errors
///
/// If the path cannot be listened on. [`AddrInUse`](std::io::ErrorKind::AddrInUse) for the socket
/// of a living server, and for a file that is no socket.
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the sockets that listen already.
///
/// # Examples
///
/// ```
/// use asyncio_net::{open_unix_connection, start_unix_server};
///
/// let path = std::env::temp_dir().join(format!("asyncio-net-doc-{}", std::process::id()));
/// asyncio_task::run(async {
///     let server = start_unix_server(&path, async |_, writer| writer.write(b"hello\n")).await?;
///     let (mut reader, _writer) = open_unix_connection(&path).await?;
///     assert_eq!(reader.read_line().await?, "hello\n");
///     server.close();
///     assert!(!path.exists());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn start_unix_server<H, R>(path: impl AsRef<Path>, handler: H) -> StartServer
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: HandlerResult,
{
    start_server(ServerAddress::unix(path), handler)
}

/// Listens on a Unix socket at `path` and serves each client by a new protocol; see
/// [`create_server`](crate::create_server) and [`start_unix_server`].
///
/// # Errors
///
/// The errors of [`start_unix_server`].
///
/// # Panics
///
/// If no loop runs on this thread when it is awaited.
///
/// # Cancel safety
///
/// Dropping the future closes the sockets that listen already.
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, create_unix_server, open_unix_connection};
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
///     // A name of its own, without a file.
///     let name = format!("\0asyncio-net-doc-{}", std::process::id());
///     let _server = create_unix_server(&name, || Echo).backlog(16).await?;
///     let (mut reader, writer) = open_unix_connection(&name).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn create_unix_server<P: Protocol + 'static>(
    path: impl AsRef<Path>,
    factory: impl Fn() -> P + 'static,
) -> StartServer {
    create_server(ServerAddress::unix(path), factory)
}
