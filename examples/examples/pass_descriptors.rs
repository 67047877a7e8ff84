//! A process that opens files for another one: it sends the descriptors over a Unix socket. Here
//! both are tasks.
//!
//! ```text
//! cargo run -p asyncio-examples --features tempfile --example pass_descriptors
//! ```

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;

use asyncio::net::{sock_recvmsg, sock_sendmsg};
use asyncio::{create_task, fs};

const MAX_NAME: usize = 4096;

/// Opens what is asked for, and sends an empty answer without a descriptor if it cannot.
async fn opener(socket: UnixStream) -> io::Result<u32> {
    let mut opened = 0;
    loop {
        let request = sock_recvmsg(&socket, MAX_NAME).await?;
        if request.data.is_empty() {
            return Ok(opened);
        }
        let name = String::from_utf8_lossy(&request.data).into_owned();
        match std::fs::File::open(&name) {
            Ok(file) => {
                opened += 1;
                sock_sendmsg(&socket, b"here").descriptor(&file).await?;
            }
            Err(error) => {
                sock_sendmsg(&socket, error.to_string().as_bytes()).await?;
            }
        }
    }
}

async fn open_remotely(socket: &UnixStream, name: &str) -> io::Result<std::fs::File> {
    sock_sendmsg(socket, name.as_bytes()).await?;
    let mut answer = sock_recvmsg(socket, 1024).descriptors(1).await?;
    match answer.descriptors.pop() {
        Some(descriptor) => Ok(descriptor.into()),
        None => Err(io::Error::other(String::from_utf8_lossy(&answer.data).into_owned())),
    }
}

#[asyncio::main]
async fn main() -> io::Result<()> {
    let folder = fs::TemporaryDirectory::new().await?;
    let path = folder.path().join("secret");
    std::fs::File::create(&path)?.write_all(b"open sesame")?;

    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    let task = create_task(opener(theirs));

    let mut file = open_remotely(&ours, path.to_str().expect("UTF-8")).await?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    assert_eq!(text, "open sesame");

    let error = open_remotely(&ours, "/nowhere/at/all").await.unwrap_err();
    println!("{error}");
    drop(ours);
    assert_eq!(task.await??, 1);
    folder.close().await
}
