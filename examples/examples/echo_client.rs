//! A client of an echo server: sends lines and prints the answers. Without an address it starts a
//! server of its own.
//!
//! ```text
//! cargo run -p asyncio-examples --example echo_client
//! cargo run -p asyncio-examples --example echo_client 127.0.0.1:8888    server elsewhere
//! ```

use std::io;

#[asyncio::main]
async fn main() -> io::Result<()> {
    let address = match std::env::args().nth(1) {
        Some(address) => address,
        None => serve().await?,
    };
    let (mut reader, writer) = asyncio::open_connection(address).await?;
    for line in ["hello", "how are you?", "good bye"] {
        println!("sent {line:?}");
        writer.write_lines(&[line.as_bytes(), b"\n"]);
        writer.drain().await?;
        let answer = reader.read_line().await?;
        println!("received {:?}", String::from_utf8_lossy(&answer));
    }
    writer.close().await
}

/// An echo server of our own, on a free port.
async fn serve() -> io::Result<String> {
    let server = asyncio::start_server("127.0.0.1:0", async |mut reader, writer| {
        while let Some(line) = reader.next_line().await? {
            writer.write(&line);
            writer.drain().await?;
        }
        writer.close().await
    });
    Ok(server.await?.local_addr()?.to_string())
}
