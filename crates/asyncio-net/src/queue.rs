//! Bytes that were written and have not left yet.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::Bytes;

/// The first small write makes room for this many bytes.
const FIRST: usize = 4 * 1024;
/// Small writes share a chunk up to this length.
const CHUNK: usize = 64 * 1024;
/// As many slices go into one system call.
pub(crate) const SLICES: usize = 16;

/// A queue of bytes; a connection has one only while something waits in it.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    chunks: VecDeque<Chunk>,
    /// How much of the first chunk has left.
    sent: usize,
    len: usize,
    /// Memory for the next chunk of small writes.
    spare: Vec<u8>,
}

#[derive(Debug)]
enum Chunk {
    Copied(Vec<u8>),
    Shared(Bytes),
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends a copy.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.len += bytes.len();
        match self.chunks.back_mut() {
            Some(Chunk::Copied(chunk)) if chunk.len() + bytes.len() <= CHUNK => {
                chunk.extend_from_slice(bytes);
            }
            _ => {
                let mut chunk = std::mem::take(&mut self.spare);
                chunk.reserve(bytes.len().max(FIRST));
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

    /// Puts the first bytes into `slices`; returns how many slices that took.
    pub(crate) fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut skip = self.sent;
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(&chunk.as_ref()[skip..]);
            skip = 0;
        }
        self.chunks.len().min(SLICES)
    }

    /// All of it, if it is in one piece; empty if it is nothing.
    #[inline]
    pub(crate) fn single(&self) -> Option<&[u8]> {
        match self.chunks.len() {
            0 => Some(&[]),
            1 => self.chunks.front().map(|chunk| &chunk.as_ref()[self.sent..]),
            _ => None,
        }
    }

    /// The first `count` bytes have left, or all if there are not so many; returns how many.
    pub(crate) fn advance_up_to(&mut self, count: usize) -> usize {
        let queued = count.min(self.len);
        self.advance(queued);
        queued
    }

    fn advance(&mut self, mut count: usize) {
        self.len -= count;
        while let Some(first) = self.chunks.front() {
            let rest = first.as_ref().len() - self.sent;
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
    pub(crate) fn clear(&mut self) {
        self.sent = 0;
        self.len = 0;
        while !self.chunks.is_empty() {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(Chunk::Copied(mut chunk)) = self.chunks.pop_front() {
            if chunk.capacity() <= CHUNK {
                chunk.clear();
                self.spare = chunk;
            }
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

    fn first_bytes(queue: &Queue) -> Vec<u8> {
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
            let mut queue = Queue::default();
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
