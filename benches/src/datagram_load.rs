//! The load for datagrams: sockets that each send one, wait until it comes back, and send the next.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, EventData, EventFlags};

/// Longer than any datagram takes on the loopback: after this time it is lost.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Sockets, each with one datagram in flight.
#[derive(Debug)]
pub struct DatagramLoad {
    epoll: OwnedFd,
    sockets: Vec<UdpSocket>,
    message: Vec<u8>,
}

impl DatagramLoad {
    /// Creates a number of sockets, once a server answers at the address.
    ///
    /// # Errors
    ///
    /// If the system refuses, or if no server answers.
    pub fn connect(address: SocketAddr, sockets: usize, message: Vec<u8>) -> io::Result<Self> {
        wait_for_answer(address)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let sockets = (0..sockets)
            .map(|index| {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
                socket.connect(address)?;
                socket.set_nonblocking(true)?;
                epoll::add(&epoll, &socket, EventData::new_u64(index as u64), EventFlags::IN)?;
                Ok(socket)
            })
            .collect::<io::Result<_>>()?;
        Ok(Self { epoll, sockets, message })
    }

    /// Keeps all sockets busy for a duration, then waits for the datagrams in transit. Returns how
    /// many datagrams came back.
    ///
    /// # Errors
    ///
    /// When a datagram is lost or comes back as another one.
    pub fn run_for(&mut self, duration: Duration) -> io::Result<u64> {
        let end = Instant::now() + duration;
        for socket in &self.sockets {
            socket.send(&self.message)?;
        }
        let (mut answered, mut under_way) = (0, self.sockets.len());
        let mut events = Vec::with_capacity(self.sockets.len());
        let mut buffer = vec![0; self.message.len() + 1];
        let timeout = Timespec { tv_sec: TIMEOUT.as_secs() as i64, tv_nsec: 0 };
        while under_way > 0 {
            events.clear();
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout))?;
            if events.is_empty() {
                return Err(ErrorKind::TimedOut.into());
            }
            let goes_on = Instant::now() < end;
            for event in &events {
                let socket = &self.sockets[event.data.u64() as usize];
                let length = socket.recv(&mut buffer)?;
                if buffer[..length] != self.message {
                    return Err(io::Error::new(ErrorKind::InvalidData, "another datagram"));
                }
                answered += 1;
                if goes_on {
                    socket.send(&self.message)?;
                } else {
                    under_way -= 1;
                }
            }
        }
        Ok(answered)
    }
}

/// A server's socket may be made only after the server has said where it is going to be.
fn wait_for_answer(address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(address)?;
    socket.set_read_timeout(Some(TIMEOUT / 100))?;
    let end = Instant::now() + TIMEOUT;
    loop {
        let answer = socket.send(b"there?").and_then(|_| socket.recv(&mut [0; 16]));
        match answer {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= end => return Err(error),
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::thread::yield_now(),
            Err(_) => {}
        }
    }
}
