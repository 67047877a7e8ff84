use std::io;

use super::{Serve, Server, ServerAddress, ServerOptions};
use crate::connection::Opened;
use crate::protocol::{BufferedProtocol, Protocol};
use crate::transport::{Lent, Own, Receiver};

/// Listens on `address` and has a new protocol, made by `factory`, serve each client.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or whatever can be one, or a socket that listens already.
///
/// # Errors
///
/// When the address cannot be resolved or listened on.
///
/// # Panics
///
/// Where no loop runs.
///
/// # From asyncio
///
/// `loop.create_server`. The keyword arguments are [`ServerOptions`], for [`create_server_with`].
///
/// # Examples
///
/// ```
/// use asyncio_net::{Protocol, Transport, create_server, open_connection};
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
///     let server = create_server("127.0.0.1:0", || Echo).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_server<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> io::Result<Server> {
    create_server_with(address, factory, ServerOptions::new()).await
}

/// [`create_server`] with options.
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
/// use asyncio_net::{ServerOptions, create_server_with};
///
/// asyncio_task::run(async {
///     let options = ServerOptions::new().start_serving(false);
///     let server = create_server_with("127.0.0.1:0", || Echo, options).await?;
///     assert!(!server.is_serving());
///     server.start_serving();
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_server_with<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    listen(address.into(), move || Lent(factory()), options).await
}

/// [`create_server`] for protocols that bring their own buffers.
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
/// # struct Discard([u8; 1024]);
/// # impl asyncio_net::BufferedProtocol for Discard {
/// #     fn get_buffer(&mut self, _: usize) -> &mut [u8] {
/// #         &mut self.0
/// #     }
/// #     fn buffer_updated(&mut self, transport: &asyncio_net::Transport, count: usize) {
/// #         write!(transport, "{count}");
/// #     }
/// # }
/// use asyncio_net::{create_buffered_server, open_connection};
///
/// asyncio_task::run(async {
///     let server = create_buffered_server("127.0.0.1:0", || Discard([0; 1024])).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(10).await?, "5");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_buffered_server<P: BufferedProtocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> io::Result<Server> {
    create_buffered_server_with(address, factory, ServerOptions::new()).await
}

/// [`create_buffered_server`] with options.
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
/// # struct Discard([u8; 1024]);
/// # impl asyncio_net::BufferedProtocol for Discard {
/// #     fn get_buffer(&mut self, _: usize) -> &mut [u8] {
/// #         &mut self.0
/// #     }
/// #     fn buffer_updated(&mut self, transport: &asyncio_net::Transport, count: usize) {
/// #         write!(transport, "{count}");
/// #     }
/// # }
/// use asyncio_net::{ServerOptions, create_buffered_server_with};
///
/// asyncio_task::run(async {
///     let options = ServerOptions::new().keep_alive(true);
///     let factory = || Discard([0; 1024]);
///     let server = create_buffered_server_with("127.0.0.1:0", factory, options).await?;
///     assert!(server.is_serving());
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
pub async fn create_buffered_server_with<P: BufferedProtocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    listen(address.into(), move || Own(factory()), options).await
}

async fn listen<R: Receiver + 'static>(
    address: ServerAddress,
    factory: impl Fn() -> R + 'static,
    options: ServerOptions,
) -> io::Result<Server> {
    let serve = move |opened: Opened| {
        // Refused by a closed loop only.
        let _ = opened.connection.start(Box::new(factory()));
    };
    Server::listen(address, options, Serve::Client(Box::new(serve))).await
}
