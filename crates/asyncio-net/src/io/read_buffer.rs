//! The buffer of received bytes that were not consumed yet.

use bytes::Bytes;

use super::buffer_pool;

/// From this length on, bytes are handed out together with the buffer they are in. Smaller ones are
/// copied: they would keep a much larger buffer alive.
const OWN_FROM: usize = 16 * 1024;

/// Up to this length, remaining bytes are copied back into a pooled buffer when more are read.
const SMALL: usize = 4 * 1024;

/// A buffer that has memory only while there are bytes in it.
///
/// Bytes are read into a pooled buffer. When no more come for now, the remaining bytes move to
/// memory of their own size. So a waiting reader holds no pooled buffer, and without bytes only one
/// word.
#[derive(Debug, Default)]
pub(crate) struct ReadBuffer(Option<Box<Buffer>>);

/// Memory with bytes in it.
#[derive(Debug)]
pub(crate) struct Buffer {
    /// The whole memory, for writing.
    storage: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { storage: vec![0; capacity].into(), start: 0, end: 0 }
    }

    #[inline]
    pub(crate) fn capacity(&self) -> usize {
        self.storage.len()
    }

    /// The whole buffer, to receive into.
    #[inline]
    pub(crate) fn storage(&mut self) -> &mut [u8] {
        &mut self.storage
    }

    #[inline]
    pub(crate) fn clear(&mut self) {
        self.start = 0;
        self.end = 0;
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    #[inline]
    fn len(&self) -> usize {
        self.end - self.start
    }

    fn move_to_front(&mut self) {
        self.storage.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
    }
}

impl ReadBuffer {
    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_deref().map_or(&[], Buffer::bytes)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_deref().map_or(0, Buffer::len)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Room to receive into. It is never empty, and large enough that `want` bytes can be buffered
    /// in the end.
    ///
    /// A large `want` is not exceeded, so that the bytes can be handed out together with the
    /// buffer.
    #[inline]
    pub(crate) fn room(&mut self, want: usize) -> &mut [u8] {
        let want = want.max(self.len() + 1);
        let buffer = match self.0.take() {
            None if want <= buffer_pool::LENGTH => buffer_pool::take(),
            Some(buffer) if buffer.capacity() >= buffer.start + want => buffer,
            buffer => make_room(buffer, want),
        };
        let Buffer { storage, start, end } = &mut **self.0.insert(buffer);
        let limit = if want < OWN_FROM { storage.len() } else { *start + want };
        let limit = limit.min(storage.len());
        &mut storage[*end..limit]
    }

    /// The size to request of [`room`](Self::room) when the number of bytes that will come is
    /// unknown: the present room, and twice as much once that is full. So each byte is copied a
    /// bounded number of times, in however small pieces the bytes come.
    pub(crate) fn growing(&self) -> usize {
        match self.0.as_deref() {
            Some(buffer) if buffer.end < buffer.capacity() => buffer.capacity() - buffer.start,
            _ => buffer_pool::LENGTH.max(2 * self.len()),
        }
    }

    fn move_to(&mut self, storage: Box<Buffer>) {
        if let Some(before) = self.0.take() {
            self.0 = Some(moved(before, storage));
        }
    }

    /// Notes that `count` bytes were put into the room.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        let buffer = self.0.as_deref_mut().expect("room was asked for");
        buffer.end += count;
        debug_assert!(buffer.end <= buffer.capacity());
    }

    /// Called when nothing more comes for now. Gives a pooled buffer back to the pool.
    pub(crate) fn park(&mut self, want: usize) {
        if self.is_empty() {
            return self.clear();
        }
        let grows = if self.len() <= SMALL { self.len() } else { 2 * self.len() };
        let needs = if want < OWN_FROM { grows } else { want.max(grows) };
        let capacity = self.0.as_deref().map_or(0, Buffer::capacity);
        if capacity == buffer_pool::LENGTH && needs < buffer_pool::LENGTH {
            self.move_to(Box::new(Buffer::new(needs)));
        }
    }

    /// Drops the first `count` bytes.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "cannot consume more bytes than are buffered");
        if let Some(buffer) = self.0.as_deref_mut() {
            buffer.start += count;
            if buffer.len() == 0 {
                self.clear();
            }
        }
    }

    /// Drops all bytes.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if let Some(buffer) = self.0.take() {
            buffer_pool::give(buffer);
        }
    }

    /// Takes the first `count` bytes out.
    pub(crate) fn take(&mut self, count: usize) -> Bytes {
        if count < OWN_FROM || count < self.len() {
            let bytes = Bytes::copy_from_slice(&self.bytes()[..count]);
            self.consume(count);
            return bytes;
        }
        match self.0.take() {
            Some(buffer) if buffer.capacity() != buffer_pool::LENGTH => {
                Bytes::from(buffer.storage).slice(buffer.start..buffer.end)
            }
            pooled => Bytes::from_owner(Self(pooled)),
        }
    }
}

/// Makes room for `want` bytes, including the buffered ones.
#[cold]
fn make_room(buffer: Option<Box<Buffer>>, want: usize) -> Box<Buffer> {
    let Some(mut buffer) = buffer else { return Box::new(Buffer::new(want)) };
    if buffer.capacity() >= want {
        buffer.move_to_front();
        buffer
    } else if want <= buffer_pool::LENGTH && buffer.len() <= SMALL {
        moved(buffer, buffer_pool::take())
    } else {
        let capacity = want.max(2 * buffer.len());
        moved(buffer, Box::new(Buffer::new(capacity)))
    }
}

/// Copies the bytes of `before` to the front of `to`, and gives `before` back to the pool.
fn moved(before: Box<Buffer>, mut to: Box<Buffer>) -> Box<Buffer> {
    let length = before.len();
    to.storage[..length].copy_from_slice(before.bytes());
    to.start = 0;
    to.end = length;
    buffer_pool::give(before);
    to
}

impl AsRef<[u8]> for ReadBuffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_come_one_by_one_are_seldom_copied() {
        let mut buffer = ReadBuffer::default();
        let mut storages = Vec::new();
        for _ in 0..1 << 20 {
            let want = buffer.growing();
            buffer.room(want)[0] = 1;
            buffer.advance(1);
            buffer.park(want);
            let capacity = buffer.0.as_deref().expect("it has bytes").capacity();
            if capacity > buffer_pool::LENGTH && storages.last() != Some(&capacity) {
                storages.push(capacity);
            }
        }
        let doubled = (1..).map(|power| buffer_pool::LENGTH << power);
        assert_eq!(storages, doubled.take(storages.len()).collect::<Vec<_>>());
        assert_eq!(buffer.len(), 1 << 20);
    }
}
