//! The handshake, and how long it may take.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_net::ByteStream;
use asyncio_task::timeout;
use rustls::{Connection, InvalidMessage};

use crate::{TlsInfo, TlsStream};

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) handshake: Duration,
}

impl Default for Limits {
    /// asyncio's: `ssl_handshake_timeout` of 60 s.
    fn default() -> Self {
        Self { handshake: Duration::from_secs(60) }
    }
}

/// Makes a session over `below`, and waits until both sides have agreed.
pub(crate) async fn shake_hands<S: ByteStream>(
    session: Connection,
    below: S,
    limits: Limits,
) -> io::Result<(TlsStream<S>, TlsInfo)> {
    let stream = TlsStream::new(session, below);
    match timeout(limits.handshake, poll_fn(|cx| poll_handshake(&stream, cx))).await {
        Ok(done) => done?,
        Err(_) => return Err(too_slow(limits.handshake)),
    }
    let info = TlsInfo::new(&stream.session().borrow());
    Ok((stream, info))
}

fn poll_handshake<S: ByteStream>(
    stream: &TlsStream<S>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        match stream.send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.below().poll_write_ready(cx))?;
                continue;
            }
            sent => sent?,
        }
        if !stream.session().borrow().is_handshaking() {
            return Poll::Ready(Ok(()));
        }
        if ready!(stream.poll_receive(cx))? == 0 {
            return Poll::Ready(Err(cut_off()));
        }
    }
}

/// An error of rustls in an error of input and output.
pub(crate) fn failed(error: rustls::Error) -> io::Error {
    let not_tls = matches!(
        error,
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion
        )
    );
    if not_tls {
        let text = format!("the peer does not speak TLS: {error}");
        return io::Error::new(io::ErrorKind::InvalidData, text);
    }
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn cut_off() -> io::Error {
    let text = "the peer ended the connection in the TLS handshake";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn too_slow(limit: Duration) -> io::Error {
    let text = format!("the TLS handshake took longer than {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
