//! A map from signal numbers: a vector, since programs use few signals.

use std::ffi::c_int;

/// Values by signal, in the order in which the signals came.
pub(super) struct BySignal<T> {
    entries: Vec<(c_int, T)>,
}

impl<T> BySignal<T> {
    pub(super) const fn new() -> Self {
        BySignal { entries: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn get(&self, signal: c_int) -> Option<&T> {
        self.position(signal).map(|position| &self.entries[position].1)
    }

    pub(super) fn get_mut(&mut self, signal: c_int) -> Option<&mut T> {
        self.position(signal).map(|position| &mut self.entries[position].1)
    }

    /// The value of a signal, which is made if there is none.
    pub(super) fn get_or_try_insert<E>(
        &mut self,
        signal: c_int,
        make: impl FnOnce() -> Result<T, E>,
    ) -> Result<&mut T, E> {
        let position = match self.position(signal) {
            Some(position) => position,
            None => {
                self.entries.push((signal, make()?));
                self.entries.len() - 1
            }
        };
        Ok(&mut self.entries[position].1)
    }

    pub(super) fn remove(&mut self, signal: c_int) -> Option<T> {
        self.position(signal).map(|position| self.entries.remove(position).1)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (c_int, &T)> {
        self.entries.iter().map(|(signal, value)| (*signal, value))
    }

    fn position(&self, signal: c_int) -> Option<usize> {
        self.entries.iter().position(|(other, _)| *other == signal)
    }
}

impl<T> Default for BySignal<T> {
    fn default() -> Self {
        BySignal::new()
    }
}
