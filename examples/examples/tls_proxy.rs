//! A TLS-terminating proxy: clients use TLS, and the proxy uses plain TCP with the server behind
//! it. The server gets the client's address in a line of the PROXY protocol.
//!
//! ```text
//! cargo run -p asyncio-examples --features tls --example tls_proxy
//! cargo run -p asyncio-examples --features tls --example tls_proxy \
//!     0.0.0.0:8443 127.0.0.1:8080 CHAIN KEY
//! ```
//!
//! Without addresses it runs its own client and server. With them it runs until Ctrl-C, and reads
//! the certificate again on SIGHUP.

use std::io;
use std::time::Duration;

use asyncio::tls::{Identity, TlsClient, TlsServer};
use asyncio::{
    Server, Signal, Signals, StreamReader, StreamWriter, create_task, open_connection,
    start_server, timeout, to_thread, try_gather,
};

/// How long connecting to the server behind the proxy may take.
const TIMEOUT: Duration = Duration::from_secs(10);

#[asyncio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [listen, behind, chain, key] => {
            let tls = TlsServer::from_pem_files(chain, key)?;
            create_task(reload(tls.clone()));
            let server = start(listen, behind.clone(), &tls).await?;
            println!("serving on {}", server.local_addr()?);
            server.serve_forever().await
        }
        _ => show().await,
    }
}

/// Reads the certificate again on each signal. If the file is invalid, the old certificate stays.
async fn reload(tls: TlsServer) -> io::Result<()> {
    let mut signals = Signals::new([Signal::HUP])?;
    loop {
        signals.next().await;
        let tls = tls.clone();
        match to_thread(move || tls.reload()).await? {
            Ok(()) => println!("the certificate was read again"),
            Err(error) => eprintln!("the old certificate stays: {error}"),
        }
    }
}

async fn start(listen: &str, behind: String, tls: &TlsServer) -> io::Result<Server> {
    start_server(listen, async move |reader, writer| serve(reader, writer, &behind).await)
        .tls(tls)
        .await
}

/// Serves one client after its handshake.
async fn serve(reader: StreamReader, writer: StreamWriter, behind: &str) -> io::Result<()> {
    let (from_behind, to_behind) = timeout(TIMEOUT, open_connection(behind).into_future())
        .await
        .map_err(|_| io::ErrorKind::TimedOut)??;
    let (client, own) = (writer.peer_addr()?, writer.local_addr()?);
    let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let (ip, own_ip) = (client.ip(), own.ip());
    write!(to_behind, "PROXY {family} {ip} {own_ip} {} {}\r\n", client.port(), own.port());
    try_gather((pass(reader, &to_behind), pass(from_behind, &writer))).await?;
    writer.close().await
}

/// Copies all bytes, and then passes on the end. TLS ends both directions at once, TCP only one.
async fn pass(mut from: StreamReader, to: &StreamWriter) -> io::Result<()> {
    loop {
        let bytes = from.fill_buf().await?;
        if bytes.is_empty() {
            return if to.can_write_eof() {
                to.write_eof();
                to.flush().await
            } else {
                to.close().await
            };
        }
        let count = bytes.len();
        to.write(bytes);
        from.consume(count);
        // This waits until the other side has taken most of the bytes.
        to.drain().await?;
    }
}

/// A line-based server and a client, with the proxy in between.
async fn show() -> io::Result<()> {
    let behind = start_server("127.0.0.1:0", async |mut reader, writer| {
        let origin = reader.read_line().await?;
        writer.write(&origin);
        while let Some(line) = reader.next_line().await? {
            writer.write(line.to_ascii_uppercase());
            writer.drain().await?;
        }
        writer.close().await
    })
    .await?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a name");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
    let tls = TlsServer::builder().identity(identity).build()?;
    let proxy = start("127.0.0.1:0", behind.local_addr()?.to_string(), &tls).await?;

    let tls = TlsClient::builder().roots_pem(chain.as_bytes())?.build()?;
    let address = ("localhost", proxy.local_addr()?.port());
    let (mut reader, writer) = open_connection(address).tls(&tls).await?;
    let origin = reader.read_line().await?;
    println!("{}", String::from_utf8_lossy(&origin).trim_end());
    assert!(origin.starts_with(b"PROXY TCP4 127.0.0.1 127.0.0.1 "));
    for length in [10, 1000, 30_000] {
        writer.write(&("x".repeat(length) + "\n"));
        assert_eq!(reader.read_line().await?, "X".repeat(length) + "\n");
    }
    writer.close().await?;

    // A client without TLS is refused, and the server behind the proxy is not contacted.
    let (mut reader, writer) = open_connection(proxy.local_addr()?).await?;
    writer.write("GET / HTTP/1.1\r\n\r\n");
    let answer = reader.read_to_end().await.unwrap_or_default();
    assert_eq!(answer.first(), Some(&21), "an alert of TLS");
    Ok(())
}
