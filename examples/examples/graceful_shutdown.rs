//! A server that shuts down gracefully on SIGTERM or Ctrl-C: it stops accepting, finishes the
//! requests in progress, runs its cleanup, and exits within a grace period.
//!
//! To show this, the program sends a slow request to itself, and a SIGTERM in the middle of it.
//!
//! ```text
//! cargo run -p asyncio-examples --example graceful_shutdown
//! ```

use std::io;
use std::time::Duration;

use asyncio::event_loop::raise_signal;
use asyncio::{
    Signal, Signals, StreamReader, StreamWriter, create_task, open_connection, sleep, start_server,
    timeout,
};

/// How long clients may take to finish before they are disconnected.
const GRACE: Duration = Duration::from_secs(5);
/// How long cleanup may take before it is dropped.
const CLEANUP: Duration = Duration::from_secs(60);

async fn serve(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    while let Some(request) = reader.next_line().await? {
        println!("server: begins {:?}", String::from_utf8_lossy(&request).trim_end());
        sleep(Duration::from_millis(100)).await;
        writer.write(b"done: ");
        writer.write(&request);
        writer.drain().await?;
    }
    writer.close().await
}

/// Stands for the cleanup of a server: writing buffers, returning leases.
async fn clean_up() {
    sleep(Duration::from_millis(10)).await;
    println!("main: cleaned up");
}

async fn ask(address: std::net::SocketAddr) -> io::Result<String> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(b"a long request\n");
    let answer = reader.read_line().await?;
    writer.close().await?;
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    // From here on the program handles these signals, also while no task waits for them.
    let mut signals = Signals::new([Signal::TERM, Signal::INT])?;
    let server = start_server("127.0.0.1:0", serve).await?;
    let address = server.local_addr()?;

    let client = create_task(ask(address));
    let killer = create_task(async {
        sleep(Duration::from_millis(50)).await;
        raise_signal(Signal::TERM)
    });

    let signal = signals.next().await;
    println!("main: {signal}, shutting down");
    server.shutdown(GRACE).await;
    println!("main: no more clients");
    assert!(open_connection(address).await.is_err());
    timeout(CLEANUP, clean_up()).await.expect("a quick cleanup");

    let answer = client.await.expect("a result")?;
    println!("client: {answer}");
    assert_eq!(answer, "done: a long request");
    killer.await.expect("a result")
}
