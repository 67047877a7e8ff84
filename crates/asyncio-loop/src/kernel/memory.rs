//! Memory of callbacks and tasks that is kept for reuse.
//!
//! Tasks come and go by the thousand and in few sizes. A loop keeps memory that its own thread
//! frees, up to a bound, which costs a fraction of a call of the allocator. It is ordinary memory
//! of the global allocator: another thread frees it there.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Sizes are rounded up to a multiple of this.
const STEP: usize = 8;
/// Larger memory is not kept.
const LARGEST: usize = 512;
/// Bytes kept of each size. None under AddressSanitizer, which tracks freed memory itself.
const KEPT: usize = if cfg!(asan) { 0 } else { 128 * 1024 };
/// Bytes kept of each size while the loop is busy.
const KEPT_BUSY: usize = 8 * KEPT;
/// The number of blocks of one size that go back to the allocator in one pause of the loop.
const AT_ONCE: usize = 256;

/// The kept memory, by size.
pub(super) struct Memory {
    free: [Vec<NonNull<u8>>; LARGEST / STEP],
    /// Bytes kept of each size at present: `KEPT`, or `KEPT_BUSY` in a rush.
    bound: usize,
}

/// The layout that memory for `layout` has, whether it is kept or not.
pub(super) const fn padded(layout: Layout) -> Layout {
    if layout.size() > LARGEST || layout.align() > STEP {
        return layout;
    }
    match Layout::from_size_align(layout.size().next_multiple_of(STEP), layout.align()) {
        Ok(padded) => padded,
        Err(_) => layout,
    }
}

/// The list that a padded layout belongs to. Only the usual alignment is kept.
fn class(layout: Layout) -> Option<usize> {
    let kept = layout.size() <= LARGEST && layout.align() == align_of::<usize>();
    kept.then(|| layout.size() / STEP - 1)
}

impl Memory {
    pub(super) const fn new() -> Self {
        Self { free: [const { Vec::new() }; LARGEST / STEP], bound: KEPT }
    }

    /// Memory of a padded layout, uninitialised.
    #[inline]
    pub(super) fn take(&mut self, layout: Layout) -> NonNull<u8> {
        match class(layout).and_then(|class| self.free[class].pop()) {
            Some(memory) => memory,
            None => fresh(layout),
        }
    }

    /// Gives memory back.
    ///
    /// # Safety
    ///
    /// `memory` was allocated with the padded `layout`, and nothing uses it any more.
    #[inline]
    pub(super) unsafe fn put(&mut self, memory: NonNull<u8>, layout: Layout) {
        match class(layout) {
            Some(class) if self.free[class].len() * layout.size() < self.bound => {
                self.free[class].push(memory);
            }
            Some(_) if self.bound < KEPT_BUSY => {
                // Many tasks come and go.
                self.bound = KEPT_BUSY;
                // SAFETY: the caller's promise.
                unsafe { self.put(memory, layout) };
            }
            // SAFETY: the caller's promise.
            _ => unsafe { dealloc(memory.as_ptr(), layout) },
        }
    }

    /// Called when the loop pauses: some of the memory of a burst goes back to the allocator.
    #[inline]
    pub(super) fn relax(&mut self) {
        if self.bound > KEPT && !self.shrink(KEPT, AT_ONCE) {
            self.bound = KEPT;
        }
    }

    /// Gives everything back to the allocator.
    pub(super) fn clear(&mut self) {
        self.shrink(0, usize::MAX);
        self.free.fill_with(Vec::new);
    }

    /// Gives up to `at_once` blocks of each size back while more than `bytes` bytes of it are kept.
    /// Returns whether there are still more.
    #[cold]
    fn shrink(&mut self, bytes: usize, at_once: usize) -> bool {
        let mut rich = false;
        for (class, list) in self.free.iter_mut().enumerate() {
            let size = (class + 1) * STEP;
            let layout = Layout::from_size_align(size, align_of::<usize>()).expect("small");
            let keep = (bytes / size).max(list.len().saturating_sub(at_once)).min(list.len());
            for memory in list.drain(keep..) {
                // SAFETY: put here by `put`, with this very layout: see `class`.
                unsafe { dealloc(memory.as_ptr(), layout) };
            }
            rich |= list.len() * size > bytes;
        }
        rich
    }
}

/// Memory from the allocator.
#[cold]
pub(super) fn fresh(layout: Layout) -> NonNull<u8> {
    // SAFETY: the memory holds a header, so its size is not zero.
    let memory = unsafe { alloc(layout) };
    NonNull::new(memory).unwrap_or_else(|| handle_alloc_error(layout))
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(all(test, not(asan)))]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_by_cells_of_the_same_size() {
        let layout = padded(Layout::new::<[usize; 9]>());
        assert_eq!(layout.size(), 72);
        let mut memory = Memory::new();
        let first = memory.take(layout);
        // SAFETY: taken with this layout, and not used.
        unsafe { memory.put(first, layout) };
        assert_eq!(memory.take(layout), first);
        // SAFETY: as above.
        unsafe { memory.put(first, layout) };
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let layout = padded(Layout::new::<[usize; 8]>());
        let mut memory = Memory::new();
        let all: Vec<_> = (0..10_000).map(|_| memory.take(layout)).collect();
        for cell in all {
            // SAFETY: taken with this layout, and not used.
            unsafe { memory.put(cell, layout) };
        }
        let kept = |memory: &Memory| memory.free.iter().map(Vec::len).sum::<usize>();
        assert_eq!(kept(&memory), 10_000, "they are fewer than a busy loop keeps");
        for _ in 0..10_000 / AT_ONCE {
            memory.relax();
        }
        assert_eq!((kept(&memory), memory.bound), (KEPT / 64, KEPT));
        memory.clear();
        assert_eq!(memory.free.iter().map(Vec::len).sum::<usize>(), 0);
    }
}
