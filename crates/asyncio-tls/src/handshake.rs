//! The handshake and its time limit.

use std::future::poll_fn;
use std::io;
use std::time::Duration;

use asyncio_net::ByteStream;
use asyncio_task::timeout;
use rustls::InvalidMessage;

use crate::TlsStream;
use crate::session::Session;

/// The time limits of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) handshake: Duration,
    pub(crate) shutdown: Duration,
}

impl Default for Limits {
    /// asyncio's: `ssl_handshake_timeout` of 60 s, `ssl_shutdown_timeout` of 30 s.
    fn default() -> Self {
        Self { handshake: Duration::from_secs(60), shutdown: Duration::from_secs(30) }
    }
}

/// Creates a session over `below`, and waits until the handshake is done.
pub(crate) async fn shake_hands<S: ByteStream>(
    session: Session,
    below: S,
    limits: Limits,
) -> io::Result<TlsStream<S>> {
    let stream = TlsStream::new(session, below, limits);
    match timeout(limits.handshake, poll_fn(|cx| stream.poll_handshake(cx))).await {
        Ok(done) => done?,
        Err(_) => return Err(too_slow(limits.handshake)),
    }
    Ok(stream)
}

/// Converts a rustls error to an I/O error.
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

fn too_slow(limit: Duration) -> io::Error {
    let text = format!("the TLS handshake took longer than {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
