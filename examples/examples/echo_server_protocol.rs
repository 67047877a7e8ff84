//! Runs until Ctrl-C: an echo server by a protocol, whose methods borrow the loop's read buffer.
//!
//! ```text
//! cargo run -p asyncio-examples --example echo_server_protocol
//! cargo run -p asyncio-examples --example echo_client 127.0.0.1:8888      in another terminal
//! ```

use std::io;

use asyncio::{Protocol, Transport};

struct Echo;

impl Protocol for Echo {
    fn connection_made(&mut self, transport: &Transport) {
        println!("{:?} comes", transport.peer_addr());
    }

    fn data_received(&mut self, transport: &Transport, data: &[u8]) {
        transport.write(data);
    }

    fn connection_lost(&mut self, transport: &Transport, error: Option<io::Error>) {
        println!("{:?} goes, {error:?}", transport.peer_addr());
    }
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8888".to_owned());
    let server = asyncio::create_server(address, || Echo).await?;
    println!("serving on {}", server.local_addr()?);
    server.serve_forever().await
}
