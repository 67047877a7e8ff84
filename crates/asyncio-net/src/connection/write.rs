//! The way out.

use std::io::{self, IoSlice};
use std::rc::Rc;

use bytes::Bytes;

use super::{
    BLOCKED, CLOSED, CLOSING, CORKED, Connection, EOF_ASKED, OVER, Outgoing, SENDING_FILE,
};
use crate::queue::{Queue, SLICES};

/// From this length on, bytes are sent at once rather than copied for later.
const DIRECT: usize = 4 * 1024;
/// This many writes to a connection that is gone are ignored in silence.
const IGNORED: u32 = 5;

impl Connection {
    /// Sends `bytes`, soon.
    ///
    /// # Panics
    ///
    /// After `write_eof`.
    pub(crate) fn write(self: &Rc<Self>, bytes: &[u8]) {
        if self.takes(bytes.len()) {
            let sent = if bytes.len() < DIRECT { 0 } else { self.send(&[bytes]) };
            self.queue(|queue| queue.push(&bytes[sent..]));
        }
    }

    /// Sends `bytes`, soon, and never copies them.
    pub(crate) fn write_bytes(self: &Rc<Self>, bytes: Bytes) {
        if self.takes(bytes.len()) {
            if bytes.len() < DIRECT {
                return self.queue(|queue| queue.push(&bytes));
            }
            let sent = self.send(&[&bytes]);
            self.queue(|queue| queue.push_shared(bytes.slice(sent..)));
        }
    }

    /// Sends all of `parts`, soon, in one system call if it takes them.
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

    fn takes(&self, length: usize) -> bool {
        if self.has(EOF_ASKED | SENDING_FILE) {
            self.refuse_write();
        }
        if self.has(CLOSING | OVER) {
            self.ignored();
            return false;
        }
        length > 0
    }

    #[cold]
    fn refuse_write(&self) {
        assert!(!self.has(EOF_ASKED), "cannot write after write_eof");
        panic!("cannot write while a file is being sent");
    }

    fn ignored(&self) {
        let ignored = self.with_rare(|rare| {
            rare.ignored_writes = rare.ignored_writes.saturating_add(1);
            rare.ignored_writes
        });
        if ignored == IGNORED {
            log::warn!(target: "asyncio", "write to a connection that is gone: {self:?}");
        }
    }

    /// Sends now: what is queued, then `parts`. Returns how much of `parts` has left.
    fn send(self: &Rc<Self>, parts: &[&[u8]]) -> usize {
        if self.has(BLOCKED) {
            return 0;
        }
        self.sends.set(self.sends.get().saturating_add(1));
        let (sent, result) = self.transmit(parts);
        self.transmitted(result);
        sent
    }

    /// Queues what `push` pushes, and sees to it that it leaves.
    fn queue(self: &Rc<Self>, push: impl FnOnce(&mut Queue)) {
        if self.has(OVER) {
            return;
        }
        let queued = {
            let mut out = self.out.borrow_mut();
            let queue = out.queue.get_or_insert_with(|| self.network.take_queue());
            push(queue);
            queue.len()
        };
        if queued == 0 {
            self.release_queue();
        } else if !self.has(BLOCKED) {
            self.cork(queued);
        }
        self.check_high();
    }

    fn cork(self: &Rc<Self>, queued: usize) {
        if queued > self.limits().high {
            // The mark is for what the socket does not take.
            self.send(&[]);
        } else if !self.has(CORKED) {
            self.set(CORKED);
            self.network.cork(self.clone());
        }
    }

    /// The turn is over.
    pub(crate) fn uncorked(self: &Rc<Self>) {
        self.clear(CORKED);
        self.sends.set(0);
        self.flush();
    }

    /// Sends what is queued, unless a flusher does.
    pub(super) fn flush(self: &Rc<Self>) {
        if !self.has(BLOCKED | CLOSED) && self.queued() > 0 {
            let (_, result) = self.transmit(&[]);
            self.transmitted(result);
        }
    }

    /// Sends what is queued, then `parts`, until everything has left (`Ok`) or no more goes. Returns how much
    /// of `parts` has left.
    pub(super) fn transmit(&self, parts: &[&[u8]]) -> (usize, io::Result<()>) {
        let mut out = self.out.borrow_mut();
        let mut sent = 0;
        let result = loop {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let count = out.gather(parts, sent, &mut slices);
            if count == 0 {
                break Ok(());
            }
            match self.io.try_write(&slices[..count]) {
                Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => sent += out.advance(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        drop(out);
        self.release_queue();
        (sent, result)
    }

    /// Gives an empty queue back.
    fn release_queue(&self) {
        if let Some(queue) = self.out.borrow_mut().queue.take_if(|queue| queue.len() == 0) {
            self.network.give_queue(queue);
        }
    }

    fn transmitted(self: &Rc<Self>, result: io::Result<()>) {
        match result {
            Ok(()) => self.flushed(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.start_flusher(),
            Err(error) => self.lose(Some(error)),
        }
    }
}

impl Outgoing {
    fn gather<'a>(
        &'a self,
        parts: &[&'a [u8]],
        mut skip: usize,
        slices: &mut [IoSlice<'a>; SLICES],
    ) -> usize {
        let mut count = self.queue.as_ref().map_or(0, |queue| queue.gather(slices));
        for part in parts {
            let skipped = skip.min(part.len());
            skip -= skipped;
            if skipped < part.len() && count < SLICES {
                slices[count] = IoSlice::new(&part[skipped..]);
                count += 1;
            }
        }
        count
    }

    /// `count` bytes have left; returns how many of them were not the queue's.
    fn advance(&mut self, count: usize) -> usize {
        let Some(queue) = &mut self.queue else { return count };
        let queued = count.min(queue.len());
        queue.advance(queued);
        count - queued
    }
}
