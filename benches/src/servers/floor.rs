//! The floor: an edge-triggered epoll loop by hand, one read buffer for all connections, no second
//! `recv` after a short one, a queue only where a send was short.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventData, EventFlags};

use super::{DATAGRAM, Service, datagram_socket, lines_of};

/// The token of the listener; a connection's is its descriptor.
const LISTENER: u64 = u64::MAX;
const READ_BUFFER: usize = 256 * 1024;

pub(super) fn serve(listener: TcpListener, service: Service) -> io::Result<()> {
    run(listener, service, false)
}

/// Like [`serve`], but with [`Service::Close`] a connection is registered with epoll from the
/// start, as a server has to that reads from it, and closed then.
pub(super) fn serve_watching(listener: TcpListener, service: Service) -> io::Result<()> {
    run(listener, service, true)
}

fn run(listener: TcpListener, service: Service, watching: bool) -> io::Result<()> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    if service == Service::Datagrams {
        return datagrams(&epoll, &datagram_socket(&listener)?);
    }
    watch(&epoll, &listener, LISTENER)?;
    let mut server =
        Server { epoll, listener, service, watching, connections: Vec::new(), lines: Vec::new() };
    let mut buffer = vec![0; READ_BUFFER];
    let mut events = Vec::with_capacity(1024);
    loop {
        events.clear();
        epoll::wait(&server.epoll, spare_capacity(&mut events), None)?;
        for event in &events {
            match event.data.u64() {
                LISTENER => server.accept()?,
                token => server.serve(token as usize, &mut buffer),
            }
        }
    }
}

fn datagrams(epoll: &OwnedFd, socket: &UdpSocket) -> io::Result<()> {
    watch(epoll, socket, 0)?;
    let mut buffer = [0; DATAGRAM];
    let mut events = Vec::with_capacity(1);
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((length, sender)) => {
                socket.send_to(&buffer[..length], sender)?;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                events.clear();
                epoll::wait(epoll, spare_capacity(&mut events), None)?;
            }
            Err(error) => return Err(error),
        }
    }
}

struct Server {
    epoll: OwnedFd,
    listener: TcpListener,
    service: Service,
    /// Every connection is watched, also one that is closed at once.
    watching: bool,
    /// Connections, by descriptor.
    connections: Vec<Option<Connection>>,
    /// Answers of the current packet, for [`Service::Lines`].
    lines: Vec<u8>,
}

struct Connection {
    stream: TcpStream,
    /// The bytes that the last send did not take.
    unsent: Vec<u8>,
    /// The start of a line whose end has not arrived.
    partial: Vec<u8>,
}

impl Server {
    fn accept(&mut self) -> io::Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            let closes = self.service == Service::Close;
            if closes && !self.watching {
                continue;
            }
            stream.set_nonblocking(true)?;
            let token = stream.as_raw_fd() as usize;
            watch(&self.epoll, &stream, token as u64)?;
            if closes {
                continue;
            }
            if self.connections.len() <= token {
                self.connections.resize_with(token + 1, || None);
            }
            let connection = Connection { stream, unsent: Vec::new(), partial: Vec::new() };
            self.connections[token] = Some(connection);
        }
    }

    fn serve(&mut self, token: usize, buffer: &mut [u8]) {
        let Some(connection) = &mut self.connections[token] else { return };
        let outcome = match self.service {
            Service::Lines => connection.lines(buffer, &mut self.lines),
            _ => connection.echo(buffer),
        };
        match outcome {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.connections[token] = None,
        }
    }
}

impl Connection {
    fn echo(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        self.flush()?;
        loop {
            let length = self.read(buffer)?;
            self.send(&buffer[..length])?;
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    fn lines(&mut self, buffer: &mut [u8], answers: &mut Vec<u8>) -> io::Result<()> {
        self.flush()?;
        loop {
            let length = self.read(buffer)?;
            answers.clear();
            for line in lines_of(&buffer[..length]) {
                if !line.ends_with(b"\n") {
                    self.partial.extend_from_slice(line);
                    continue;
                }
                answers.append(&mut self.partial);
                answers.extend_from_slice(line);
            }
            self.send(answers)?;
            if length < buffer.len() {
                return Ok(());
            }
        }
    }

    /// Reads once; the end of the stream is an error here.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stream.read(buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            length => Ok(length),
        }
    }

    /// Sends, and keeps the bytes that did not fit. No more is read until they are sent.
    fn send(&mut self, data: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < data.len() {
            match self.stream.write(&data[sent..]) {
                Ok(length) => sent += length,
                Err(error) => {
                    if error.kind() == ErrorKind::WouldBlock {
                        self.unsent.extend_from_slice(&data[sent..]);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            return Ok(());
        }
        let unsent = std::mem::take(&mut self.unsent);
        self.send(&unsent)
    }
}

/// Edge-triggered, both directions, for the whole life of the descriptor.
fn watch(epoll: &OwnedFd, source: &impl AsFd, token: u64) -> io::Result<()> {
    let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    Ok(epoll::add(epoll, source, EventData::new_u64(token), interest)?)
}
