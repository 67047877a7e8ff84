//! The stream under a connection. It is mostly a socket, whose methods need no virtual call.

use std::io::{IoSlice, Result};
use std::ops::Deref;
use std::task::{Context, Poll};

use asyncio_loop::LoopRef;

use super::foreign::Foreign;
use super::socket::SocketStream;
use super::source::{ByteSource, ByteStream};

/// The bytes under a connection.
pub(crate) enum Io {
    Socket(SocketStream),
    /// A pipe, a session of TLS, a stream of a user.
    Other(Foreign),
}

impl From<SocketStream> for Io {
    fn from(socket: SocketStream) -> Self {
        Self::Socket(socket)
    }
}

/// The methods that are called for each message.
impl Io {
    pub(crate) fn other(event_loop: &LoopRef, stream: impl ByteStream + 'static) -> Self {
        Self::Other(Foreign::new(event_loop, stream))
    }

    /// A stream of a simulated network.
    pub(crate) fn simulated(event_loop: &LoopRef, stream: Box<dyn ByteStream>) -> Self {
        Self::Other(Foreign::boxed(event_loop, stream, "a simulated socket"))
    }

    #[inline]
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_read(cx, buffer),
            Self::Other(stream) => stream.poll_read(cx, buffer),
        }
    }

    #[inline]
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            Self::Other(stream) => stream.poll_read_ready(cx),
        }
    }

    /// [`unsent`](ByteStream::unsent): a socket holds nothing.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        match self {
            Self::Socket(_) => 0,
            Self::Other(stream) => stream.unsent(),
        }
    }

    /// [`try_flush`](ByteStream::try_flush).
    #[inline]
    pub(crate) fn try_flush(&self) -> Result<()> {
        match self {
            Self::Socket(_) => Ok(()),
            Self::Other(stream) => stream.try_flush(),
        }
    }

    /// [`try_write`](ByteStream::try_write) of one slice.
    #[inline]
    pub(crate) fn try_send(&self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_send(bytes),
            Self::Other(stream) => stream.try_write(&[IoSlice::new(bytes)]),
        }
    }
}

/// All other methods.
impl Deref for Io {
    type Target = dyn ByteStream;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Socket(socket) => socket,
            Self::Other(stream) => stream,
        }
    }
}
