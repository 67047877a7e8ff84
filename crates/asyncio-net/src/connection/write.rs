//! Output: writing and sending.

use std::fmt;
use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;

use super::{ALONE, BLOCKED, CORKED, Connection, EOF_ASKED, NOT_OPEN};
use crate::io::Io;
use crate::outgoing::Corked;
use crate::outgoing::{SLICES, WriteQueue};

/// From this length on, bytes are sent at once instead of being copied to the queue.
pub(super) const DIRECT: usize = 4 * 1024;
/// The number of writes to a lost connection that are ignored without a report.
const IGNORED: u32 = 5;

impl Connection {
    /// Sends `bytes`: at once if they are long, else at the end of the turn.
    ///
    /// # Panics
    ///
    /// After `write_eof`.
    #[inline]
    pub(crate) fn write(self: &Rc<Self>, bytes: &[u8]) {
        if self.takes(bytes.len()) {
            if bytes.len() < DIRECT {
                self.queue(|queue| queue.push(bytes));
            } else {
                self.write_large(bytes);
            }
        }
    }

    fn write_large(self: &Rc<Self>, bytes: &[u8]) {
        let sent = self.send(&[bytes]);
        self.queue(|queue| queue.push(&bytes[sent..]));
    }

    /// Sends formatted text, as [`write`](Self::write) does.
    ///
    /// # Panics
    ///
    /// After `write_eof`.
    pub(crate) fn write_fmt(self: &Rc<Self>, text: fmt::Arguments<'_>) {
        let written = fmt::write(&mut Pieces(self), text);
        assert!(written.is_ok(), "a formatting trait returned an error");
    }

    /// Sends `bytes` as [`write`](Self::write) does, and never copies them.
    pub(crate) fn write_bytes(self: &Rc<Self>, bytes: Bytes) {
        if self.takes(bytes.len()) {
            if bytes.len() < DIRECT {
                return self.queue(|queue| queue.push(&bytes));
            }
            let sent = self.send(&[&bytes]);
            self.queue(|queue| queue.push_shared(bytes.slice(sent..)));
        }
    }

    /// Sends all of `parts` as [`write`](Self::write) does, in one system call if the socket takes
    /// them.
    pub(crate) fn write_vectored(self: &Rc<Self>, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.takes(length) {
            let mut sent = if length < DIRECT { 0 } else { self.send(parts) };
            self.queue(|queue| {
                for part in parts {
                    let skip = sent.min(part.len());
                    sent -= skip;
                    queue.push(&part[skip..]);
                }
            });
        }
    }

    #[inline]
    pub(super) fn takes(&self, length: usize) -> bool {
        if self.has(EOF_ASKED | ALONE | NOT_OPEN) {
            self.refuse_write();
            return false;
        }
        length > 0
    }

    #[cold]
    fn refuse_write(&self) {
        assert!(!self.has(EOF_ASKED), "cannot write after write_eof");
        assert!(
            !self.has(ALONE),
            "cannot write: a file is being sent, or another stream is over this one"
        );
        self.ignored();
    }

    fn ignored(&self) {
        let ignored = &self.rare().ignored_writes;
        ignored.set(ignored.get().saturating_add(1));
        if ignored.get() == IGNORED {
            let peer = self.io.peer_address();
            log::warn!(target: "asyncio", "write to a connection to {peer} that is gone: {self:?}");
        }
    }

    /// Sends the queued bytes and then `parts` now. Returns how many bytes of `parts` were sent.
    pub(super) fn send(self: &Rc<Self>, parts: &[&[u8]]) -> usize {
        if self.has(BLOCKED) {
            return 0;
        }
        self.sends.set(self.sends.get().saturating_add(1));
        let (sent, result) = self.transmit(self.queue.take(), parts);
        self.transmitted(result);
        sent
    }

    /// Queues the bytes that `push` pushes, and makes sure that they are sent.
    #[inline]
    pub(super) fn queue(self: &Rc<Self>, push: impl FnOnce(&mut WriteQueue)) {
        if self.is_over() {
            return;
        }
        let mut queue = self.queue.take().unwrap_or_else(|| self.network.take_queue());
        push(&mut queue);
        let queued = queue.len();
        self.keep_queue(queue);
        if self.exceeds_high(queued) {
            self.exceeded();
        } else if queued > 0 && !self.has(BLOCKED | CORKED) {
            self.set(CORKED);
            self.network.cork(self.clone());
        } else if self.has(BLOCKED) {
            // The stream below may hold unsent bytes too.
            self.check_high(self.queued());
        }
    }

    /// More is queued than the mark allows. Flush first: the mark counts only bytes that the socket
    /// refused.
    #[cold]
    fn exceeded(self: &Rc<Self>) {
        self.send(&[]);
        self.check_high(self.queued());
    }

