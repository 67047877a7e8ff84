//! Large buffers to receive into, last in, first out: the one that is still in the cache goes
//! first.
//!
//! Each thread has its own; a buffer that travelled is kept where it ends.

use std::cell::{Cell, RefCell};

use super::read_buffer::Buffer;

/// The length of a pooled buffer: what a socket can have ready for one `recv`.
pub(crate) const LENGTH: usize = 256 * 1024;

/// How many are kept. More are needed only while that many reads are being worked on.
const KEPT: usize = 32;

thread_local! {
    /// The one that was given last: mostly the only one in use.
    static LAST: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
    #[allow(clippy::vec_box, reason = "the boxes are what is kept")]
    static OTHERS: RefCell<Vec<Box<Buffer>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer of `LENGTH` bytes with anything in it.
#[inline]
pub(crate) fn take() -> Box<Buffer> {
    LAST.take().unwrap_or_else(take_other)
}

#[cold]
fn take_other() -> Box<Buffer> {
    OTHERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| Box::new(Buffer::new(LENGTH)))
}

/// Keeps `buffer` if it is one of ours, frees it otherwise.
#[inline]
pub(crate) fn give(mut buffer: Box<Buffer>) {
    if buffer.capacity() == LENGTH {
        buffer.clear();
        // Frees it when the thread is ending and the pool is gone.
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
