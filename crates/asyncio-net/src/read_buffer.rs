//! Bytes that came and were not yet taken.

use bytes::Bytes;

use crate::pool;

/// From this length on, bytes are handed out together with the buffer they are in. Smaller ones are
/// copied: they would keep a much larger buffer alive.
const OWN_FROM: usize = 16 * 1024;

/// Up to this length a rest is copied back into a pooled buffer when more is to be read.
const SMALL: usize = 4 * 1024;

/// A buffer that has memory only while there are bytes in it.
///
/// It reads into a pooled buffer. What is left over when nothing more comes moves to memory of its own
/// size, so one who waits holds no pooled buffer.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer {
    /// All of it may be written to; empty when there are no bytes.
    storage: Box<[u8]>,
    start: usize,
    end: usize,
}

impl ReadBuffer {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Room to receive into, never empty, so that `want` bytes may be buffered in the end.
    ///
    /// If `want` is large it is not exceeded, so that the bytes can be handed out with the buffer.
    pub(crate) fn room(&mut self, want: usize) -> &mut [u8] {
        let want = want.max(self.len() + 1);
        if self.storage.len() < self.start + want {
            self.make_room(want);
        }
        let limit = if want < OWN_FROM { self.storage.len() } else { self.start + want };
        let limit = limit.min(self.storage.len());
        &mut self.storage[self.end..limit]
    }

    fn make_room(&mut self, want: usize) {
        if self.storage.len() >= want {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        } else if want <= pool::LENGTH && self.len() <= SMALL {
            self.move_to(pool::take());
        } else {
            self.move_to(vec![0; want.max(2 * self.len())].into());
        }
    }

    fn move_to(&mut self, mut storage: Box<[u8]>) {
        let length = self.len();
        storage[..length].copy_from_slice(self.bytes());
        pool::give(std::mem::replace(&mut self.storage, storage));
        self.start = 0;
        self.end = length;
    }

    /// `count` bytes were put into the room.
    pub(crate) fn advance(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.storage.len());
    }

    /// Nothing more comes for now: a pooled buffer is too good to wait in.
    pub(crate) fn park(&mut self, want: usize) {
        if self.is_empty() {
            return self.clear();
        }
        let grows = if self.len() <= SMALL { self.len() } else { 2 * self.len() };
        let needs = if want < OWN_FROM { grows } else { want.max(grows) };
        if self.storage.len() == pool::LENGTH && needs < pool::LENGTH {
            self.move_to(vec![0; needs].into());
        }
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "cannot consume more bytes than are buffered");
        self.start += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Drops all bytes.
    pub(crate) fn clear(&mut self) {
        pool::give(std::mem::take(&mut self.storage));
        self.start = 0;
        self.end = 0;
    }

    /// Takes the first `count` bytes out.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if count < OWN_FROM || count < self.len() {
            let bytes = Bytes::copy_from_slice(&self.bytes()[..count]);
            self.consume(count);
            return bytes;
        }
        let all = std::mem::take(self);
        if all.storage.len() == pool::LENGTH {
            Bytes::from_owner(all)
        } else {
            let (start, end) = (all.start, all.end);
            Bytes::from(all.into_storage()).slice(start..end)
        }
    }

    fn into_storage(mut self) -> Box<[u8]> {
        std::mem::take(&mut self.storage)
    }
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        pool::give(std::mem::take(&mut self.storage));
    }
}
