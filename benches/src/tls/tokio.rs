//! The services on tokio-rustls, current_thread.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{PIECE, TlsService};

pub(super) fn serve(
    listener: TcpListener,
    config: Arc<ServerConfig>,
    service: TlsService,
) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let acceptor = TlsAcceptor::from(config);
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let handshake = acceptor.accept(stream);
            spawn_local(async move {
                let stream = handshake.await?;
                match service {
                    TlsService::Echo(buffer) => echo(stream, buffer).await,
                    TlsService::Receive(bytes) => receive(stream, bytes).await,
                    TlsService::Send(bytes) => send(stream, bytes).await,
                    TlsService::Close => close(stream).await,
                }
            });
        }
    })
}

/// A writer of tokio-rustls has to be flushed: bytes that the socket does not take stay in the
/// session.
async fn echo(mut stream: TlsStream<TcpStream>, buffer: usize) -> io::Result<()> {
    let mut buffer = vec![0; buffer];
    loop {
        match stream.read(&mut buffer).await? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length]).await?,
        }
        stream.flush().await?;
    }
}

async fn receive(mut stream: TlsStream<TcpStream>, bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        let mut received = 0;
        while received < bytes {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                length => received += length,
            }
        }
        stream.write_all(b"x").await?;
        stream.flush().await?;
    }
}

async fn send(mut stream: TlsStream<TcpStream>, bytes: usize) -> io::Result<()> {
    let piece = vec![b'x'; PIECE];
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {
        for _ in 0..bytes / PIECE {
            stream.write_all(&piece).await?;
        }
        stream.flush().await?;
    }
    Ok(())
}

/// Like asyncio's `StreamWriter::close`: sends the closing alert, and waits for the peer's.
async fn close(mut stream: TlsStream<TcpStream>) -> io::Result<()> {
    stream.shutdown().await?;
    while stream.read(&mut [0]).await? > 0 {}
    Ok(())
}
