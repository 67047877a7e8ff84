//! A TCP proxy: copies bytes in both directions, no faster than the slower side reads. One side may
//! end its output while the other continues (a half-close); the proxy passes this on.
//!
//! ```text
//! cargo run -p asyncio-examples --example tcp_proxy
//! cargo run -p asyncio-examples --example tcp_proxy 127.0.0.1:8080 example.org:80
//! ```
//!
//! Without addresses it runs its own client and server; with them it runs until Ctrl-C.

use std::io;
use std::time::Duration;

use asyncio::{
    Server, StreamReader, StreamWriter, open_connection, start_server, timeout, try_gather,
};

/// How long connecting to the other side may take.
const TIMEOUT: Duration = Duration::from_secs(10);

#[asyncio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(listen), Some(target)) => {
            let server = start(listen, target).await?;
            println!("serving on {}", server.local_addr()?);
            server.serve_forever().await
        }
        _ => show().await,
    }
}

async fn start(listen: String, target: String) -> io::Result<Server> {
    start_server(listen, async move |reader, writer| serve(reader, writer, &target).await).await
}

/// Serves one client. An error on one side ends both sides: the remaining bytes are dropped with
/// the streams.
async fn serve(reader: StreamReader, writer: StreamWriter, target: &str) -> io::Result<()> {
    let connecting = open_connection(target).happy_eyeballs_delay(Duration::from_millis(250));
    let (target_reader, target_writer) =
        timeout(TIMEOUT, connecting.into_future()).await.map_err(|_| io::ErrorKind::TimedOut)??;
    try_gather((pass(reader, &target_writer), pass(target_reader, &writer))).await?;
    writer.close().await
}

/// Copies all bytes, and then passes on the end.
async fn pass(mut from: StreamReader, to: &StreamWriter) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            to.write_eof();
            return to.flush().await;
        }
        let count = bytes.len();
        to.write(bytes);
        from.consume(count);
        // This waits until the other side has taken most of the bytes.
        to.drain().await?;
    }
}

/// A server that answers after the end of the request, and a client, with the proxy in between.
async fn show() -> io::Result<()> {
    let target = start_server("127.0.0.1:0", async |mut reader, writer| {
        let request = reader.read_to_end().await?;
        writeln!(writer, "{} bytes, and the answer is:", request.len());
        writer.write_bytes(request.to_ascii_uppercase());
        writer.close().await
    })
    .await?;
    let proxy = start("127.0.0.1:0".to_owned(), target.local_addr()?.to_string()).await?;

    let (mut reader, writer) = open_connection(proxy.local_addr()?).await?;
    let request = "a long request ".repeat(200_000);
    writer.write(&request);
    writer.write_eof();
    let answer = reader.read_line().await?;
    println!("{}", String::from_utf8_lossy(&answer).trim_end());
    assert_eq!(answer, "3000000 bytes, and the answer is:\n");
    assert_eq!(reader.read_to_end().await?, request.to_uppercase());

    // If the target does not run, clients are disconnected at once instead of left waiting.
    target.close();
    let (mut reader, _writer) = open_connection(proxy.local_addr()?).await?;
    assert!(reader.read_to_end().await.unwrap_or_default().is_empty());
    Ok(())
}
