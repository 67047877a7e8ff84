//! The load: many connections from one thread, each with one message in flight, as fast as the
//! server answers.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

const READ_BUFFER: usize = 256 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that each send a message, wait until as many bytes have come back, and start again.
pub struct EchoLoad {
    epoll: OwnedFd,
    connections: Vec<Connection>,
    message: Vec<u8>,
    buffer: Vec<u8>,
    events: Vec<epoll::Event>,
    /// The number of messages that came back whole.
    answered: u64,
    /// Whether an answered connection sends the next message.
    refill: bool,
}

struct Connection {
    stream: TcpStream,
    sent: usize,
    received: usize,
}

impl EchoLoad {
    /// Opens a number of connections, and checks on the first that the message comes back
    /// unchanged.
    ///
    /// # Errors
    ///
    /// When the server can't be reached, or answers something else.
    pub fn connect(address: SocketAddr, connections: usize, message: Vec<u8>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..connections)
            .map(|index| {
                let mut stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                if index == 0 {
                    check(&mut stream, &message)?;
                }
                stream.set_nonblocking(true)?;
                let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
                epoll::add(&epoll, &stream, EventData::new_u64(index as u64), interest)?;
                Ok(Connection { stream, sent: message.len(), received: message.len() })
            })
            .collect::<io::Result<_>>()?;
        let (buffer, events) = (vec![0; READ_BUFFER], Vec::with_capacity(1024));
        Ok(Self { epoll, connections, message, buffer, events, answered: 0, refill: true })
    }

    /// Keeps all connections busy for a duration. Returns how many messages came back in that time.
    ///
    /// # Errors
    ///
    /// When a connection breaks.
    pub fn run_for(&mut self, duration: Duration) -> io::Result<u64> {
        let (before, end) = (self.answered, Instant::now() + duration);
        self.refill = true;
        self.start_idle()?;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(self.answered - before)
    }

    /// Sends one message on each connection and waits for all answers.
    ///
    /// # Errors
    ///
    /// When a connection breaks, or an answer takes too long.
    pub fn once(&mut self) -> io::Result<()> {
        self.start_idle()?;
        self.finish()
    }

    /// Waits for the answers under way, without sending anything new.
    ///
    /// # Errors
    ///
    /// When a connection breaks, or an answer takes too long.
    pub fn finish(&mut self) -> io::Result<()> {
        self.refill = false;
        let end = Instant::now() + TIMEOUT;
        while !self.connections.iter().all(|connection| connection.is_idle(&self.message)) {
            if Instant::now() >= end {
                return Err(ErrorKind::TimedOut.into());
            }
            self.turn(end)?;
        }
        Ok(())
    }

    fn start_idle(&mut self) -> io::Result<()> {
        let message = &self.message;
        for connection in self.connections.iter_mut().filter(|each| each.is_idle(message)) {
            connection.start(message)?;
        }
        Ok(())
    }

    fn turn(&mut self, end: Instant) -> io::Result<()> {
        self.events.clear();
        let wait = end.saturating_duration_since(Instant::now());
        let wait = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&wait))?;
        for event in &self.events {
            let connection = &mut self.connections[event.data.u64() as usize];
            if connection.advance(&self.message, &mut self.buffer)? {
                self.answered += 1;
                if self.refill {
                    connection.start(&self.message)?;
                }
            }
        }
        Ok(())
    }
}

impl Connection {
    fn is_idle(&self, message: &[u8]) -> bool {
        self.received == message.len()
    }

    fn start(&mut self, message: &[u8]) -> io::Result<()> {
        (self.sent, self.received) = (0, 0);
        self.send(message)
    }

    /// Sends and receives what can be; whether that completed the answer.
    fn advance(&mut self, message: &[u8], buffer: &mut [u8]) -> io::Result<bool> {
        if self.is_idle(message) {
            return Ok(false);
        }
        self.send(message)?;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    self.received += length;
                    if length < buffer.len() {
                        return Ok(self.is_idle(message));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        while self.sent < message.len() {
            match self.stream.write(&message[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn check(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(message)?;
    let mut answer = vec![0; message.len()];
    stream.read_exact(&mut answer)?;
    if answer != message {
        return Err(io::Error::new(ErrorKind::InvalidData, "the server answers something else"));
    }
    Ok(())
}

/// Opens a number of connections at a time, waits until the server closes each, and opens the next.
/// Returns how many there were in the given time.
///
/// # Errors
///
/// When a connection can't be made.
pub fn connect_and_close(
    address: SocketAddr,
    at_once: usize,
    duration: Duration,
) -> io::Result<u64> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let mut sockets: Vec<OwnedFd> =
        (0..at_once).map(|index| open(&epoll, address, index)).collect::<io::Result<_>>()?;
    let mut events = Vec::with_capacity(at_once);
    let (mut closed, end) = (0, Instant::now() + duration);
    while Instant::now() < end {
        events.clear();
        epoll::wait(
            &epoll,
            spare_capacity(&mut events),
            Some(&Timespec { tv_sec: 1, tv_nsec: 0 }),
        )?;
        for event in &events {
            let flags = event.flags;
            if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
                let index = event.data.u64() as usize;
                sockets[index] = open(&epoll, address, index)?;
                closed += 1;
            }
        }
    }
    Ok(closed)
}

fn open(epoll: &OwnedFd, address: SocketAddr, index: usize) -> io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let interest = EventFlags::RDHUP | EventFlags::ET;
    epoll::add(epoll, &socket, EventData::new_u64(index as u64), interest)?;
    Ok(socket)
}