    /// Puts a queue back. An empty one goes to the loop's spare queues, where the next writer gets
    /// it.
    #[inline]
    fn keep_queue(&self, queue: Box<WriteQueue>) {
        if queue.len() == 0 {
            self.network.give_queue(queue);
        } else {
            self.queue.set(Some(queue));
        }
    }

    /// Called at the end of the turn.
    #[inline]
    fn send_corked(self: &Rc<Self>) {
        self.clear(CORKED);
        self.sends.set(0);
        self.flush();
    }

    /// Sends the queued bytes, unless a flusher does.
    pub(super) fn flush(self: &Rc<Self>) {
        if self.has(BLOCKED) || self.is_over() {
            return;
        }
        let Some(mut queue) = self.queue.take() else { return };
        // Usually all bytes are in one piece, and the socket takes them.
        match queue.single().map(|only| self.io.try_send(only)) {
            Some(Ok(count)) => drop(queue.advance_up_to(count)),
            // The call must not be repeated: the system reports only once that the peer has reset
            // the connection.
            Some(Err(error)) if error.kind() != io::ErrorKind::Interrupted => {
                self.keep_queue(queue);
                return self.transmitted(Err(error));
            }
            _ => {}
        }
        if queue.len() == 0 {
            self.network.give_queue(queue);
            return self.all_taken();
        }
        let (_, result) = self.transmit(Some(queue), &[]);
        self.transmitted(result);
    }

    /// The stream below has taken everything.
    #[inline]
    pub(super) fn all_taken(self: &Rc<Self>) {
        match &self.io {
            Io::Socket(_) => self.flushed(),
            Io::Other(_) => self.transmitted(self.io.try_flush()),
        }
    }

    /// Makes the stream below send the bytes that it holds, unless a flusher does.
    #[cold]
    pub(super) fn flush_stream(self: &Rc<Self>) {
        if !self.has(BLOCKED) && !self.is_over() {
            self.transmitted(self.io.try_flush());
        }
    }

    /// Sends `queue`, which is the connection's, then `parts`, until everything has been sent
    /// (`Ok`) or the stream takes no more. Returns how many bytes of `parts` were sent.
    pub(super) fn transmit(
        &self,
        mut queue: Option<Box<WriteQueue>>,
        parts: &[&[u8]],
    ) -> (usize, io::Result<()>) {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut sent = 0;
        let mut result = Ok(());
        while sent < length || queue.as_ref().is_some_and(|queue| queue.len() > 0) {
            match try_send(&self.io, queue.as_deref(), parts, sent) {
                Ok(0) => result = Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    let queued = queue.as_deref_mut().map_or(0, |queue| queue.advance_up_to(count));
                    sent += count - queued;
                    continue;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => result = Err(error),
            }
            break;
        }
        if let Some(queue) = queue {
            self.keep_queue(queue);
        }
        if result.is_ok() {
            result = self.io.try_flush();
        }
        (sent, result)
    }

    fn transmitted(self: &Rc<Self>, result: io::Result<()>) {
        match result {
            Ok(()) => self.flushed(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.start_flusher(),
            Err(error) => self.fail(error),
        }
    }
}

impl Corked for Connection {
    #[inline]
    fn uncorked(self: Rc<Self>) {
        self.send_corked();
    }
}

/// Queues formatted text piece by piece.
struct Pieces<'a>(&'a Rc<Connection>);

impl fmt::Write for Pieces<'_> {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.0.write(piece.as_bytes());
        Ok(())
    }
}

/// Makes one system call for the queued bytes and the rest of `parts`, of which some bytes were
/// sent already. There must be something to send.
fn try_send(
    io: &Io,
    queue: Option<&WriteQueue>,
    parts: &[&[u8]],
    skip: usize,
) -> io::Result<usize> {
    // The usual cases are separate, because sixteen slices take a while to set up.
    match (queue, parts) {
        (None, [part]) => return io.try_send(&part[skip..]),
        (Some(queue), []) => {
            if let Some(only) = queue.single() {
                return io.try_send(only);
            }
        }
        _ => {}
    }
    let mut slices = [IoSlice::new(&[]); SLICES];
    let queued = queue.map_or(0, |queue| queue.gather(&mut slices));
    let count = queued + gather(parts, skip, &mut slices[queued..]);
    io.try_write(&slices[..count])
}

fn gather<'a>(parts: &[&'a [u8]], mut skip: usize, slices: &mut [IoSlice<'a>]) -> usize {
    let mut count = 0;
    for part in parts {
        let skipped = skip.min(part.len());
        skip -= skipped;
        if skipped < part.len() && count < slices.len() {
            slices[count] = IoSlice::new(&part[skipped..]);
            count += 1;
        }
    }
    count
}
