//! Unix sockets by path.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::Source;
use asyncio_task::sleep;
use socket2::{Domain, Socket, Type};

use crate::address::Address;
use crate::connect::{connect_socket, start};
use crate::connection::Opened;
use crate::network::Network;
use crate::protocol::Protocol;
use crate::server::{Server, ServerAddress, ServerOptions, create_server_with};
use crate::socket::SocketStream;
use crate::stream::{DEFAULT_LIMIT, HandlerResult, StreamReader, StreamWriter, start_server_with};
use crate::transport::{Lent, Transport};

/// How long at most a client waits before it asks a server again that has no room for it.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Connects to the Unix socket at `path`. While the server has a full backlog, it waits.
///
/// On Linux, a path that begins with a zero byte is a name in the abstract namespace.
///
/// # Errors
///
/// When there is no such socket, or nobody listens on it.
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
/// ```
/// use asyncio_net::{open_unix_connection, start_unix_server};
///
/// asyncio_task::run(async {
///     // A name of its own, without a file.
///     let name = format!("\0asyncio-net-doc-{}", std::process::id());
///     let _server = start_unix_server(&name, async |_, writer| writer.write(b"hello")).await?;
///     let (mut reader, _writer) = open_unix_connection(&name).await?;
///     assert_eq!(reader.read_to_end().await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn open_unix_connection(
    path: impl AsRef<Path>,
) -> io::Result<(StreamReader, StreamWriter)> {
    let opened = connect(&Network::running(), path.as_ref()).await?;
    Ok(opened.into_streams(DEFAULT_LIMIT))
}

/// Connects to the Unix socket at `path` and hands the connection to the protocol that `factory` makes.
///
/// # Errors
///
/// As [`open_unix_connection`].
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
/// ```
/// # struct Echo;
/// # impl asyncio_net::Protocol for Echo {
/// #     fn data_received(&mut self, transport: &asyncio_net::Transport, data: &[u8]) {
/// #         transport.write(data);
/// #     }
/// # }
/// use asyncio_net::{create_unix_connection, create_unix_server};
///
/// asyncio_task::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-net-doc-connection-{}", std::process::id()));
///     let server = create_unix_server(&path, || Echo).await?;
///     let transport = create_unix_connection(&path, || Echo).await?;
///     assert_eq!(transport.peer_address().as_path(), Some(path.as_path()));
///     server.close();
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_unix_connection<P: Protocol + 'static>(
    path: impl AsRef<Path>,
    factory: impl FnOnce() -> P,
) -> io::Result<Transport> {
    let opened = connect(&Network::running(), path.as_ref()).await?;
    start(opened, Box::new(Lent(factory())))
}

/// Listens on a Unix socket at `path` and has `handler` serve each client, in a task of its own; see
/// [`start_server`](crate::start_server).
///
/// A socket's file that was left there is replaced; the new one is removed when the server is closed.
///
/// # Errors
///
/// When the path cannot be listened on: a file that is no socket is in the way, for one.
///
/// # Panics
///
/// Where no loop runs.
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
pub async fn start_unix_server<H, R>(path: impl AsRef<Path>, handler: H) -> io::Result<Server>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: HandlerResult,
{
    start_unix_server_with(path, handler, ServerOptions::new()).await
}

/// [`start_unix_server`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
///
/// As there.
///
/// # Examples
///
/// ```
/// use asyncio_net::{ServerOptions, start_unix_server_with};
///
/// asyncio_task::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-net-doc-with-{}", std::process::id()));
///     let options = ServerOptions::new().cleanup_socket(false);
///     start_unix_server_with(&path, async |_, _| (), options).await?.close();
///     assert!(path.exists());
///     std::fs::remove_file(&path)?;
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn start_unix_server_with<H, R>(
    path: impl AsRef<Path>,
    handler: H,
    options: ServerOptions,
) -> io::Result<Server>
where
    H: AsyncFn(StreamReader, StreamWriter) -> R + 'static,
    R: HandlerResult,
{
    start_server_with(ServerAddress::unix(path.as_ref()), handler, options).await
}

/// Listens on a Unix socket at `path` and has a new protocol, made by `factory`, serve each client.
///
/// # Errors
///
/// As [`start_unix_server`].
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
/// use asyncio_net::{create_unix_server, open_unix_connection};
///
/// asyncio_task::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-net-doc-protocol-{}", std::process::id()));
///     let server = create_unix_server(&path, || Echo).await?;
///     let (mut reader, writer) = open_unix_connection(&path).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     server.close();
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_unix_server<P: Protocol + 'static>(
    path: impl AsRef<Path>,
    factory: impl Fn() -> P + 'static,
) -> io::Result<Server> {
    create_unix_server_with(path, factory, ServerOptions::new()).await
}

/// [`create_unix_server`] with options.
///
/// # Errors
///
/// As there.
///
/// # Panics
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
/// use asyncio_net::{ServerOptions, create_unix_server_with};
///
/// asyncio_task::run(async {
///     let path = std::env::temp_dir().join(format!("asyncio-net-doc-options-{}", std::process::id()));
///     let options = ServerOptions::new().backlog(10);
///     let server = create_unix_server_with(&path, || Echo, options).await?;
///     assert_eq!(server.addresses()[0].as_path(), Some(path.as_path()));
///     server.close();
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_unix_server_with<P: Protocol + 'static>(
    path: impl AsRef<Path>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    create_server_with(ServerAddress::unix(path.as_ref()), factory, options).await
}

async fn connect(network: &Rc<Network>, path: &Path) -> io::Result<Opened> {
    let address = Address::from(path);
    let source = connect_patiently(network, &address).await?;
    Ok(Opened::new(network, SocketStream::from_source(source, Some(address)).into()))
}

/// Connects, also to a server that has as many connections waiting as it wants. A blocking `connect` would wait for it;
/// one that does not block is turned away, and is not told when to come again.
async fn connect_patiently(network: &Network, address: &Address) -> io::Result<Source<OwnedFd>> {
    let name = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot connect to {address}: {error}"))
    };
    let system_address = address.to_sock_addr().map_err(name)?;
    let mut pause = Duration::from_millis(1);
    loop {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match connect_socket(network.event_loop(), socket, &system_address).await {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => sleep(pause).await,
            connected => return connected.map_err(name),
        }
        pause = (2 * pause).min(LONGEST_PAUSE);
    }
}
