//! The socket of a datagram endpoint: of the system, or of a simulated network.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::{Direction, LoopRef, Source};
use socket2::SockRef;

use super::socket::Socket;
use crate::address::Address;
use crate::message::too_long;
use crate::sockets::Datagrams;

/// A socket before it has a loop.
pub(super) enum Opening {
    System(Socket),
    Simulated(Rc<dyn Datagrams>),
}

impl Opening {
    pub(super) fn local(&self) -> Option<Address> {
        match self {
            Self::System(socket) => socket.local(),
            Self::Simulated(socket) => socket.local(),
        }
    }

    pub(super) fn open(self, event_loop: &LoopRef) -> Medium {
        match self {
            Self::System(socket) => Medium::System(Source::new(event_loop, socket)),
            Self::Simulated(socket) => Medium::Simulated(socket),
        }
    }
}

pub(super) enum Medium {
    System(Source<Socket>),
    Simulated(Rc<dyn Datagrams>),
}

type Received = (usize, Address, Vec<OwnedFd>);

impl Medium {
    pub(super) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
        descriptors: usize,
    ) -> Poll<io::Result<Received>> {
        match self {
            Self::System(source) => source.poll_io(cx, Direction::Read, |socket| {
                let (length, sender, descriptors) = if descriptors > 0 {
                    socket.receive_descriptors(buffer, descriptors)?
                } else {
                    let (length, sender) = socket.receive(buffer)?;
                    (length, sender, Vec::new())
                };
                source.count(Direction::Read, length);
                Ok((length, sender, descriptors))
            }),
            Self::Simulated(socket) => {
                let room = buffer.len();
                let whole = |(length, sender): (usize, Address)| match length > room {
                    true => Err(too_long(length, room, &sender)),
                    false => Ok((length, sender, Vec::new())),
                };
                socket.poll_receive(cx, buffer).map(|received| received.and_then(whole))
            }
        }
    }

    pub(super) fn try_send(
        &self,
        data: &[u8],
        descriptors: &[OwnedFd],
        address: Option<&Address>,
    ) -> io::Result<()> {
        match self {
            Self::System(source) => {
                source.try_io(Direction::Write, |socket| {
                    if descriptors.is_empty() {
                        return socket.send(data, address);
                    }
                    socket.send_descriptors(data, descriptors, address)
                })?;
                source.count(Direction::Write, data.len());
                Ok(())
            }
            Self::Simulated(socket) if descriptors.is_empty() => socket.try_send(data, address),
            Self::Simulated(_) => {
                let text = "a simulated network passes no descriptors";
                Err(io::Error::new(io::ErrorKind::Unsupported, text))
            }
        }
    }

    pub(super) fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::System(source) => source.poll_ready(cx, Direction::Write),
            Self::Simulated(socket) => socket.poll_send_ready(cx),
        }
    }

    pub(super) fn with_socket<R>(&self, look: impl FnOnce(SockRef<'_>) -> R) -> Option<R> {
        match self {
            Self::System(source) => Some(look(SockRef::from(source.get_ref()))),
            Self::Simulated(_) => None,
        }
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if let Self::Simulated(socket) = self {
            socket.close();
        }
    }
}
