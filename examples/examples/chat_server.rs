//! A chat server: each line that a client sends goes to all other clients. `nc 127.0.0.1 8888` is a
//! client.
//!
//! ```text
//! cargo run -p asyncio-examples --example chat_server                     is its own client
//! cargo run -p asyncio-examples --example chat_server 127.0.0.1:8888      until Ctrl-C
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use asyncio::{
    Server, StreamReader, StreamWriter, Transport, open_connection, start_server, timeout,
};

/// The maximum length of a line.
const MAX_LINE: usize = 4096;
/// A client with more than this many unsent bytes reads too slowly. It is disconnected, so that the
/// others do not wait for it.
const MAX_BEHIND: usize = 256 * 1024;
/// How long a client may take to say its name.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The members. Tasks of one loop share it, and no method awaits, so it needs no lock.
#[derive(Default)]
struct Room {
    members: RefCell<BTreeMap<String, Transport>>,
}

impl Room {
    /// Reserves a name until the returned value is dropped; `None` if the name is taken.
    fn enter(&self, name: String, transport: &Transport) -> Option<Membership<'_>> {
        let mut members = self.members.borrow_mut();
        if members.contains_key(&name) {
            return None;
        }
        members.insert(name.clone(), transport.clone());
        drop(members);
        self.say("*", &format!("{name} is here"));
        Some(Membership { room: self, name })
    }

    /// Sends a line to all members except its sender.
    fn say(&self, from: &str, text: &str) {
        for (name, transport) in &*self.members.borrow() {
            if name == from {
                continue;
            }
            if transport.write_buffer_size() > MAX_BEHIND {
                transport.abort();
            } else {
                writeln!(transport, "{from}: {text}");
            }
        }
    }

    fn names(&self) -> String {
        self.members.borrow().keys().cloned().collect::<Vec<_>>().join(", ")
    }
}

struct Membership<'a> {
    room: &'a Room,
    name: String,
}

impl Drop for Membership<'_> {
    fn drop(&mut self) {
        self.room.members.borrow_mut().remove(&self.name);
        self.room.say("*", &format!("{} has left", self.name));
    }
}

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
    let room = Room::default();
    let handler = async move |reader, writer| serve(&room, reader, writer).await;
    start_server(address, handler).limit(MAX_LINE).await
}

/// Serves one client. When this returns or fails, the connection is closed.
async fn serve(room: &Room, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    writer.write(b"* what is your name?\n");
    let Ok(name) = timeout(TIMEOUT, next_text(&mut reader)).await else {
        writer.write(b"* good bye, stranger\n");
        return writer.close().await;
    };
    let Some(name) = name?.filter(|name| !name.is_empty() && name != "*") else { return Ok(()) };
    let Some(member) = room.enter(name, writer.transport()) else {
        writer.write(b"* that name is taken\n");
        return writer.close().await;
    };
    writeln!(writer, "* hello {}; /who, /quit", member.name);
    while let Some(text) = next_text(&mut reader).await? {
        match text.as_str() {
            "" => {}
            "/quit" => break,
            "/who" => writeln!(writer, "* {}", room.names()),
            text => room.say(&member.name, text),
        }
        writer.drain().await?;
    }
    writer.close().await
}

async fn next_text(reader: &mut StreamReader) -> io::Result<Option<String>> {
    let line = reader.next_line().await?;
    Ok(line.map(|line| String::from_utf8_lossy(&line).trim().to_owned()))
}

/// A test client that checks the lines that it receives.
struct Guest {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Guest {
    async fn connect(address: SocketAddr, name: &str) -> io::Result<Self> {
        let (reader, writer) = open_connection(address).await?;
        let mut guest = Self { reader, writer };
        guest.hears("* what is your name?").await?;
        guest.says(name);
        Ok(guest)
    }

    fn says(&self, text: &str) {
        self.writer.write_lines(&[text.as_bytes(), b"\n"]);
    }

    async fn hears(&mut self, text: &str) -> io::Result<()> {
        let line = self.reader.read_line().await?;
        println!("{}", String::from_utf8_lossy(&line).trim_end());
        assert_eq!(line, format!("{text}\n"));
        Ok(())
    }
}

async fn show(address: SocketAddr) -> io::Result<()> {
    let mut ada = Guest::connect(address, "Ada").await?;
    ada.hears("*: Ada is here").await?;
    ada.hears("* hello Ada; /who, /quit").await?;
    let mut bob = Guest::connect(address, "Bob").await?;
    bob.hears("*: Bob is here").await?;
    bob.hears("* hello Bob; /who, /quit").await?;
    ada.hears("*: Bob is here").await?;

    let mut impostor = Guest::connect(address, "Ada").await?;
    impostor.hears("* that name is taken").await?;
    assert!(impostor.reader.read_line().await?.is_empty());

    ada.says("hello");
    ada.says("/who");
    bob.hears("Ada: hello").await?;
    ada.hears("* Ada, Bob").await?;
    bob.says("/quit");
    assert!(bob.reader.read_line().await?.is_empty());
    ada.hears("*: Bob has left").await
}
