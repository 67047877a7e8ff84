//! Python's asyncio, by `streams.py`, on either side of TCP, Unix sockets and UDP.

use std::io;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use asyncio_net::{
    Address, DatagramProtocol, DatagramTransport, Protocol, Server, StreamReader, StreamWriter,
    Transport, create_datagram_endpoint, create_server, open_connection, open_unix_connection,
    start_server, start_unix_server,
};
use asyncio_task::gather;

use crate::common::{Log, TempDir, bytes, reports, run};
use crate::program::{Program, is_missing};

/// Must agree with `streams.py`.
const LENGTH: usize = 6 * 1024 * 1024;
const DATAGRAMS: [usize; 5] = [1, 100, 1400, 9000, 60_000];

/// What our side does; `counterpart` is what Python's side does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Task {
    Exchange,
    Ask,
    Answer,
    Reset,
    BeReset,
    Lines,
}

impl Task {
    /// The task of Python's side.
    fn counterpart(self) -> &'static str {
        match self {
            Self::Exchange => "exchange",
            Self::Ask => "answer",
            Self::Answer => "ask",
            Self::Reset => "be_reset",
            Self::BeReset => "reset",
            Self::Lines => "lines",
        }
    }

    async fn run(self, mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
        match self {
            Self::Exchange => {
                let (received, sent) = gather((reader.read_to_end(), send(&writer))).await;
                sent?;
                assert!(received? == bytes(LENGTH));
            }
            Self::Ask => {
                writer.write(bytes(200_000));
                writer.write_eof();
                assert!(reader.read_to_end().await? == bytes(300_000));
            }
            Self::Answer => {
                assert!(reader.read_to_end().await? == bytes(200_000));
                writer.write(bytes(300_000));
            }
            Self::Reset => {
                reader.read_exactly(100_000).await?;
                let transport = writer.transport();
                transport.with_socket(|socket| {
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                });
                transport.abort();
            }
            Self::BeReset => return be_reset(reader, writer).await,
            Self::Lines => {
                while let Some(line) = reader.next_line().await? {
                    for byte in line {
                        writer.write([byte]);
                        writer.drain().await?;
                    }
                }
            }
        }
        writer.close().await
    }
}

async fn send(writer: &StreamWriter) -> io::Result<()> {
    for chunk in bytes(LENGTH).chunks(50_000) {
        writer.write(chunk);
        writer.drain().await?;
    }
    writer.write_eof();
    Ok(())
}

async fn be_reset(mut reader: StreamReader, writer: StreamWriter) -> io::Result<()> {
    let written = loop {
        writer.write(bytes(50_000));
        if let Err(error) = writer.drain().await {
            break error.kind();
        }
    };
    let kinds = [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe];
    assert!(kinds.contains(&written), "{written}");
    // The peer had sent no data: the read returns the end of the stream or the error again.
    assert!(matches!(reader.read(1).await.as_deref(), Ok([]) | Err(_)));
    assert_eq!(writer.close().await.unwrap_err().kind(), written);
    Ok(())
}

/// A command that runs the script on the given side.
fn python(role: &str, task: &str, address: &str) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/streams.py");
    let mut command = Command::new("python3");
    Program::start(command.arg(script).args([role, task, address]).stdout(Stdio::piped()))
}

/// Python listens, we connect.
async fn connect_to_python(task: Task, address: &str) -> io::Result<()> {
    let mut peer = python("serve", task.counterpart(), address);
    let place = peer.line();
    let (reader, writer) = match address.starts_with("unix") {
        true => open_unix_connection(&place).await?,
        false => open_connection(format!("127.0.0.1:{place}")).await?,
    };
    let (ours, theirs) = gather((task.run(reader, writer), peer.finish())).await;
    ours?;
    assert_eq!(theirs?, "ok\n", "{task:?} on {address}");
    Ok(())
}

/// We listen, Python connects.
async fn serve_python(task: Task, address: &str) -> io::Result<()> {
    let reports = reports();
    let log = Log::default();
    let handler = {
        let log = log.clone();
        async move |reader: StreamReader, writer: StreamWriter| {
            let result = task.run(reader, writer).await;
            log.add(format!("{result:?}"));
        }
    };
    let (server, place) = match address.strip_prefix("unix:") {
        Some(path) => (start_unix_server(path, handler).await?, address.to_owned()),
        None => {
            let server = start_server("127.0.0.1:0", handler).await?;
            let place = format!("tcp:{}", server.local_addr()?.port());
            (server, place)
        }
    };
    let theirs = python("connect", task.counterpart(), &place).finish().await?;
    assert_eq!(theirs, "ok\n", "{task:?} on {address}");
    log.until_count(1).await;
    assert_eq!(log.lines(), ["Ok(())"], "{task:?} on {address}");
    end(server).await;
    assert!(reports.borrow().is_empty(), "{reports:?}");
    Ok(())
}

async fn end(server: Server) {
    server.close();
    server.wait_closed().await;
}

