//! Protocols over our streams, by the traits of tokio.

use std::sync::Arc;

use asyncio::{JoinedStream, create_task, open_connection, start_server};
use futures::{SinkExt, StreamExt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_tungstenite::tungstenite::Message;

use crate::row::{Gate, InUse, Outcome, Row, until};
use crate::web::GRACE;

pub(crate) fn rows() -> Vec<Row> {
    vec![
        Row::new(
            &["tokio-rustls", "rustls"],
            "TLS over our streams",
            tls_natural,
            tls_cancelled,
            tls_shutdown,
        )
        .note("`asyncio::tls` needs no crate more"),
        Row::new(
            &["tokio-tungstenite"],
            "web sockets over our streams, both sides",
            ws_natural,
            ws_cancelled,
            ws_shutdown,
        ),
    ]
}

/// A certificate for localhost that is made for each run, and its key.
pub(crate) fn certificate() -> Outcome<(CertificateDer<'static>, PrivateKeyDer<'static>)> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    Ok((made.cert.der().clone(), made.signing_key.into()))
}

/// The TLS configurations of both sides for that certificate.
pub(crate) fn tls_configs() -> Outcome<(rustls::ServerConfig, rustls::ClientConfig)> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let (certificate, key) = certificate()?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate.clone())?;
    let server = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok((server, client))
}

// TLS.

async fn tls_server(
    config: rustls::ServerConfig,
    in_use: &InUse,
    gate: Option<Gate>,
) -> Outcome<asyncio::Server> {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let in_use = in_use.clone();
    let server = start_server("127.0.0.1:0", async move |reader, writer| {
        let reader: asyncio::StreamReader = reader;
        let _used = in_use.enter();
        let Ok(mut stream) = acceptor.accept(reader.join(writer)).await else {
            return std::io::Result::Ok(());
        };
        let mut text = [0; 5];
        while stream.read_exact(&mut text).await.is_ok() {
            if let Some(gate) = &gate {
                gate.pass().await;
            }
            stream.write_all(&text.to_ascii_uppercase()).await?;
            stream.flush().await?;
        }
        stream.shutdown().await
    })
    .await?;
    Ok(server)
}

async fn connect(server: &asyncio::Server) -> Outcome<JoinedStream> {
    let (reader, writer) = open_connection(server.local_addr()?).await?;
    Ok(reader.join(writer))
}

async fn tls_natural() -> Outcome {
    let (server_config, config) = tls_configs()?;
    let server = tls_server(server_config, &InUse::default(), None).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost")?;
    let mut stream = connector.connect(name, connect(&server).await?).await?;
    let mut text = [0; 5];
    for _ in 0..2 {
        stream.write_all(b"hello").await?;
        stream.read_exact(&mut text).await?;
        assert_eq!(&text, b"HELLO");
    }
    stream.shutdown().await?;
    assert_eq!(stream.read(&mut text).await?, 0, "the server agrees to the end");
    server.shutdown(GRACE).await;
    Ok(())
}

/// Cancels the handshake: the client has sent nothing yet.
async fn tls_cancelled() -> Outcome {
    let (server_config, config) = tls_configs()?;
    let in_use = InUse::default();
    let server = tls_server(server_config, &in_use, None).await?;
    // A server that never answers.
    let silent = start_server("127.0.0.1:0", async |_reader, _writer| {
        std::future::pending::<()>().await;
    })
    .await?;
    let stream = connect(&silent).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost")?;
    let opening = create_task(async move { connector.connect(name, stream).await.map(drop) });
    until(async || Ok(silent.client_count() == 1)).await?;
    opening.cancel();
    assert!(opening.await.is_err_and(|error| error.is_cancelled()));
    // On the server's side, the client disconnects.
    let stream = connect(&server).await?;
    until(async || Ok(in_use.count() == 1)).await?;
    drop(stream);
    until(async || Ok(in_use.count() == 0)).await?;
    silent.shutdown(std::time::Duration::ZERO).await;
    server.shutdown(GRACE).await;
    assert_eq!((silent.client_count(), server.client_count()), (0, 0));
    Ok(())
}

