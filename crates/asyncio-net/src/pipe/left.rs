//! Bytes that were read and did not fit the caller's buffer.

use std::cell::Cell;

#[derive(Default)]
pub(super) struct Left(Cell<Vec<u8>>);

impl Left {
    /// Moves bytes that are left to `buffer`; `None` if there are none.
    pub(super) fn take(&self, buffer: &mut [u8]) -> Option<usize> {
        let left = self.0.take();
        if left.is_empty() { None } else { Some(self.give(left, buffer)) }
    }

    /// Moves `bytes` to `buffer`, and keeps those that do not fit.
    pub(super) fn give(&self, mut bytes: Vec<u8>, buffer: &mut [u8]) -> usize {
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        bytes.drain(..count);
        self.0.set(bytes);
        count
    }
}
