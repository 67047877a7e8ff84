//! TLS on streams that are open already.

use std::io;

use asyncio_net::{StreamReader, StreamWriter, upgrade_streams};
use rustls::Connection;

use crate::handshake::{Limits, shake_hands};
use crate::{TlsClient, TlsInfo, TlsServer};

/// Begins TLS as the client on streams that are open: right after connecting, or when both sides
/// have agreed on it in their own protocol (`STARTTLS`).
///
/// `host` is the name that is asked for and checked, unless the client was made with another
/// [`server_name`](crate::TlsClientBuilder::server_name).
///
/// # Errors
///
/// `InvalidData` with the [`rustls::Error`] inside when the certificate is refused or the peer
/// breaks the protocol, `TimedOut` when the handshake takes too long, `UnexpectedEof` when the peer
/// ends the connection; the error of the connection. The connection is ended then.
///
/// # Cancel safety
///
/// Dropped before it is done, it ends the connection.
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
pub async fn start_tls(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    client: &TlsClient,
    host: &str,
) -> io::Result<TlsInfo> {
    let session = client.session(Some(host))?;
    upgrade(reader, writer, session.into(), client.limits).await
}

/// Begins TLS as the server on streams that are open.
///
/// # Errors
///
/// As [`start_tls`].
///
/// # Cancel safety
///
/// Dropped before it is done, it ends the connection.
pub async fn accept_tls(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    server: &TlsServer,
) -> io::Result<TlsInfo> {
    upgrade(reader, writer, server.session()?.into(), server.limits).await
}

async fn upgrade(
    reader: &mut StreamReader,
    writer: &mut StreamWriter,
    session: Connection,
    limits: Limits,
) -> io::Result<TlsInfo> {
    let mut info = None;
    upgrade_streams(reader, writer, async |plain| {
        let (stream, agreed) = shake_hands(session, plain, limits).await?;
        info = Some(agreed);
        Ok(stream)
    })
    .await?;
    info.ok_or_else(|| io::Error::other("the connection was not upgraded"))
}
