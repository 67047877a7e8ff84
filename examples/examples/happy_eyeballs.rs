//! Connects to a host with several addresses, some of which do not work: the next attempt starts
//! before the previous one has failed, and the first connection wins (RFC 8305).
//!
//! ```text
//! cargo run -p asyncio-examples --example happy_eyeballs                   with its own servers
//! cargo run -p asyncio-examples --example happy_eyeballs example.org:80    the winner
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use asyncio::net::{ConnectErrors, Endpoint};
use asyncio::{open_connection, start_server, timeout};

/// The head start that each address has. RFC 8305 recommends 250 ms.
const HEAD_START: Duration = Duration::from_millis(100);
/// A limit for the whole attempt, much shorter than the time that the system waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

#[asyncio::main]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        Some(endpoint) => connect(endpoint).await.map(drop),
        None => show().await,
    }
}

/// Connects, and prints the peer's address.
async fn connect(to: impl Into<Endpoint>) -> io::Result<SocketAddr> {
    let start = Instant::now();
    let connecting = open_connection(to.into()).happy_eyeballs_delay(HEAD_START);
    let connected = timeout(TIMEOUT, connecting.into_future()).await;
    match connected.map_err(|_| io::ErrorKind::TimedOut)? {
        Ok((_reader, writer)) => {
            let peer = writer.peer_addr().expect("it is connected");
            println!("connected to {peer} after {:.0?}", start.elapsed());
            writer.close().await?;
            Ok(peer)
        }
        Err(error) => {
            println!("failed after {:.0?}:", start.elapsed());
            let all = error.get_ref().and_then(|inner| inner.downcast_ref::<ConnectErrors>());
            for (address, error) in all.map(ConnectErrors::attempts).unwrap_or_default() {
                println!("    {address}: {error}");
            }
            Err(error)
        }
    }
}

async fn show() -> io::Result<()> {
    let server = start_server("127.0.0.1:0", async |_, writer| writer.close().await).await?;
    let works = server.local_addr()?;
    let silent = Silent::new()?;
    let refuses = TcpListener::bind("127.0.0.1:0")?.local_addr()?;

    println!("the first address does not answer:");
    let start = Instant::now();
    assert_eq!(connect(vec![silent.address, works]).await?, works);
    assert!(start.elapsed() >= HEAD_START, "it had its head start");

    println!("the first address refuses, which is known at once:");
    assert_eq!(connect(vec![refuses, silent.address, works]).await?, works);

    println!("no address works:");
    let error = connect(vec![refuses, refuses]).await.expect_err("nobody is there");
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    Ok(())
}

/// An address that neither accepts nor refuses connections: its queue is full.
struct Silent {
    address: SocketAddr,
    _listener: TcpListener,
    _queue: Vec<TcpStream>,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        rustix::net::listen(&listener, 0)?;
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(50)).ok();
        let queue = (0..10).map_while(connect).collect();
        Ok(Self { address, _listener: listener, _queue: queue })
    }
}
