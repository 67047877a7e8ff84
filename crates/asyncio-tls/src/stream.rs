//! [`TlsStream`]: a session of TLS over another stream.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::task::{Context, Poll, ready};

use asyncio_net::{Address, ByteSource, ByteStream};
use rustls::Connection;

use crate::handshake::failed;

/// The most that one record takes (RFC 8446, section 5.2), with its header.
const RECORD: usize = 16 * 1024 + 256 + 5;

/// A session of TLS over another stream: plain text on this side, records on the other.
///
/// [`start_tls`](crate::start_tls) and [`accept_tls`](crate::accept_tls) make it.
pub struct TlsStream<S> {
    session: RefCell<Connection>,
    below: S,
    /// Plain text that is encrypted, and not yet reported as taken, since its records have not all
    /// left.
    owed: Cell<usize>,
    received: RefCell<Received>,
}

/// Records that were received and not given to the session: `bytes[start..]`.
#[derive(Default)]
struct Received {
    bytes: Vec<u8>,
    start: usize,
}

impl<S: ByteStream> TlsStream<S> {
    pub(crate) fn new(session: Connection, below: S) -> Self {
        Self {
            session: RefCell::new(session),
            below,
            owed: Cell::new(0),
            received: RefCell::default(),
        }
    }

    pub(crate) fn session(&self) -> &RefCell<Connection> {
        &self.session
    }

    pub(crate) fn below(&self) -> &S {
        &self.below
    }

    /// Sends the records that the session has made.
    pub(crate) fn send(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            session.write_tls(&mut Below(&self.below))?;
        }
        Ok(())
    }

    /// [`send`](Self::send), of which the rest leaves with the next write.
    fn send_now(&self) -> io::Result<()> {
        match self.send() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            sent => sent,
        }
    }

    /// Receives something and gives it to the session. Returns how much; 0 is the end.
    ///
    /// The session keeps little plain text and takes no more while it has some, so the rest of what
    /// came stays here.
    pub(crate) fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut received = self.received.borrow_mut();
        let Received { bytes, start } = &mut *received;
        if *start == bytes.len() {
            *start = 0;
            bytes.resize(RECORD, 0);
            let count = match self.below.poll_read(cx, bytes) {
                Poll::Ready(Ok(count)) => count,
                none => {
                    // A connection that waits keeps no buffer.
                    *bytes = Vec::new();
                    return none;
                }
            };
            bytes.truncate(count);
        }
        let mut session = self.session.borrow_mut();
        let count = session.read_tls(&mut &bytes[*start..])?;
        *start += count;
        let processed = session.process_new_packets();
        drop((session, received));
        if let Err(error) = processed {
            // The peer gets an alert that says why; that it may not leave changes nothing.
            let _ = self.send_now();
            return Poll::Ready(Err(failed(error)));
        }
        Poll::Ready(Ok(count))
    }

    fn read_plain(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.session.borrow_mut().reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(truncated()),
            read => read,
        }
    }
}

/// The stream below, as rustls writes to it.
struct Below<'a, S>(&'a S);

impl<S: ByteStream> Write for Below<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<S: ByteStream> ByteSource for TlsStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.read_plain(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
            ready!(self.poll_receive(cx))?;
            // Answers to the peer's key updates and alerts.
            self.send_now()?;
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let has_records = {
            let received = self.received.borrow();
            received.start < received.bytes.len()
        };
        // A session that wants no records has plain text, or has ended.
        if has_records || !self.session.borrow().wants_read() {
            return Poll::Ready(Ok(()));
        }
        self.below.poll_read_ready(cx)
    }
}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    /// Reports plain text as taken when its records have left. Until then it is refused, and by the
    /// contract of the trait the same bytes come again.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        let owed = self.owed.take();
        if owed > 0 {
            return Ok(owed);
        }
        let count = self.session.borrow_mut().writer().write_vectored(slices)?;
        self.send().inspect_err(|error| {
            if error.kind() == io::ErrorKind::WouldBlock {
                self.owed.set(count);
            }
        })?;
        Ok(count)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_write_ready(cx)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.below.poll_lost(cx)
    }

    /// Sends the closing alert. The other direction goes on, as TLS 1.3 has it.
    fn write_eof(&self) -> io::Result<()> {
        self.session.borrow_mut().send_close_notify();
        self.send_now()
    }

    fn close(&self) {
        self.session.borrow_mut().send_close_notify();
        // What does not leave now is not waited for.
        let _ = self.send();
        self.below.close();
    }

    /// Without a closing alert: what was written need not have left.
    fn abort(&self) {
        self.below.abort();
    }

    fn local_address(&self) -> Address {
        self.below.local_address()
    }

    fn peer_address(&self) -> Address {
        self.below.peer_address()
    }

    fn with_fd(&self, look: &mut dyn FnMut(BorrowedFd<'_>)) {
        self.below.with_fd(look);
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("below", &self.below).finish_non_exhaustive()
    }
}

fn truncated() -> io::Error {
    let text = "the peer ended the connection without a closing alert of TLS";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}