/// Runs the task over TCP, with Python as the server and as the client, and over Unix sockets if
/// the task can.
fn with_python(task: Task) {
    if is_missing("python3", "-c") {
        return;
    }
    run(async || {
        let dir = TempDir::new();
        let unix = |name| format!("unix:{}", dir.path(name).display());
        connect_to_python(task, "tcp:0").await?;
        serve_python(task, "tcp:0").await?;
        if !matches!(task, Task::Reset | Task::BeReset) {
            connect_to_python(task, &unix("theirs")).await?;
            serve_python(task, &unix("ours")).await?;
        }
        Ok(())
    });
}

#[test]
fn megabytes_both_ways_at_the_same_time() {
    with_python(Task::Exchange);
}

#[test]
fn our_half_ends_first() {
    with_python(Task::Ask);
}

#[test]
fn their_half_ends_first() {
    with_python(Task::Answer);
}

#[test]
fn we_reset_in_the_middle() {
    with_python(Task::Reset);
}

#[test]
fn they_reset_in_the_middle() {
    with_python(Task::BeReset);
}

#[test]
fn lines_one_byte_at_a_time() {
    with_python(Task::Lines);
}

/// A protocol that sends as much as it receives, at the same time, as fast as it may.
struct Exchange {
    log: Log,
    received: Vec<u8>,
    to_send: Rc<[u8]>,
    sent: usize,
    is_paused: bool,
}

impl Exchange {
    fn new(log: Log) -> Self {
        Self { log, received: Vec::new(), to_send: bytes(LENGTH).into(), sent: 0, is_paused: false }
    }

    fn send(&mut self, transport: &Transport) {
        let to_send = self.to_send.clone();
        for chunk in to_send[self.sent..].chunks(50_000) {
            if transport.write_buffer_size() > transport.write_buffer_limits().1 || self.is_paused {
                return;
            }
            self.sent += chunk.len();
            transport.write(chunk);
        }
        transport.write_eof();
    }
}

impl Protocol for Exchange {
    fn connection_made(&mut self, transport: &Transport) {
        self.send(transport);
    }

    fn data_received(&mut self, _: &Transport, data: &[u8]) {
        self.received.extend_from_slice(data);
    }

    fn eof_received(&mut self, transport: &Transport) -> bool {
        let is_sent = self.sent == LENGTH && transport.write_buffer_size() == 0;
        !is_sent
    }

    fn pause_writing(&mut self, _: &Transport) {
        self.is_paused = true;
    }

    fn resume_writing(&mut self, transport: &Transport) {
        self.is_paused = false;
        self.send(transport);
    }

    fn connection_lost(&mut self, _: &Transport, error: Option<io::Error>) {
        assert!(self.received == bytes(LENGTH));
        self.log.add(format!("{error:?}"));
    }
}

#[test]
fn megabytes_both_ways_by_protocol() {
    if is_missing("python3", "-c") {
        return;
    }
    run(async || {
        let log = Log::default();
        let server = create_server("127.0.0.1:0", {
            let log = log.clone();
            move || Exchange::new(log.clone())
        })
        .await?;
        let address = format!("tcp:{}", server.local_addr()?.port());
        assert_eq!(python("connect", "exchange", &address).finish().await?, "ok\n");
        server.close_clients();
        log.until("None").await;
        end(server).await;
        Ok(())
    });
}

/// A datagram protocol: a server echoes; a client sends one datagram of each length and waits for
/// each echo.
struct Datagrams {
    log: Log,
    asks: bool,
}

impl DatagramProtocol for Datagrams {
    fn connection_made(&mut self, transport: &DatagramTransport) {
        if self.asks {
            transport.send(bytes(DATAGRAMS[0]));
        }
    }

    fn datagram_received(&mut self, transport: &DatagramTransport, data: &[u8], sender: &Address) {
        let count = self.log.lines().len();
        assert!(data == bytes(DATAGRAMS[count]));
        if !self.asks {
            transport.send_to(data, sender.clone());
        } else if let Some(length) = DATAGRAMS.get(count + 1) {
            transport.send(bytes(*length));
        }
        self.log.add("came");
    }
}

#[test]
fn datagrams_of_all_sizes() {
    if is_missing("python3", "-c") {
        return;
    }
    run(async || {
        let log = Log::default();
        let factory = || Datagrams { log: log.clone(), asks: false };
        let transport = create_datagram_endpoint(factory).local_addr("127.0.0.1:0").await?;
        let address = format!("udp:{}", transport.local_addr().unwrap().port());
        assert_eq!(python("connect", "datagrams", &address).finish().await?, "ok\n");
        assert_eq!(log.take().len(), DATAGRAMS.len());

        let mut peer = python("serve", "datagrams", "udp:0");
        let address = format!("127.0.0.1:{}", peer.line());
        let factory = || Datagrams { log: log.clone(), asks: true };
        create_datagram_endpoint(factory).remote_addr(address).await?;
        assert_eq!(peer.finish().await?, "ok\n");
        log.until_count(DATAGRAMS.len()).await;
        Ok(())
    });
}
