//! Web sockets by async-tungstenite: an echo server and a client.
//!
//! With the feature `futures-io`, asyncio's streams implement the traits that async-tungstenite
//! needs. With the feature `tokio`, they work with tokio-tungstenite in the same way.
//!
//! ```text
//! cargo run -p asyncio-examples --features web-sockets --example web_socket
//! cargo run -p asyncio-examples --features web-sockets --example web_socket 127.0.0.1:8888
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C.

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::tungstenite::{Error as SocketError, Message};
use async_tungstenite::{accept_async, client_async};
use asyncio::{StreamReader, StreamWriter, ctrl_c, open_connection, start_server, timeout};
use futures_util::StreamExt;

/// How long clients may take to finish before they are disconnected.
const GRACE: Duration = Duration::from_secs(1);
/// How long a client may take to request a web socket.
const TIMEOUT: Duration = Duration::from_secs(10);

async fn echo(reader: StreamReader, writer: StreamWriter) -> Result<(), Box<dyn Error>> {
    let mut socket = timeout(TIMEOUT, accept_async(reader.join(writer))).await??;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn talk(address: SocketAddr) -> Result<(), Box<dyn Error>> {
    let (reader, writer) = open_connection(address).await?;
    let (mut socket, _) = client_async("ws://localhost/", reader.join(writer)).await?;
    for text in ["hello", "good bye"] {
        socket.send(Message::text(text)).await?;
        let answer = socket.next().await.ok_or(SocketError::ConnectionClosed)??;
        println!("{answer}");
        assert_eq!(answer, Message::text(text));
    }
    socket.close(None).await?;
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    Ok(())
}

#[asyncio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1);
    let server = start_server(address.as_deref().unwrap_or("127.0.0.1:0"), echo).await?;
    if address.is_some() {
        println!("serving on {}", server.local_addr()?);
        ctrl_c().await?;
    } else {
        talk(server.local_addr()?).await?;
    }
    server.shutdown(GRACE).await;
    Ok(())
}
