//! A pool of large buffers to receive into, last in, first out, so that the buffer which is still
//! in the cache is used first.
//!
//! Each thread has its own pool; a buffer that moved to another thread goes to that thread's pool.

use std::cell::{Cell, RefCell};

use super::read_buffer::Buffer;

/// The length of a pooled buffer: the bytes that a socket can have ready for one `recv`.
pub(crate) const LENGTH: usize = 256 * 1024;

/// The number of buffers that are kept. More are needed only while more reads than that are being
/// processed.
const KEPT: usize = 32;

thread_local! {
    /// The buffer that was given back last, which is mostly the only one in use.
    static LAST: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    static OTHERS: RefCell<Vec<Box<Buffer>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `LENGTH` bytes with arbitrary contents.
#[inline]
pub(crate) fn take() -> Box<Buffer> {
    LAST.take().unwrap_or_else(take_other)
}

#[cold]
fn take_other() -> Box<Buffer> {
    OTHERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Buffer::new(LENGTH)))
}

/// Keeps `buffer` if it is a pooled one, frees it otherwise.
#[inline]
pub(crate) fn give(mut buffer: Box<Buffer>) {
    if buffer.capacity() == LENGTH {
        buffer.clear();
        // The buffer is freed if the thread is ending and the pool is gone.
        let _ = LAST.try_with(|last| {
            if let Some(before) = last.replace(Some(buffer)) {
                keep(before);
            }
        });
    }
}

#[cold]
fn keep(buffer: Box<Buffer>) {
    let _ = OTHERS.try_with(|others| {
        let mut others = others.borrow_mut();
        if others.len() < KEPT {
            others.push(buffer);
        }
    });
}
