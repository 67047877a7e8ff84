//! The queue of bytes that were written and not sent yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// A first small write makes room for this many bytes.
const FIRST: usize = 4 * 1024;
/// Small writes share a chunk up to this length.
const CHUNK: usize = 64 * 1024;
/// The maximum number of slices in one system call.
pub(crate) const SLICES: usize = 16;

/// A queue of bytes. A connection has one only while bytes wait in it.
///
/// Most queues hold a few small writes, which are sent in one piece. Those are in `small`, which
/// keeps its memory.
#[derive(Debug, Default)]
pub(crate) struct WriteQueue {
    /// The bytes that are sent first.
    small: Vec<u8>,
    /// The bytes that are sent after them.
    chunks: VecDeque<Chunk>,
    /// The number of bytes of the first piece that were sent.
    sent: usize,
    len: usize,
}

#[derive(Debug)]
enum Chunk {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl WriteQueue {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends a copy.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if self.chunks.is_empty() && self.small.len() + bytes.len() <= CHUNK {
            if self.small.capacity() == 0 {
                self.small.reserve(bytes.len().max(FIRST));
            }
            self.small.extend_from_slice(bytes);
        } else if !bytes.is_empty() {
            self.push_more(bytes);
        }
    }

    fn push_more(&mut self, bytes: &[u8]) {
        match self.chunks.back_mut() {
            Some(Chunk::Copied(chunk)) if chunk.len() + bytes.len() <= CHUNK => {
                chunk.extend_from_slice(bytes);
            }
            _ => {
                let mut chunk = Vec::with_capacity(bytes.len().max(FIRST));
                chunk.extend_from_slice(bytes);
                self.chunks.push_back(Chunk::Copied(chunk));
            }
        }
    }

    /// Appends without a copy.
    pub(crate) fn push_shared(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len();
            self.chunks.push_back(Chunk::Shared(bytes));
        }
    }

    /// The pieces, of which the first may be sent in part.
    fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let small = (!self.small.is_empty()).then_some(&self.small[..]);
        small.into_iter().chain(self.chunks.iter().map(Chunk::as_ref))
    }

    /// Puts the first bytes into `slices`; returns how many slices that took.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.sent;
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(self.pieces()) {
            *slice = IoSlice::new(&piece[skip..]);
            skip = 0;
            count += 1;
        }
        count
    }

    /// The whole queue, if it is in one piece.
    #[inline]
    pub(crate) fn single(&self) -> Option<&[u8]> {
        if self.chunks.is_empty() {
            return Some(&self.small[self.sent..]);
        }
        let mut pieces = self.pieces();
        let first = pieces.next()?;
        pieces.next().is_none().then_some(&first[self.sent..])
    }

    /// Removes the first `count` bytes, or all if there are fewer, and returns their number.
    #[inline]
    pub(crate) fn advance_up_to(&mut self, count: usize) -> usize {
        if count >= self.len && self.chunks.is_empty() {
            let queued = self.len;
            self.clear();
            return queued;
        }
        let queued = count.min(self.len);
        self.advance(queued);
        queued
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(length) = self.first_length() {
            let rest = length - self.sent;
            if count < rest {
                self.sent += count;
                return;
            }
            count -= rest;
            self.sent = 0;
            self.drop_first();
        }
    }

    /// Drops everything.
    #[inline]
    pub(crate) fn clear(&mut self) {
        self.small.clear();
        if !self.chunks.is_empty() {
            self.chunks.clear();
        }
        self.sent = 0;
        self.len = 0;
    }

    fn first_length(&self) -> Option<usize> {
        self.pieces().next().map(<[u8]>::len)
    }

    fn drop_first(&mut self) {
        if self.small.is_empty() {
            self.chunks.pop_front();
        } else {
            self.small.clear();
        }
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Copied(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn first_bytes(queue: &WriteQueue) -> Vec<u8> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = queue.gather(&mut slices);
        slices[..count].iter().flat_map(|slice| slice.to_vec()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn what_goes_in_comes_out_in_order(
            steps in prop::collection::vec((0..3, 0..20_000_usize), 1..60)
        ) {
            let mut queue = WriteQueue::default();
            let mut model = VecDeque::new();
            for (step, (kind, amount)) in steps.into_iter().enumerate() {
                let bytes = vec![step as u8; amount];
                match kind {
                    0 => queue.push(&bytes[..amount / 2]),
                    1 => queue.push_shared(bytes.clone().into()),
                    _ => {
                        let count = amount.min(model.len());
                        queue.advance(count);
                        model.drain(..count);
                    }
                }
                match kind {
                    0 => model.extend(&bytes[..amount / 2]),
                    1 => model.extend(&bytes),
                    _ => {}
                }
                prop_assert_eq!(queue.len(), model.len());
                let first = first_bytes(&queue);
                prop_assert!(first.iter().eq(model.iter().take(first.len())));
                prop_assert_eq!(first.is_empty(), model.is_empty());
            }
        }
    }
}
