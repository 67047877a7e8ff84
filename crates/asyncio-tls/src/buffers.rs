//! Queues of bytes that use memory only while they are not empty, and the large buffers of a
//! thread.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use asyncio_net::ByteStream;

/// How long a large buffer is: room for four full records of 2^14 bytes of text, with what a
/// record adds (RFC 5246, 6.2.3: up to 2048 bytes and a header of 5).
const LENGTH: usize = 4 * (16 * 1024 + 2048 + 5);
/// How many large buffers a thread keeps: one to receive into, and one to encrypt into.
const KEPT: usize = 2;
/// A smaller remainder is copied, so that it does not keep a large buffer in use.
const WORTH_KEEPING: usize = 16 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A large buffer with arbitrary content.
pub(crate) fn take_large() -> Vec<u8> {
    let kept = POOL.try_with(|pool| pool.borrow_mut().pop()).ok().flatten();
    kept.unwrap_or_else(|| vec![0; LENGTH])
}

/// Returns a large buffer to the thread's store.
pub(crate) fn give_large(mut buffer: Vec<u8>) {
    // It usually has this length already.
    buffer.resize(LENGTH, 0);
    // When the thread is ending, this frees the buffer.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool.len() < KEPT {
            pool.push(buffer);
        }
    });
}

/// A queue of bytes: appended at the end, taken at the front.
#[derive(Default)]
pub(crate) struct Rest {
    bytes: Vec<u8>,
    start: usize,
}

impl Rest {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Stores the unsent rest of a large buffer. The queue is empty before.
    pub(crate) fn keep(&mut self, mut large: Vec<u8>, left: Range<usize>) {
        debug_assert!(self.is_empty());
        if left.len() < WORTH_KEEPING {
            self.push(&large[left]);
            return give_large(large);
        }
        large.truncate(left.end);
        *self = Self { bytes: large, start: left.start };
    }

    /// The buffer to append to.
    pub(crate) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Removes the first `count` bytes.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
        if self.start >= self.bytes.len() {
            self.clear();
        }
    }

    /// Moves bytes to the front of `buffer`; returns how many.
    pub(crate) fn move_to(&mut self, buffer: &mut [u8]) -> usize {
        let count = self.as_slice().len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.as_slice()[..count]);
        if count > 0 {
            self.advance(count);
        }
        count
    }

    /// Drops all bytes and the memory.
    pub(crate) fn clear(&mut self) {
        let Self { bytes, .. } = std::mem::take(self);
        if bytes.capacity() >= LENGTH {
            give_large(bytes);
        }
    }
}

/// Received records. They are in a large buffer while the session processes them. An incomplete
/// record waits in memory of its own size.
///
/// However small the pieces of a record are, each byte is moved a bounded number of times: the
/// waiting bytes move to a large buffer only when at least as many new bytes have arrived.
/// Otherwise the new bytes are appended to them.
#[derive(Default)]
pub(crate) struct Received {
    large: Option<Vec<u8>>,
    /// The unprocessed range of the large buffer, or the length of the waiting bytes.
    start: usize,
    end: usize,
    beginning: Vec<u8>,
}

