//! Datagrams: UDP and Unix.

mod address;
mod builder;
mod endpoint;
mod fenced;
mod medium;
mod open;
mod options;
mod outgoing;
mod protocol;
mod socket;
mod transport;

pub use self::address::DatagramAddress;
pub use self::builder::CreateDatagramEndpoint;
pub use self::protocol::DatagramProtocol;
pub use self::transport::DatagramTransport;

/// Makes a socket for datagrams and hands it to the protocol that `factory` makes.
///
/// The socket is bound to the local address and connected to the remote one, if they are given. The
/// file of a Unix socket is removed when the endpoint ends.
///
/// # Errors
///
/// The errors of [`CreateDatagramEndpoint`].
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
/// `loop.create_datagram_endpoint`; `sock=` is [`socket`](CreateDatagramEndpoint::socket).
///
/// # Examples
///
/// ```
/// use asyncio_net::{Address, DatagramProtocol, DatagramTransport, create_datagram_endpoint};
///
/// struct Echo;
///
/// impl DatagramProtocol for Echo {
///     fn datagram_received(
///         &mut self,
///         transport: &DatagramTransport,
///         data: &[u8],
///         sender: &Address,
///     ) {
///         transport.send_to(data, sender.clone());
///     }
/// }
///
/// asyncio_task::run(async {
///     let transport = create_datagram_endpoint(|| Echo).local_addr("127.0.0.1:0").await?;
///     let client = std::net::UdpSocket::bind("127.0.0.1:0")?;
///     client.set_nonblocking(true)?;
///     client.send_to(b"hello", transport.local_addr().unwrap())?;
///     assert_eq!(asyncio_net::sock_recv(&client, 100).await?, "hello");
///     std::io::Result::Ok(())
/// }).unwrap();
/// ```
#[doc(alias = "UdpSocket")]
#[track_caller]
pub fn create_datagram_endpoint<'a, P: DatagramProtocol + 'static>(
    factory: impl FnOnce() -> P + 'a,
) -> CreateDatagramEndpoint<'a> {
    CreateDatagramEndpoint::new(factory)
}
