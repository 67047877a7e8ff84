//! Serves files by HTTP. `sendfile` copies them from the file cache to the socket inside the
//! kernel, so the size of a file does not matter.
//!
//! ```text
//! cargo run -p asyncio-examples --example file_server                        is its own client
//! cargo run -p asyncio-examples --example file_server 127.0.0.1:8080 DIR     until Ctrl-C
//! curl http://127.0.0.1:8080/index.html                                      in another terminal
//! ```

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use asyncio::net::{SendfileOptions, sendfile};
use asyncio::{
    ReadError, Server, StreamReader, StreamWriter, open_connection, start_server, timeout,
    to_thread,
};

/// The maximum length of a request's head.
const MAX_HEAD: usize = 16 * 1024;
/// How long a client may take to send it.
const TIMEOUT: Duration = Duration::from_secs(30);

#[asyncio::main]
async fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next()) {
        (Some(address), root) => {
            let server = start(&address, root.unwrap_or_else(|| ".".to_owned()).into()).await?;
            println!("serving on http://{}", server.local_addr()?);
            server.serve_forever().await
        }
        _ => show().await,
    }
}

async fn start(address: &str, root: PathBuf) -> io::Result<Server> {
    let root = fs::canonicalize(root)?;
    let handler = async move |reader, writer| serve(&root, reader, writer).await;
    start_server(address, handler).limit(MAX_HEAD).await
}

/// A client's request.
struct Request {
    path: PathBuf,
    wants_contents: bool,
}

/// Serves one request; HTTP/1.0 has one per connection.
async fn serve(root: &Path, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let request = match timeout(TIMEOUT, read_request(&mut reader)).await {
        Ok(Ok(request)) => request,
        Ok(Err(status)) => return refuse(&writer, status).await,
        Err(_) => return refuse(&writer, "408 Request Timeout").await,
    };
    let path = root.join(&request.path);
    let root = root.to_owned();
    // A disk may be slow, and the loop must not wait for it.
    let opened = to_thread(move || open(&root, &path)).await.map_err(io::Error::other)?;
    let Ok((file, length)) = opened else { return refuse(&writer, "404 Not Found").await };
    write!(writer, "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n");
    if request.wants_contents {
        sendfile(writer.transport(), &file, SendfileOptions::new().count(length)).await?;
    }
    writer.close().await
}

async fn read_request(reader: &mut StreamReader) -> Result<Request, &'static str> {
    let head = match reader.read_until(b"\r\n\r\n").await {
        Ok(head) => head,
        Err(ReadError::LimitOverrun(_)) => return Err("431 Request Header Fields Too Large"),
        Err(_) => return Err("400 Bad Request"),
    };
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = std::str::from_utf8(line).map_err(|_| "400 Bad Request")?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let wants_contents = match method {
        "GET" => true,
        "HEAD" => false,
        _ => return Err("501 Not Implemented"),
    };
    let path = target.split('?').next().unwrap_or_default();
    let path = Path::new(path).strip_prefix("/").map_err(|_| "400 Bad Request")?;
    if !path.components().all(|component| matches!(component, Component::Normal(_))) {
        return Err("403 Forbidden");
    }
    Ok(Request { path: path.to_owned(), wants_contents })
}

/// Opens a file and returns its length. After resolving links, the file must be below `root`.
fn open(root: &Path, path: &Path) -> io::Result<(File, u64)> {
    let path = fs::canonicalize(path)?;
    // Check that it is a file before opening it: opening a pipe may wait forever.
    if !path.starts_with(root) || !path.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

async fn refuse(writer: &StreamWriter, status: &str) -> io::Result<()> {
    write!(writer, "HTTP/1.0 {status}\r\nContent-Length: 0\r\n\r\n");
    writer.close().await
}

async fn show() -> io::Result<()> {
    let root = std::env::temp_dir().join(format!("file-server-{}", std::process::id()));
    fs::create_dir_all(&root)?;
    let contents: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 7) as u8).collect();
    fs::write(root.join("large.bin"), &contents)?;
    std::os::unix::fs::symlink("/etc/hosts", root.join("way-out"))?;

    let server = start("127.0.0.1:0", root.clone()).await?;
    let address = server.local_addr()?;
    let (status, body) = fetch(address, "GET /large.bin?x=1 HTTP/1.0\r\n\r\n").await?;
    assert_eq!(status, "HTTP/1.0 200 OK");
    assert!(body == contents, "what came is what is in the file");
    let (status, body) = fetch(address, "HEAD /large.bin HTTP/1.0\r\nHost: here\r\n\r\n").await?;
    assert_eq!((status.as_str(), body.len()), ("HTTP/1.0 200 OK", 0));
    for (request, expected) in [
        ("GET /missing HTTP/1.0", "404 Not Found"),
        ("GET / HTTP/1.0", "404 Not Found"),
        ("GET /way-out HTTP/1.0", "404 Not Found"),
        ("GET /../../etc/hosts HTTP/1.0", "403 Forbidden"),
        ("GET large.bin HTTP/1.0", "400 Bad Request"),
        ("DELETE /large.bin HTTP/1.0", "501 Not Implemented"),
    ] {
        let (status, _) = fetch(address, &format!("{request}\r\n\r\n")).await?;
        assert_eq!(status, format!("HTTP/1.0 {expected}"));
    }
    fs::remove_dir_all(root)
}

/// Returns the status line and the body of an answer.
async fn fetch(address: SocketAddr, request: &str) -> io::Result<(String, Vec<u8>)> {
    let (mut reader, writer) = open_connection(address).await?;
    writer.write(request);
    let status = String::from_utf8_lossy(&reader.read_line().await?).trim_end().to_owned();
    while reader.read_line().await?.len() > 2 {}
    let body = reader.read_to_end().await?.to_vec();
    println!("{:?} -> {status}, {} bytes", request.lines().next().unwrap_or_default(), body.len());
    Ok((status, body))
}
