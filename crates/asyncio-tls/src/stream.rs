//! [`TlsStream`]: a session over another stream.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use asyncio_net::{Address, ByteSource, ByteStream, Extra, SockRef};
use asyncio_task::sleep;

use crate::TlsInfo;
use crate::buffers::{Received, Rest, give_large, take_large};
use crate::handshake::{Limits, failed};
use crate::session::{Next, Outgoing, Session};

/// How much text is encrypted and sent at once: four full records.
const AT_ONCE: usize = 64 * 1024;

/// A TLS session over another stream: plain text on this side, records on the other.
///
/// The builders' `.tls(…)`, [`start_tls`](crate::start_tls) and [`accept_tls`](crate::accept_tls)
/// create it.
///
/// # Ends
///
/// Closing it sends the closing alert and waits for the peer's until the shutdown limit; text that
/// arrives meanwhile is dropped. Aborting it sends no alert, so the peer learns that the text is
/// incomplete. One direction cannot be closed without the other.
pub struct TlsStream<S> {
    state: RefCell<State>,
    below: S,
    /// How long the peer may take to answer the closing alert.
    timeout: Duration,
    /// Set while the closing alerts are exchanged.
    deadline: RefCell<Option<Pin<Box<dyn Future<Output = ()>>>>>,
}

/// The session and its buffers on both sides.
struct State {
    session: Session,
    /// Received records that the session has not processed.
    received: Received,
    /// Decrypted text that did not fit into a reader's buffer.
    unread: Rest,
    /// Records that the stream below has not accepted yet.
    unsent: Rest,
    /// Whether the session needs more input.
    is_hungry: bool,
    /// Whether our closing alert was created.
    said_end: bool,
    /// Why the session cannot continue.
    broken: Option<rustls::Error>,
}

impl State {
    /// Sends the records that are ready.
    fn send<S: ByteStream>(&mut self, below: &S) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let count = below.try_write(&[IoSlice::new(self.unsent.as_slice())])?;
            self.unsent.advance(count);
        }
        below.try_flush()
    }

    /// Lets the session process the received records until it needs more input or `buffer` is full.
    /// Without a buffer, stops at the first text. Returns the number of bytes of text in `buffer`.
    fn work(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = self.unread.move_to(buffer);
        while !self.is_hungry && self.broken.is_none() && self.unread.is_empty() {
            if filled > 0 && filled == buffer.len() {
                break;
            }
            let mut text = |text: &[u8]| {
                let (fits, rest) = text.split_at(text.len().min(buffer.len() - filled));
                buffer[filled..][..fits.len()].copy_from_slice(fits);
                filled += fits.len();
                self.unread.push(rest);
            };
            let received = self.received.as_mut_slice();
            let (done, next) = self.session.step(received, &mut text, self.unsent.end());
            self.received.advance(done);
            match next {
                Ok(Next::GoOn) => {}
                Ok(Next::Receive) => self.settle(),
                Err(error) => self.fail(error),
            }
        }
        filled
    }

    fn settle(&mut self) {
        self.is_hungry = true;
        // Bytes after the peer's closing alert are ignored.
        if self.session.heard_end() { self.received.clear() } else { self.received.settle() }
    }

    /// Marks the session as failed. It may have created an alert that says why.
    #[cold]
    fn fail(&mut self, error: rustls::Error) {
        while self.session.common().wants_write() {
            let received = self.received.as_mut_slice();
            let (done, next) = self.session.step(received, &mut |_| (), self.unsent.end());
            self.received.advance(done);
            if next.is_err() {
                break;
            }
        }
        self.received.clear();
        self.broken = Some(error);
    }

    /// Whether the session can continue.
    fn check(&self) -> io::Result<()> {
        self.broken.clone().map_or(Ok(()), |error| Err(failed(error)))
    }

    fn is_over(&self) -> bool {
        self.session.heard_end() || self.broken.is_some()
    }

    /// Encrypts into the front of `records`. Returns the number of bytes.
    fn encrypt(&mut self, what: Outgoing<'_>, records: &mut Vec<u8>) -> io::Result<usize> {
        self.check()?;
        // Received records that were not read yet stay as they are. Otherwise there is only an
        // incomplete record, which the session needs to see again.
        let received = if self.is_hungry { self.received.as_mut_slice() } else { &mut [] };
        self.session.encrypt(what, received, records).map_err(|error| {
            self.fail(error.clone());
            failed(error)
        })
    }

    /// Sends the front of `records`, and keeps the rest that cannot be sent now.
    fn send_new<S: ByteStream>(
        &mut self,
        below: &S,
        records: Vec<u8>,
        length: usize,
    ) -> io::Result<()> {
        let mut sent = 0;
        let result = loop {
            if sent == length {
                break below.try_flush();
            }
            match below.try_write(&[IoSlice::new(&records[sent..length])]) {
                Ok(count) => sent += count,
                Err(error) => break Err(error),
            }
        };
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.unsent.keep(records, sent..length);
                Ok(())
            }
            result => {
                give_large(records);
                result
            }
        }
    }

    /// Creates our closing alert, once.
    fn say_end(&mut self) {
        if !self.said_end && self.broken.is_none() {
            self.said_end = true;
            let mut records = Vec::new();
            if let Ok(length) = self.encrypt(Outgoing::End, &mut records) {
                self.unsent.push(&records[..length]);
            }
        }
    }
}

