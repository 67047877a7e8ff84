//! Servers with a protocol for each client.

use std::rc::Rc;

use super::{Serve, ServerAddress, StartServer};
use crate::connection::Connection;
use crate::protocol::{BufferedProtocol, Protocol};
use crate::transport::{Lent, Own, Receiver};

/// Listens on `address` and serves each client by a new protocol, which `factory` makes.
///
/// `address` is an [`Endpoint`](crate::Endpoint) or a value that converts into one, or a socket
/// that listens already. The methods of [`StartServer`] are the keyword arguments.
///
/// # Errors
///
/// If the address cannot be resolved or listened on.
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
///     let server = create_server("127.0.0.1:0", || Echo).backlog(128).await?;
///     let (mut reader, writer) = open_connection(server.local_addr()?).await?;
///     writer.write(b"hello");
///     assert_eq!(reader.read(100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[track_caller]
pub fn create_server<P: Protocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> StartServer {
    StartServer::new(address.into(), serve(move || Lent(factory())))
}

/// [`create_server`] for protocols with their own buffers.
///
/// # Errors
///
/// If the address cannot be resolved or listened on.
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
/// See [`BufferedProtocol`].
#[track_caller]
pub fn create_buffered_server<P: BufferedProtocol + 'static>(
    address: impl Into<ServerAddress>,
    factory: impl Fn() -> P + 'static,
) -> StartServer {
    StartServer::new(address.into(), serve(move || Own(factory())))
}

fn serve<R: Receiver + 'static>(factory: impl Fn() -> R + 'static) -> Serve {
    Serve::Client(Box::new(move |connection: Rc<Connection>| {
        // Only a closed loop refuses the call.
        let _ = connection.start(Box::new(factory()));
    }))
}
