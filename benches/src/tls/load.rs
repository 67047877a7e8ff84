//! The load: many connections under TLS from one thread, by rustls and epoll.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind};

const READ_BUFFER: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(20);

/// An exchange, which a connection repeats.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    /// The number of bytes sent,
    pub sent: usize,
    /// and the number of bytes that come back.
    pub received: usize,
}

/// Connections that each make an exchange, and then the next one.
pub struct TlsLoad {
    epoll: OwnedFd,
    address: SocketAddr,
    config: Arc<ClientConfig>,
    connections: Vec<Connection>,
    exchange: Exchange,
    message: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
    /// The number of finished exchanges, or of finished connections.
    done: u64,
    /// Whether a connection goes on with the next exchange.
    refill: bool,
}

struct Connection {
    stream: TcpStream,
    session: ClientConnection,
    /// The state of the exchange in progress.
    sent: usize,
    received: usize,
    has_ended: bool,
}

impl TlsLoad {
    /// Opens a number of connections, one after another, and makes one exchange on each.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or answers something else.
    pub fn connect(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        connections: usize,
        exchange: Exchange,
    ) -> io::Result<Self> {
        let mut load = Self::new(address, config, exchange)?;
        for _ in 0..connections {
            load.add()?;
        }
        load.once()?;
        Ok(load)
    }

    /// Opens one more connection, and waits for the end of its handshake.
    ///
    /// # Errors
    ///
    /// When the server can't be reached.
    pub fn add(&mut self) -> io::Result<()> {
        let connection = self.open(self.connections.len())?;
        self.connections.push(connection);
        let end = Instant::now() + TIMEOUT;
        while self.connections.last().is_some_and(|last| last.session.is_handshaking()) {
            if Instant::now() >= end {
                return Err(ErrorKind::TimedOut.into());
            }
            self.turn(end)?;
        }
        Ok(())
    }

    fn new(address: SocketAddr, config: Arc<ClientConfig>, exchange: Exchange) -> io::Result<Self> {
        Ok(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            address,
            config,
            connections: Vec::new(),
            exchange,
            message: vec![b'x'; exchange.sent.min(READ_BUFFER)],
            buffer: vec![0; READ_BUFFER],
            events: Vec::with_capacity(1024),
            done: 0,
            refill: false,
        })
    }

    fn open(&self, index: usize) -> io::Result<Connection> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let session = ClientConnection::new(self.config.clone(), name).map_err(io::Error::other)?;
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &stream, EventData::new_u64(index as u64), interest)?;
        let Exchange { sent, received } = self.exchange;
        Ok(Connection { stream, session, sent, received, has_ended: false })
    }

    /// Keeps all connections busy for a duration. Returns how many exchanges were made.
    ///
    /// # Errors
    ///
    /// When a connection breaks.
    pub fn run_for(&mut self, duration: Duration) -> io::Result<u64> {
        let (before, end) = (self.done, Instant::now() + duration);
        self.refill = true;
        self.start_idle()?;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(self.done - before)
    }

    /// Makes one exchange on each connection.
    ///
    /// # Errors
    ///
    /// When a connection breaks, or an answer takes too long.
    pub fn once(&mut self) -> io::Result<()> {
        self.refill = false;
        self.start_idle()?;
        let end = Instant::now() + TIMEOUT;
        while !self.connections.iter().all(|connection| connection.is_idle(self.exchange)) {
            if Instant::now() >= end {
                return Err(ErrorKind::TimedOut.into());
            }
            self.turn(end)?;
        }
        Ok(())
    }

    fn start_idle(&mut self) -> io::Result<()> {
        for connection in &mut self.connections {
            if connection.is_idle(self.exchange) {
                (connection.sent, connection.received) = (0, 0);
                connection.send(&self.message, self.exchange)?;
            }
        }
        Ok(())
    }

    fn wait(&mut self, end: Instant) -> io::Result<()> {
        self.events.clear();
        let wait = end.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait))?;
        Ok(())
    }

    fn turn(&mut self, end: Instant) -> io::Result<()> {
        self.wait(end)?;
        for event in &self.events {
            let connection = &mut self.connections[event.data.u64() as usize];
            connection.send(&self.message, self.exchange)?;
            connection.receive(&mut self.buffer)?;
            if connection.has_ended {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            connection.send(&self.message, self.exchange)?;
            while self.refill && connection.is_idle(self.exchange) {
                self.done += 1;
                (connection.sent, connection.received) = (0, 0);
                connection.send(&self.message, self.exchange)?;
            }
        }
        Ok(())
    }

    /// Opens a number of connections at a time, waits until the server closes each, and opens
    /// others. Returns how many there were in the given time. `resumed` says of which kind most
    /// handshakes have to be.
    ///
    /// # Errors
    ///
    /// When a connection can't be made, or many handshakes are of the other kind.
    pub fn handshakes(
        address: SocketAddr,
        config: Arc<ClientConfig>,
        at_once: usize,
        duration: Duration,
        resumed: bool,
    ) -> io::Result<u64> {
        let mut load = Self::new(address, config, Exchange { sent: 0, received: 0 })?;
        let end = Instant::now() + duration;
        for index in 0..at_once {
            let connection = load.open(index)?;
            load.connections.push(connection);
        }
        let (mut closed, mut others) = (0, 0);
        while Instant::now() < end {
            load.wait(end)?;
            for at in 0..load.events.len() {
                let index = load.events[at].data.u64() as usize;
                let connection = &mut load.connections[index];
                connection.send(&[], load.exchange)?;
                connection.receive(&mut load.buffer)?;
                connection.send(&[], load.exchange)?;
                if connection.has_ended {
                    let was_resumed =
                        connection.session.handshake_kind() == Some(HandshakeKind::Resumed);
                    others += u64::from(was_resumed != resumed);
                    closed += 1;
                    load.connections[index] = load.open(index)?;
                }
            }
        }
        // The first connections have no session to resume, and sometimes no ticket is left.
        if others > 4 * at_once as u64 + closed / 20 {
            let text = format!("{others} of {closed} handshakes were of the other kind");
            return Err(io::Error::other(text));
        }
        Ok(closed)
    }
}

impl Connection {
    fn is_idle(&self, exchange: Exchange) -> bool {
        self.sent == exchange.sent && self.received >= exchange.received
    }

    /// Sends as many records and bytes of the exchange as the socket takes.
    fn send(&mut self, message: &[u8], exchange: Exchange) -> io::Result<()> {
        loop {
            while self.session.wants_write() {
                match self.session.write_tls(&mut self.stream) {
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    Err(error) => return Err(error),
                }
            }
            if self.session.is_handshaking() || self.sent == exchange.sent {
                return Ok(());
            }
            let rest = message.len().min(exchange.sent - self.sent);
            self.sent += self.session.writer().write(&message[..rest])?;
        }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            let length = match self.stream.read(buffer) {
                Ok(0) => {
                    self.has_ended = true;
                    return Ok(());
                }
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let mut records = &buffer[..length];
            while !records.is_empty() {
                self.session.read_tls(&mut records)?;
                let state = self.session.process_new_packets().map_err(io::Error::other)?;
                let mut plain = state.plaintext_bytes_to_read();
                while plain > 0 {
                    let taken = self.session.reader().read(&mut [0; 16 * 1024])?;
                    self.received += taken;
                    plain -= taken;
                }
                if state.peer_has_closed() {
                    self.session.send_close_notify();
                    self.has_ended = true;
                    return Ok(());
                }
            }
        }
    }
}
