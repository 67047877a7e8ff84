//! A chat server whose clients may begin TLS at any time: after the line `STARTTLS` and the answer
//! `go ahead`, both sides continue the same conversation, encrypted. `openssl s_client` cannot send
//! that line, so the program runs its own client.
//!
//! ```text
//! cargo run -p asyncio-examples --features tls --example chat_starttls
//! cargo run -p asyncio-examples --features tls --example chat_starttls 127.0.0.1:8888 CHAIN KEY
//! ```
//!
//! With the files of a certificate it runs until Ctrl-C.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use asyncio::tls::{Identity, TlsClient, TlsInfo, TlsServer, accept_tls, start_tls};
use asyncio::{Server, StreamReader, StreamWriter, Transport, open_connection, start_server};

/// The transports of all clients. A client that begins TLS gets another one.
type Room = RefCell<Vec<Transport>>;

#[asyncio::main]
async fn main() -> io::Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [address, chain, key] => {
            let server = start(address, TlsServer::from_pem_files(chain, key)?).await?;
            println!("serving on {}", server.local_addr()?);
            server.serve_forever().await
        }
        _ => show().await,
    }
}

async fn start(address: &str, tls: TlsServer) -> io::Result<Server> {
    let room = Rc::new(Room::default());
    start_server(address, async move |reader, writer| serve(&room, &tls, reader, writer).await)
        .await
}

/// The protocol of one client.
async fn serve(
    room: &Room,
    tls: &TlsServer,
    mut reader: StreamReader,
    mut writer: StreamWriter,
) -> io::Result<()> {
    let mut seat = Seat::take(room, &writer);
    while let Some(line) = reader.next_line().await? {
        if line.trim_ascii() == b"STARTTLS" && writer.extra::<TlsInfo>().is_none() {
            drop(seat);
            // This answer is sent unencrypted. After its own line the client sends TLS.
            writer.write("go ahead\n");
            accept_tls(&mut reader, &mut writer, tls).await?;
            seat = Seat::take(room, &writer);
            continue;
        }
        for other in room.borrow().iter().filter(|other| *other != &seat.transport) {
            other.write(&line);
        }
        writer.drain().await?;
    }
    writer.close().await
}

/// A member's place in the room, until it is dropped.
struct Seat<'a> {
    room: &'a Room,
    transport: Transport,
}

impl<'a> Seat<'a> {
    fn take(room: &'a Room, writer: &StreamWriter) -> Self {
        let transport = writer.transport().clone();
        room.borrow_mut().push(transport.clone());
        Self { room, transport }
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.room.borrow_mut().retain(|transport| *transport != self.transport);
    }
}

/// A test client.
struct Guest {
    reader: StreamReader,
    writer: StreamWriter,
}

impl Guest {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let (reader, writer) = open_connection(address).await?;
        Ok(Self { reader, writer })
    }

    async fn start_tls(&mut self, tls: &TlsClient) -> io::Result<()> {
        self.writer.write("STARTTLS\n");
        self.hears("go ahead\n").await?;
        let info = start_tls(&mut self.reader, &mut self.writer, tls, "chat.example").await?;
        println!("{} with {}", info.version(), info.cipher_suite());
        Ok(())
    }

    async fn hears(&mut self, text: &str) -> io::Result<()> {
        let line = self.reader.read_line().await?;
        println!("{}", String::from_utf8_lossy(&line).trim_end());
        assert_eq!(line, text);
        Ok(())
    }
}

async fn show() -> io::Result<()> {
    let made = rcgen::generate_simple_self_signed(["chat.example".to_owned()]).expect("a name");
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let identity = Identity::from_pem(chain.as_bytes(), key.as_bytes())?;
    let server = start("127.0.0.1:0", TlsServer::builder().identity(identity).build()?).await?;
    let trusting = TlsClient::builder().roots_pem(chain.as_bytes())?.build()?;

    let address = server.local_addr()?;
    let (mut ada, mut bob) = (Guest::connect(address).await?, Guest::connect(address).await?);
    // Each client is in the room once the other is told of it.
    ada.start_tls(&trusting).await?;
    bob.start_tls(&trusting).await?;
    ada.writer.write("can anybody read this?\n");
    bob.hears("can anybody read this?\n").await?;
    bob.writer.write("only we\n");
    ada.hears("only we\n").await?;

    // A client that trusts another root ends the connection.
    let other = rcgen::generate_simple_self_signed(["chat.example".to_owned()]).expect("a name");
    let misled = TlsClient::builder().roots_pem(other.cert.pem().as_bytes())?.build()?;
    let mut stranger = Guest::connect(address).await?;
    assert!(stranger.start_tls(&misled).await.is_err());
    Ok(())
}
