//! A failed handshake is logged as one line at debug level.

mod common;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Mutex;
use std::time::Duration;

use asyncio_net::{StreamReader, StreamWriter, open_connection, start_server};
use asyncio_task::{Runner, run};
use asyncio_tls::TlsServer;
use log::{Level, LevelFilter, Log, Metadata, Record};

use self::common::{Authority, reports, until};

/// A logger that keeps the log lines of all tests in this binary.
struct Lines(Mutex<Vec<(Level, String)>>);

static LINES: Lines = Lines(Mutex::new(Vec::new()));

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "asyncio"
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = (record.level(), record.args().to_string());
            self.0.lock().unwrap().push(line);
        }
    }

    fn flush(&self) {}
}

fn listen() {
    // Another test may have set the logger before.
    let _ = log::set_logger(&LINES);
    log::set_max_level(LevelFilter::Debug);
}

/// The log lines about this peer.
fn about(peer: std::net::SocketAddr) -> Vec<(Level, String)> {
    let lines = LINES.0.lock().unwrap();
    lines.iter().filter(|(_, line)| line.contains(&peer.to_string())).cloned().collect()
}

/// A server that counts the calls of its handler.
async fn serve(tls: &TlsServer, clients: &Rc<Cell<u32>>) -> io::Result<asyncio_net::Server> {
    let clients = clients.clone();
    let handler = async move |_: StreamReader, _: StreamWriter| clients.set(clients.get() + 1);
    start_server("127.0.0.1:0", handler).tls(tls).await
}

#[test]
fn it_names_the_peer_and_the_reason() {
    listen();
    let (authority, stranger) = (Authority::new(), Authority::new());
    run(async {
        let (reports, clients) = (reports(), Rc::new(Cell::new(0)));
        let server = serve(&authority.server(), &clients).await?;
        let address = server.local_addr()?;

        // The client does not speak TLS.
        let (mut reader, writer) = open_connection(address).await?;
        writer.write("GET / HTTP/1.1\r\n\r\n");
        let peer = writer.local_addr()?;
        let _ = reader.read_to_end().await;
        until(|| !about(peer).is_empty()).await;
        let reason = "the peer does not speak TLS: received corrupt message of type \
                      InvalidContentType";
        assert_eq!(about(peer), [(Level::Debug, format!("no connection with {peer}: {reason}"))]);

        // The client sends nothing.
        let (_, writer) = open_connection(address).await?;
        let peer = writer.local_addr()?;
        drop(writer);
        until(|| !about(peer).is_empty()).await;
        let reason = "the peer ended the connection in the TLS handshake";
        assert_eq!(about(peer), [(Level::Debug, format!("no connection with {peer}: {reason}"))]);

        // The client trusts another root.
        let socket = std::net::TcpStream::connect(address)?;
        let peer = socket.local_addr()?;
        let tls = stranger.client().with_server_name("localhost")?;
        assert!(open_connection(socket).tls(&tls).await.is_err());
        until(|| !about(peer).is_empty()).await;
        let reason = "received fatal alert: UnknownCA";
        assert_eq!(about(peer), [(Level::Debug, format!("no connection with {peer}: {reason}"))]);

        assert_eq!((clients.get(), &*reports.borrow()), (0, &vec![]));
        io::Result::Ok(())
    })
    .unwrap();
}

#[test]
fn it_tells_of_a_client_that_is_too_slow() {
    listen();
    let authority = Authority::new();
    Runner::builder()
        .virtual_time(true)
        .run(async {
            let clients = Rc::new(Cell::new(0));
            let server = serve(&authority.server(), &clients).await?;
            let (mut reader, writer) = open_connection(server.local_addr()?).await?;
            let peer = writer.local_addr()?;
            asyncio_task::sleep(Duration::from_secs(59)).await;
            assert_eq!(about(peer), []);
            assert_eq!(reader.read_to_end().await?, "");
            let reason = "the TLS handshake took longer than 60s";
            assert_eq!(
                about(peer),
                [(Level::Debug, format!("no connection with {peer}: {reason}"))]
            );
            assert_eq!(clients.get(), 0);
            io::Result::Ok(())
        })
        .unwrap();
}
