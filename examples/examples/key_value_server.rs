//! A key-value server with the Redis protocol: `redis-cli`, `redis-benchmark` and client libraries
//! can talk to it.
//!
//! ```text
//! cargo run --release -p asyncio-examples --example key_value_server
//! cargo run --release -p asyncio-examples --example key_value_server 127.0.0.1:6379
//! redis-cli set greeting hello EX 60                                     in another terminal
//! ```
//!
//! Without an address it runs its own client; with one it serves until Ctrl-C. It knows PING, ECHO,
//! SET (EX, PX, NX, XX), GET, DEL, EXISTS, INCR, DECR, INCRBY, EXPIRE, PERSIST, TTL, PTTL, KEYS,
//! DBSIZE, FLUSHALL and QUIT.

#[path = "key_value_server/commands.rs"]
mod commands;
#[path = "key_value_server/resp.rs"]
mod resp;
#[path = "key_value_server/store.rs"]
mod store;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use asyncio::{Server, StreamReader, StreamWriter, open_connection, sleep, start_server, timeout};
use resp::{MAX_LINE, Reply, RequestError, read_request};
use store::Store;

/// How long a client that broke the protocol may take to close its connection.
const LINGER: Duration = Duration::from_secs(1);

#[asyncio::main]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        Some(address) => {
            let server = start(&address).await?;
            println!("serving on {}", server.local_addr()?);
            server.serve_forever().await
        }
        None => {
            let server = start("127.0.0.1:0").await?;
            show(server.local_addr()?).await
        }
    }
}

async fn start(address: &str) -> io::Result<Server> {
    let store = Store::new();
    let handler = async move |reader, writer| serve(&store, reader, writer).await;
    start_server(address, handler).limit(MAX_LINE).await
}

/// Serves one client. Requests that arrive together are answered together: all writes of one turn
/// are sent in one system call when the turn ends.
async fn serve(
    store: &Rc<Store>,
    mut reader: StreamReader,
    writer: StreamWriter,
) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let request = match read_request(&mut reader).await {
            Ok(Some(words)) => words,
            Ok(None) => break,
            Err(RequestError::Protocol(text)) => {
                out.clear();
                Reply::Error(format!("ERR Protocol error: {text}")).encode(&mut out);
                writer.write(&out);
                return hang_up(reader, writer).await;
            }
            Err(RequestError::Gone) => break,
        };
        if let Some(reply) = commands::execute(store, &request) {
            out.clear();
            reply.encode(&mut out);
            writer.write(&out);
            // A client that sends requests but reads no answers waits here.
            writer.drain().await?;
        }
        if request.first().is_some_and(|name| name.eq_ignore_ascii_case(b"QUIT")) {
            break;
        }
    }
    writer.close().await
}

/// Closes the connection of a client that may still be sending. If bytes were left unread, the
/// system would reset the connection, and the client might lose the last answer.
async fn hang_up(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    writer.write_eof();
    let rest = async {
        while !reader.read(MAX_LINE).await?.is_empty() {}
        io::Result::Ok(())
    };
    let _ = timeout(LINGER, rest).await;
    writer.close().await
}

/// Sends requests and checks the answers.
async fn show(address: SocketAddr) -> io::Result<()> {
    let (mut reader, writer) = open_connection(address).await?;
    let mut ask = async |request: &[u8], answer: &str| -> io::Result<()> {
        writer.write(request);
        let got = reader.read_exactly(answer.len()).await?;
        println!("{:?} -> {:?}", String::from_utf8_lossy(request), String::from_utf8_lossy(&got));
        assert_eq!(got, answer);
        Ok(())
    };
    // A request as people type it, as programs send it, and several at a time.
    ask(b"PING\r\n", "+PONG\r\n").await?;
    ask(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\n1\r\n 2\r\n", "+OK\r\n").await?;
    ask(b"get a\nget b\n\r\nget", "$5\r\n1\r\n 2\r\n$-1\r\n").await?;
    ask(b" a\r\n", "$5\r\n1\r\n 2\r\n").await?;
    ask(b"INCR n\r\nINCRBY n 41\r\nDECR n\r\n", ":1\r\n:42\r\n:41\r\n").await?;
    ask(b"SET n x NX\r\nSET m x XX\r\nEXISTS n m n\r\n", "$-1\r\n$-1\r\n:2\r\n").await?;
    ask(
        b"KEYS *\r\nKEYS ?\r\nKEYS b*\r\n",
        "*2\r\n$1\r\na\r\n$1\r\nn\r\n*2\r\n$1\r\na\r\n$1\r\nn\r\n*0\r\n",
    )
    .await?;
    ask(b"SET abcabd 1\r\nKEYS *a?d\r\nKEYS a*b*bc\r\n", "+OK\r\n*1\r\n$6\r\nabcabd\r\n*0\r\n")
        .await?;
    ask(b"EXPIRE abcabd 0\r\nGET abcabd\r\n", ":1\r\n$-1\r\n").await?;
    ask(
        b"TTL a\r\nEXPIRE a 100\r\nTTL a\r\nPERSIST a\r\nTTL a\r\n",
        ":-1\r\n:1\r\n:100\r\n:1\r\n:-1\r\n",
    )
    .await?;
    ask(b"SET s 1 PX 20\r\nDEL n s2\r\n", "+OK\r\n:1\r\n").await?;
    sleep(Duration::from_millis(30)).await;
    ask(b"GET s\r\nTTL s\r\nDBSIZE\r\n", "$-1\r\n:-2\r\n:1\r\n").await?;

    ask(b"INCR a\r\n", "-ERR value is not an integer or out of range\r\n").await?;
    ask(b"GET\r\n", "-ERR wrong number of arguments for 'get' command\r\n").await?;
    ask(b"BREW tea\r\n", "-ERR unknown command 'BREW'\r\n").await?;
    ask(b"QUIT\r\n", "+OK\r\n").await?;
    assert!(reader.read(1).await?.is_empty(), "the server hangs up");

    refuses(address, b"*2\r\n:1\r\n", "expected '$'").await?;
    refuses(address, b"*1\r\n$4\r\nPINGxx", "expected a line end after a bulk").await?;
    refuses(address, b"*x\r\n", "invalid length").await?;
    refuses(address, b"*99999\r\n", "invalid multibulk length").await?;
    refuses(address, b"*1\r\n$9999999\r\n", "invalid bulk length").await?;
    refuses(address, &[b'x'; 2 * MAX_LINE], "too big inline request").await
}

/// A violation of the protocol is answered with an error, and the connection is closed.
async fn refuses(address: SocketAddr, request: &[u8], reason: &str) -> io::Result<()> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(request);
    let answer = reader.read_line().await?;
    println!("{}", String::from_utf8_lossy(&answer).trim_end());
    assert_eq!(answer, format!("-ERR Protocol error: {reason}\r\n"));
    Ok(())
}
