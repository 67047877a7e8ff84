//! Large buffers to receive into, last in, first out: the one that is still in the cache goes first.
//!
//! Each thread has its own; a buffer that travelled is kept where it ends.

use std::cell::RefCell;

/// The length of a pooled buffer: what a socket can have ready for one `recv`.
pub(crate) const LENGTH: usize = 256 * 1024;

/// How many are kept. More are needed only while that many reads are being worked on.
const KEPT: usize = 32;

thread_local! {
    static POOL: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer of `LENGTH` bytes with anything in it.
pub(crate) fn take() -> Box<[u8]> {
    POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| vec![0; LENGTH].into())
}

/// Keeps `buffer` if it is one of ours, frees it otherwise.
pub(crate) fn give(buffer: Box<[u8]>) {
    if buffer.len() == LENGTH {
        // Frees it when the thread is ending and the pool is gone.
        let _ = POOL.try_with(|pool| keep(&mut pool.borrow_mut(), buffer));
    }
}

fn keep(pool: &mut Vec<Box<[u8]>>, buffer: Box<[u8]>) {
    if pool.len() < KEPT {
        pool.push(buffer);
    }
}