impl Received {
    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.large {
            Some(large) => &mut large[self.start..self.end],
            None => &mut self.beginning[self.start..],
        }
    }

    /// Removes the first `count` bytes, which the session has processed.
    pub(crate) fn advance(&mut self, count: usize) {
        self.start += count;
    }

    /// Called when the session has processed all complete records.
    pub(crate) fn settle(&mut self) {
        if let Some(large) = self.large.take() {
            self.beginning = large[self.start..self.end].to_vec();
            give_large(large);
        } else if self.start > 0 {
            // A part of the last piece.
            self.beginning = self.beginning[self.start..].to_vec();
        }
        self.start = 0;
    }

    /// Receives more bytes. Returns their number; 0 is the end.
    pub(crate) fn poll_fill<S: ByteStream>(
        &mut self,
        cx: &mut Context<'_>,
        below: &S,
    ) -> Poll<io::Result<usize>> {
        self.settle();
        let waiting = self.beginning.len();
        if waiting >= LENGTH {
            let text = "the peer sent a message of TLS that is too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, text)));
        }
        let mut large = take_large();
        let read = below.poll_read(cx, &mut large[waiting..]);
        match &read {
            Poll::Ready(Ok(count @ 1..)) => self.received(large, *count),
            _ => give_large(large),
        }
        Poll::Ready(ready!(read))
    }

    /// Takes over `count` new bytes, which were received behind the space for the waiting bytes.
    fn received(&mut self, mut large: Vec<u8>, count: usize) {
        let waiting = self.beginning.len();
        let all = waiting + count;
        if count < waiting {
            self.beginning.extend_from_slice(&large[waiting..all]);
            return give_large(large);
        }
        large[..waiting].copy_from_slice(&self.beginning);
        self.beginning = Vec::new();
        (self.large, self.end) = (Some(large), all);
    }

    /// Drops all bytes.
    pub(crate) fn clear(&mut self) {
        self.beginning = Vec::new();
        self.start = 0;
        if let Some(large) = self.large.take() {
            give_large(large);
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_leaves_in_order_and_keeps_no_memory() {
        let mut rest = Rest::default();
        rest.push(b"abcdef");
        let mut buffer = [0; 4];
        assert_eq!((rest.move_to(&mut buffer), &buffer), (4, b"abcd"));
        rest.push(b"gh");
        assert_eq!(rest.as_slice(), b"efgh");
        rest.advance(3);
        assert_eq!((rest.move_to(&mut buffer), buffer[0]), (1, b'h'));
        assert!(rest.is_empty());
        assert_eq!(rest.bytes.capacity(), 0);
        assert_eq!(rest.move_to(&mut buffer), 0);
    }

    #[test]
    fn a_large_buffer_waits_for_much_only_and_comes_back() {
        POOL.with(|pool| pool.borrow_mut().clear());
        let pooled = || POOL.with(|pool| pool.borrow().iter().map(Vec::len).collect::<Vec<_>>());
        let mut rest = Rest::default();
        rest.keep(take_large(), 10..20);
        assert_eq!((rest.as_slice().len(), pooled()), (10, vec![LENGTH]));
        rest.clear();
        rest.keep(take_large(), 1..40_000);
        assert_eq!((rest.as_slice().len(), pooled()), (39_999, vec![]));
        rest.push(b"more");
        rest.advance(40_003);
        assert_eq!((rest.is_empty(), pooled()), (true, vec![LENGTH]));
    }

    fn come(received: &mut Received, bytes: &[u8]) {
        let (mut large, waiting) = (take_large(), received.beginning.len());
        large[waiting..][..bytes.len()].copy_from_slice(bytes);
        received.received(large, bytes.len());
    }

    #[test]
    fn a_beginning_that_waits_has_memory_of_its_own_size() {
        let mut received = Received::default();
        come(&mut received, b"12345");
        received.advance(2);
        received.settle();
        assert_eq!(received.as_mut_slice(), b"345");
        assert_eq!(received.beginning.capacity(), 3);
        assert!(received.large.is_none());
        come(&mut received, b"6");
        assert_eq!(received.as_mut_slice(), b"3456");
        received.advance(4);
        assert!(received.as_mut_slice().is_empty());
        received.settle();
        assert_eq!(received.beginning.capacity(), 0);
    }

    #[test]
    fn what_waits_moves_when_as_much_has_come() {
        let mut received = Received::default();
        come(&mut received, b"123");
        received.settle();
        come(&mut received, b"456");
        assert!(received.large.is_some());
        received.advance(1);
        assert_eq!(received.as_mut_slice(), b"23456");
        received.settle();
        come(&mut received, b"7");
        assert_eq!(received.as_mut_slice(), b"234567");
        received.advance(4);
        received.settle();
        assert_eq!(received.as_mut_slice(), b"67");
    }

    #[test]
    fn bytes_that_come_one_by_one_are_seldom_copied() {
        let mut received = Received::default();
        let mut moves = 0;
        for byte in 0..16 * 1024 {
            let at = received.beginning.as_ptr();
            come(&mut received, &[byte as u8]);
            received.settle();
            moves += usize::from(received.beginning.as_ptr() != at);
        }
        assert_eq!(received.as_mut_slice().len(), 16 * 1024);
        // The allocator may well extend it in place.
        assert!(moves <= 16, "{moves} moves");
    }
}
