//! Large buffers to receive into, last in, first out: the one that is still in the cache goes first.
//!
//! Each thread has its own; a buffer that travelled is kept where it ends.

use std::cell::{Cell, RefCell};

/// The length of a pooled buffer: what a socket can have ready for one `recv`.
pub(crate) const LENGTH: usize = 256 * 1024;

/// How many are kept. More are needed only while that many reads are being worked on.
const KEPT: usize = 32;

thread_local! {
    /// The one that was given last: mostly the only one in use. Empty when it is.
    static LAST: Cell<Box<[u8]>> = Cell::default();
    static OTHERS: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `LENGTH` bytes with anything in it.
#[inline]
pub(crate) fn take() -> Box<[u8]> {
    let last = LAST.take();
    if last.is_empty() { take_other() } else { last }
}

fn take_other() -> Box<[u8]> {
    OTHERS.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; LENGTH].into())
}

/// Keeps `buffer` if it is one of ours, frees it otherwise.
#[inline]
pub(crate) fn give(buffer: Box<[u8]>) {
    if buffer.len() == LENGTH {
        // Frees it when the thread is ending and the pool is gone.
        let _ = LAST.try_with(|last| keep(last.replace(buffer)));
    }
}

fn keep(buffer: Box<[u8]>) {
    if !buffer.is_empty() {
        let _ = OTHERS.try_with(|others| push(&mut others.borrow_mut(), buffer));
    }
}

fn push(others: &mut Vec<Box<[u8]>>, buffer: Box<[u8]>) {
    if others.len() < KEPT {
        others.push(buffer);
    }
}