async fn tls_shutdown() -> Outcome {
    let (server_config, config) = tls_configs()?;
    let gate = Gate::new();
    let server = tls_server(server_config, &InUse::default(), Some(gate.clone())).await?;
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost")?;
    let mut stream = connector.connect(name, connect(&server).await?).await?;
    stream.write_all(b"hello").await?;
    stream.flush().await?;
    gate.has_one().await;
    server.close();
    gate.open();
    let mut text = [0; 5];
    stream.read_exact(&mut text).await?;
    assert_eq!(&text, b"HELLO");
    stream.shutdown().await?;
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

// Web sockets.

async fn ws_server(in_use: &InUse) -> Outcome<asyncio::Server> {
    let in_use = in_use.clone();
    let server = start_server("127.0.0.1:0", async move |reader, writer| {
        let reader: asyncio::StreamReader = reader;
        let _used = in_use.enter();
        let Ok(mut socket) = tokio_tungstenite::accept_async(reader.join(writer)).await else {
            return;
        };
        while let Some(Ok(message)) = socket.next().await {
            if !message.is_close() && socket.send(message).await.is_err() {
                break;
            }
        }
    })
    .await?;
    Ok(server)
}

async fn ws_natural() -> Outcome {
    let server = ws_server(&InUse::default()).await?;
    let stream = connect(&server).await?;
    let (socket, _) = tokio_tungstenite::client_async("ws://localhost/", stream).await?;
    // One half sends while the other one receives.
    let (mut sending, mut receiving) = socket.split();
    let texts = create_task(async move {
        let mut texts = Vec::new();
        while let Some(message) = receiving.next().await {
            match message? {
                Message::Text(text) => texts.push(text.to_string()),
                _ => break,
            }
        }
        Ok::<_, tokio_tungstenite::tungstenite::Error>(texts)
    });
    for number in 0..100 {
        sending.send(Message::text(number.to_string())).await?;
    }
    sending.send(Message::Close(None)).await?;
    let texts = texts.await??;
    assert!(texts.iter().map(|text| text.parse::<u32>()).eq((0..100).map(Ok)), "{texts:?}");
    drop(sending);
    server.shutdown(GRACE).await;
    Ok(())
}

/// A wait for a message is cancelled; the next wait gets the later message.
async fn ws_cancelled() -> Outcome {
    let in_use = InUse::default();
    let server = ws_server(&in_use).await?;
    let stream = connect(&server).await?;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/", stream).await?;
    let limit = std::time::Duration::from_millis(1);
    assert!(asyncio::timeout(limit, socket.next()).await.is_err());
    socket.send(Message::text("hello")).await?;
    let answer = socket.next().await.ok_or("an end")??;
    assert_eq!(answer, Message::text("hello"));
    let waiting = create_task(async move { socket.next().await.is_some() });
    asyncio::yield_now().await;
    waiting.cancel();
    assert!(waiting.await.is_err_and(|error| error.is_cancelled()));
    until(async || Ok(in_use.count() == 0)).await?;
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}

async fn ws_shutdown() -> Outcome {
    let server = ws_server(&InUse::default()).await?;
    let stream = connect(&server).await?;
    let (mut socket, _) = tokio_tungstenite::client_async("ws://localhost/", stream).await?;
    socket.send(Message::text("in flight")).await?;
    server.close();
    assert_eq!(socket.next().await.ok_or("an end")??, Message::text("in flight"));
    socket.close(None).await?;
    assert!(socket.next().await.ok_or("an end")??.is_close());
    drop(socket);
    server.shutdown(GRACE).await;
    assert_eq!(server.client_count(), 0);
    Ok(())
}