impl<S: ByteStream> TlsStream<S> {
    pub(crate) fn new(session: Session, below: S, limits: Limits) -> Self {
        let state = State {
            session,
            received: Received::default(),
            unread: Rest::default(),
            unsent: Rest::default(),
            is_hungry: false,
            said_end: false,
            broken: None,
        };
        Self {
            state: RefCell::new(state),
            below,
            timeout: limits.shutdown,
            deadline: RefCell::new(None),
        }
    }

    pub(crate) fn info(&self) -> TlsInfo {
        TlsInfo::new(&self.state.borrow().session)
    }

    pub(crate) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.work(&mut []);
            self.state.borrow().check()?;
            let sent = self.poll_send(cx)?;
            if !self.state.borrow().session.common().is_handshaking() {
                return sent.map(Ok);
            }
            // This also receives while sending waits: the peer may send before it reads.
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(cut_off()));
            }
        }
    }

    /// Sends the records that are ready, and waits as needed.
    fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.state.borrow_mut().send(&self.below);
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.below.poll_write_ready(cx))?;
                }
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Receives bytes if the session needs more. Returns their number; 0 is the end.
    fn poll_receive(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        let count = ready!(state.received.poll_fill(cx, &self.below))?;
        state.is_hungry = count == 0;
        Poll::Ready(Ok(count))
    }

    /// As [`State::work`].
    fn work(&self, buffer: &mut [u8]) -> usize {
        let mut state = self.state.borrow_mut();
        let was_broken = state.broken.is_some();
        let filled = state.work(buffer);
        if !was_broken && state.broken.is_some() {
            // Send the alert that says why. If it cannot be sent now, the peer sees only the end.
            let _ = state.send(&self.below);
        }
        filled
    }

    /// Sends the closing alert, and waits for the peer's alert or the end of the connection.
    fn poll_exchange(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let sent = self.poll_send(cx)?;
            if self.state.borrow().is_over() {
                return sent.map(Ok);
            }
            if self.state.borrow().is_hungry && ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Ok(()));
            }
            // This text will not be read.
            self.state.borrow_mut().unread.clear();
            self.work(&mut []);
        }
    }

    fn poll_deadline(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut deadline = self.deadline.borrow_mut();
        let deadline = deadline.get_or_insert_with(|| Box::pin(sleep(self.timeout)));
        deadline.as_mut().poll(cx)
    }
}

impl<S: ByteStream> ByteSource for TlsStream<S> {
    fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let filled = self.work(buffer);
            if filled > 0 {
                // The next read returns an end or an error after these bytes.
                return Poll::Ready(Ok(filled));
            }
            let state = self.state.borrow();
            state.check()?;
            if state.session.heard_end() {
                return Poll::Ready(Ok(0));
            }
            drop(state);
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(truncated()));
            }
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let state = self.state.borrow();
        if !state.is_hungry || !state.unread.is_empty() || state.is_over() {
            return Poll::Ready(Ok(()));
        }
        self.below.poll_read_ready(cx)
    }
}

impl<S: ByteStream> ByteStream for TlsStream<S> {
    /// Accepts no text while records of an earlier write are unsent.
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let state = &mut *self.state.borrow_mut();
        state.send(&self.below)?;
        let gathered;
        let text = match slices.iter().find(|slice| !slice.is_empty()) {
            None => return Ok(0),
            Some(first) if slices.len() == 1 || first.len() >= AT_ONCE => {
                &first[..first.len().min(AT_ONCE)]
            }
            Some(_) => {
                gathered = gather(slices);
                &gathered[..]
            }
        };
        let mut records = take_large();
        match state.encrypt(Outgoing::Text(text), &mut records) {
            Ok(length) => state.send_new(&self.below, records, length)?,
            Err(error) => {
                give_large(records);
                return Err(error);
            }
        }
        Ok(text.len())
    }

    fn unsent(&self) -> usize {
        self.state.borrow().unsent.as_slice().len() + self.below.unsent()
    }

    fn try_flush(&self) -> io::Result<()> {
        self.state.borrow_mut().send(&self.below)
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
        self.state.borrow_mut().say_end();
        match self.poll_exchange(cx) {
            // All records were sent. A peer that has gone cannot receive the alert, which is no
            // error.
            Poll::Ready(_) => self.below.poll_close(cx),
            Poll::Pending => self.poll_deadline(cx).map(|()| Err(too_late(self.timeout))),
        }
    }

    fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.say_end();
        // This does not wait until all records are sent: `poll_close` does that.
        let _ = state.send(&self.below);
        if state.session.heard_end() {
            self.below.note_end();
        }
        self.below.close();
    }

    /// No closing alert is sent, and written text may be unsent.
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

    fn with_socket(&self, look: &mut dyn FnMut(SockRef<'_>)) {
        self.below.with_socket(look);
    }
}

impl<S: fmt::Debug> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("below", &self.below).finish_non_exhaustive()
    }
}

/// Copies small pieces together, so that they share a record.
fn gather(slices: &[IoSlice<'_>]) -> Vec<u8> {
    let mut gathered = Vec::new();
    for slice in slices {
        let room = AT_ONCE - gathered.len();
        gathered.extend_from_slice(&slice[..slice.len().min(room)]);
    }
    gathered
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
