//! Runs until Ctrl-C: an echo server by streams, with one task per client.
//!
//! ```text
//! cargo run -p asyncio-examples --example echo_server
//! cargo run -p asyncio-examples --example echo_client 127.0.0.1:8888      in another terminal
//! ```

use std::io;

#[asyncio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let server = asyncio::start_server(address, async |mut reader, writer| {
        while let Some(line) = reader.next_line().await? {
            println!("{:?} says {:?}", writer.peer_addr(), String::from_utf8_lossy(&line));
            writer.write(&line);
            writer.drain().await?;
        }
        writer.close().await
    })
    .await?;
    println!("serving on {}", server.local_addr()?);
    server.serve_forever().await
}
