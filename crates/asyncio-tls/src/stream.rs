//! [`TlsStream`]: a session over another stream.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io::{self, IoSlice, Read, Write};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_net::{Address, ByteSource, ByteStream, Extra};
use asyncio_task::sleep;
use rustls::Connection;

use crate::TlsInfo;
use crate::handshake::{Limits, failed};
use crate::received::Received;

/// A session of TLS over another stream: plain text on this side, records on the other.
///
/// `.tls(…)` of the builders, [`start_tls`](crate::start_tls) and
/// [`accept_tls`](crate::accept_tls) make it.
///
/// # Ends
///
/// Closing it sends the closing alert and waits for the peer's, for as long as the shutdown limit
/// allows; what comes meanwhile is dropped. Aborting it sends no alert, so the peer learns that the
/// text is cut. One direction cannot be ended without the other.
pub struct TlsStream<S> {
    session: RefCell<Connection>,
    below: S,
    /// About how many bytes of records wait in the session.
    unsent: Cell<usize>,
    received: RefCell<Received>,
    /// Why the session can go on no more.
    broken: RefCell<Option<rustls::Error>>,
    /// The peer's closing alert has come.
    heard_end: Cell<bool>,
    /// How long the peer may take to answer the closing alert.
    patience: Duration,
    /// Set while the closing alerts are exchanged.
    deadline: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
}

impl<S: ByteStream> TlsStream<S> {
    pub(crate) fn new(session: Connection, below: S, limits: Limits) -> Self {
        Self {
            session: RefCell::new(session),
            below,
            unsent: Cell::new(0),
            received: RefCell::default(),
            broken: RefCell::new(None),
            heard_end: Cell::new(false),
            patience: limits.shutdown,
            deadline: RefCell::new(None),
        }
    }

    pub(crate) fn info(&self) -> TlsInfo {
        TlsInfo::new(&self.session.borrow())
    }

    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(cx)?;
            if !self.session.borrow().is_handshaking() {
                return sent.map(Ok);
            }
            // Also while sending waits: the peer may send before it reads.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(cut_off()));
            }
            self.process();
            self.check()?;
        }
    }

    /// Sends the records that the session has made.
    fn send(&self) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        while session.wants_write() {
            let count = session.write_tls(&mut Below(&self.below))?;
            self.unsent.set(self.unsent.get().saturating_sub(count));
        }
        self.unsent.set(0);
        self.below.try_flush()
    }

    /// Sends the records that the session has made, waiting in between.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.send() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.below.poll_write_ready(cx))?;
                }
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Receives something, if nothing is left from before. Returns how much there is; 0 is the end.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut received = self.received.borrow_mut();
        if received.is_empty() && ready!(received.poll_fill(cx, &self.below))? == 0 {
            // The session learns of the end by a read of nothing.
            self.session.borrow_mut().read_tls(&mut io::empty())?;
        }
        Poll::Ready(Ok(received.len()))
    }

    /// Gives some of what was received to the session. It takes little at a time, and nothing while
    /// it has plain text that nobody has read.
    fn process(&self) {
        let mut session = self.session.borrow_mut();
        let taken = self.received.borrow_mut().give_to(&mut session);
        let processed = taken.and_then(|()| session.process_new_packets());
        drop(session);
        match processed {
            Ok(state) => self.heard_end.set(state.peer_has_closed()),
            Err(error) => {
                self.broken.replace(Some(error));
                // An alert that says why. If it cannot leave now, the peer sees the end alone.
                let _ = self.send();
            }
        }
    }

    /// Whether the session can go on.
    fn check(&self) -> io::Result<()> {
        self.broken.borrow().clone().map_or(Ok(()), |error| Err(failed(error)))
    }

    fn read_plain(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.session.borrow_mut().reader().read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(truncated()),
            read => read,
        }
    }

    /// Fills `buffer` from what has come, as far as it goes. Returns the number of bytes, and the
    /// error or end that comes after them; `WouldBlock` when more has to be received.
    fn read_received(&self, buffer: &mut [u8]) -> (usize, io::Result<()>) {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_plain(&mut buffer[filled..]) {
                Ok(0) => return (filled, Ok(())),
                Ok(count) => filled += count,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    return (filled, Err(error));
                }
                Err(nothing) => {
                    if let Err(error) = self.check() {
                        return (filled, Err(error));
                    }
                    if self.received.borrow().is_empty() {
                        return (filled, Err(nothing));
                    }
                    self.process();
                }
            }
        }
        (filled, Ok(()))
    }

    /// Sends the closing alert and waits for the peer's, or for its end.
    fn poll_exchange(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(cx)?;
            if self.heard_end.get() || self.check().is_err() {
                return sent.map(Ok);
            }
            // Plain text that nobody will read any more.
            while matches!(self.read_plain(&mut [0; 4096]), Ok(1..)) {}
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            self.process();
        }
    }

    fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = self.deadline.borrow_mut();
        let deadline = deadline.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        deadline.as_mut().poll(cx)
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
            let (filled, then) = self.read_received(buffer);
            match then {
                // What comes after the bytes is met by the next read.
                _ if filled > 0 => return Poll::Ready(Ok(filled)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                then => return Poll::Ready(then.map(|()| 0)),
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A session that wants no records has plain text, or has ended.
        let has_more = !self.received.borrow().is_empty() || !self.session.borrow().wants_read();
        if has_more || self.broken.borrow().is_some() {
            return Poll::Ready(Ok(()));
        }
        self.below.poll_read_ready(cx)
    }
}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    /// Takes no more while records of an earlier write are left.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.send()?;
        let count = self.session.borrow_mut().writer().write_vectored(slices)?;
        self.unsent.set(count);
        match self.send() {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(count),
        }
    }

    fn unsent(&self) -> usize {
        let records =
            if self.session.borrow().wants_write() { self.unsent.get().max(1) } else { 0 };
        records + self.below.unsent()
    }

    fn try_flush(&self) -> io::Result<()> {
        self.send()
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.below.poll_write_ready(cx)
    }

    fn poll_lost(&self, cx: &mut Context<'_>) -> Poll<io::Error> {
        self.below.poll_lost(cx)
    }

    fn can_write_eof(&self) -> bool {
        false
    }

    fn write_eof(&self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "TLS has no end of one direction"))
    }

    fn poll_close(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().send_close_notify();
        match self.poll_exchange(cx) {
            // What was written has left. A peer that is gone cannot be told of the end, and need
            // not be.
            Poll::Ready(_) => self.below.poll_close(cx),
            Poll::Pending => self.poll_deadline(cx).map(|()| Err(too_late(self.patience))),
        }
    }

    fn close(&self) {
        self.session.borrow_mut().send_close_notify();
        // What does not leave now is not waited for: `poll_close` does that.
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

    fn extra(&self, request: &mut Extra<'_>) {
        request.offer(|| self.info());
        self.below.extra(request);
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

fn cut_off() -> io::Error {
    let text = "the peer ended the connection in the TLS handshake";
    io::Error::new(io::ErrorKind::ConnectionReset, text)
}

fn truncated() -> io::Error {
    let text = "the peer ended the connection without a closing alert of TLS";
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn too_late(limit: Duration) -> io::Error {
    let text = format!("the peer did not answer the closing alert of TLS within {limit:?}");
    io::Error::new(io::ErrorKind::TimedOut, text)
}
