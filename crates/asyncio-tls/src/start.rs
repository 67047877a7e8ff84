//! TLS over open connections.

use std::io;

use asyncio_loop::machinery::at_await;
use asyncio_net::{StreamReader, StreamWriter, Transport, upgrade_streams, upgrade_transport};

use crate::handshake::{Limits, shake_hands};
use crate::session::Session;
use crate::{TlsClient, TlsInfo, TlsServer};

/// Begins TLS as the client on open streams: right after connecting, or when both sides have agreed
/// on it in their own protocol (`STARTTLS`).
///
/// `host` is the name to ask for and check, unless the client has another
/// [`server_name`](crate::TlsClientBuilder::server_name).
///
/// # Errors
///
/// `InvalidData` with the [`rustls::Error`] inside if the certificate is refused or the peer breaks
/// the protocol; `TimedOut` if the handshake takes too long; `UnexpectedEof` if the peer ends the
/// connection; otherwise the error of the connection. On any error the connection is closed.
///
/// # Cancel safety
///
/// Dropping the future before it is done closes the connection.
///
/// # Examples
///
/// ```no_run
/// use asyncio_net::open_connection;
/// use asyncio_tls::{TlsClient, start_tls};
///
/// # async fn example() -> std::io::Result<()> {
/// let (mut reader, mut writer) = open_connection("mail.example.org:587").await?;
/// reader.read_line().await?;
/// writer.write("STARTTLS\r\n");
/// reader.read_line().await?;
/// let info = start_tls(&mut reader, &mut writer, &TlsClient::new()?, "mail.example.org").await?;
/// println!("{}", info.version());
/// # Ok(())
/// # }
/// ```
pub fn start_tls(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    client: &TlsClient,
    host: &str,
) -> impl Future<Output = io::Result<TlsInfo>> {
    at_await(async move {
        let session = client.session(Some(host))?;
        upgrade(reader, writer, session, client.limits).await
    })
}

/// Begins TLS as the server on open streams.
///
/// # Errors
///
/// As [`start_tls`].
///
/// # Cancel safety
///
/// Dropping the future before it is done closes the connection.
pub fn accept_tls(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    server: &TlsServer,
) -> impl Future<Output = io::Result<TlsInfo>> {
    at_await(async move { upgrade(reader, writer, server.session()?, server.limits).await })
}

/// Begins TLS as the client over the connection of a protocol, which continues over the returned
/// transport: asyncio's `loop.start_tls`. `connection_made` is not called again, and the protocol
/// receives nothing before the handshake is over.
///
/// # Errors
///
/// As [`start_tls`].
///
/// # Panics
///
/// As [`upgrade_transport`].
///
/// # Cancel safety
///
/// Dropping the future before it is done closes the connection.
///
/// # Examples
///
/// ```no_run
/// use asyncio_net::Transport;
/// use asyncio_tls::{TlsClient, TlsInfo, start_transport_tls};
///
/// # async fn example(transport: Transport) -> std::io::Result<()> {
/// let transport = start_transport_tls(&transport, &TlsClient::new()?, "mail.example.org").await?;
/// println!("{:?}", transport.extra::<TlsInfo>());
/// # Ok(())
/// # }
/// ```
#[doc(alias = "start_tls")]
pub fn start_transport_tls(
    transport: &Transport,
    client: &TlsClient,
    host: &str,
) -> impl Future<Output = io::Result<Transport>> {
    at_await(async move {
        let session = client.session(Some(host))?;
        let wrap = async |plain| shake_hands(session, plain, client.limits).await;
        upgrade_transport(transport, wrap).await
    })
}

/// Begins TLS as the server over the connection of a protocol; see [`start_transport_tls`].
///
/// # Errors
///
/// As [`start_tls`].
///
/// # Panics
///
/// As [`upgrade_transport`].
///
/// # Cancel safety
///
/// Dropping the future before it is done closes the connection.
pub fn accept_transport_tls(
    transport: &Transport,
    server: &TlsServer,
) -> impl Future<Output = io::Result<Transport>> {
    at_await(async move {
        let session = server.session()?;
        let wrap = async |plain| shake_hands(session, plain, server.limits).await;
        upgrade_transport(transport, wrap).await
    })
}

async fn upgrade(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    session: Session,
    limits: Limits,
) -> io::Result<TlsInfo> {
    let mut info = None;
    upgrade_streams(reader, writer, async |plain| {
        let stream = shake_hands(session, plain, limits).await?;
        info = Some(stream.info());
        Ok(stream)
    })
    .await?;
    info.ok_or_else(|| io::Error::other("the connection was not upgraded"))
}
