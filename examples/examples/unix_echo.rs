//! An echo server on a Unix socket, for programs on the same machine. The permissions of its file
//! decide which users may connect. `socat - UNIX-CONNECT:/tmp/echo.socket` is a client.
//!
//! ```text
//! cargo run -p asyncio-examples --example unix_echo                         is its own client
//! cargo run -p asyncio-examples --example unix_echo /tmp/echo.socket        until Ctrl-C
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use asyncio::{Server, StreamReader, StreamWriter, open_unix_connection, start_unix_server};

#[asyncio::main]
async fn main() -> io::Result<()> {
    match std::env::args().nth(1) {
        Some(path) => {
            let server = start(Path::new(&path)).await?;
            println!("serving on {path}");
            // The socket's file is removed at the end, also after Ctrl-C.
            server.serve_forever().await
        }
        None => show().await,
    }
}

/// Replaces a socket file that an earlier server has left. A file that is not a socket is an error.
async fn start(path: &Path) -> io::Result<Server> {
    let server = start_unix_server(path, echo).await?;
    // Only programs of this user may connect.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(server)
}

async fn echo(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    // One buffer for all lines.
    let mut line = Vec::new();
    while reader.read_line_into(&mut line).await? > 0 {
        writer.write(&line);
        writer.drain().await?;
        line.clear();
    }
    writer.close().await
}

async fn show() -> io::Result<()> {
    let path = place();
    let server = start(&path).await?;
    let (mut reader, writer) = open_unix_connection(&path).await?;
    for line in ["hello\n", "how are you?\n", "good bye\n"] {
        writer.write(line);
        let answer = reader.read_line().await?;
        print!("{}", String::from_utf8_lossy(&answer));
        assert_eq!(answer, line);
    }
    writer.close().await?;
    server.close();
    server.wait_closed().await;
    assert!(!path.exists(), "it cleans up");
    Ok(())
}

fn place() -> PathBuf {
    std::env::temp_dir().join(format!("unix-echo-{}.socket", std::process::id()))
}
