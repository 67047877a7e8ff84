//! A reference that is lent to a thread for as long as a call lasts.

use std::cell::Cell;
use std::ptr::NonNull;
use std::thread::LocalKey;

/// A reference that is lent for the length of a call. It belongs into a `const` thread-local: it
/// has no destructor, so reading it is one load.
pub(crate) struct Lent<T: 'static>(Cell<Option<NonNull<T>>>);

impl<T: 'static> Lent<T> {
    pub(crate) const fn new() -> Self {
        Self(Cell::new(None))
    }

    /// Calls `f` with the reference that is lent to this thread now. The thread-local is read
    /// before `f` is called, so the reading is inlined, however large `f` is.
    #[inline]
    pub(crate) fn with<R>(this: &'static LocalKey<Self>, f: impl FnOnce(Option<&T>) -> R) -> R {
        let value = this.with(|lent| lent.0.get());
        // SAFETY: the call of `lend` that lent it is below on this thread's stack, and takes it
        // back before its borrow ends; `f` returns before that.
        f(value.map(|value| unsafe { value.as_ref() }))
    }

    /// Lends `value` while `f` runs; the reference before is lent again afterwards.
    pub(crate) fn lend<R>(&self, value: &T, f: impl FnOnce() -> R) -> R {
        /// Takes back, also when `f` unwinds.
        struct Back<'a, T: 'static>(&'a Lent<T>, Option<NonNull<T>>);
        impl<T> Drop for Back<'_, T> {
            fn drop(&mut self) {
                self.0.0.set(self.1);
            }
        }
        let _back = Back(self, self.0.replace(Some(NonNull::from(value))));
        f()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    thread_local! {
        static NUMBER: Lent<u32> = const { Lent::new() };
    }

    fn number() -> Option<u32> {
        Lent::with(&NUMBER, |number| number.copied())
    }

    #[test]
    fn what_is_lent_is_there_until_the_call_ends_however_it_ends() {
        assert_eq!(number(), None);
        let inner = || NUMBER.with(|lent| lent.lend(&2, || assert_eq!(number(), Some(2))));
        NUMBER.with(|lent| {
            lent.lend(&1, || {
                inner();
                assert_eq!(number(), Some(1));
            });
        });
        let unwinds = || NUMBER.with(|lent| lent.lend(&3, || panic!("on purpose")));
        std::panic::catch_unwind(unwinds).unwrap_err();
        assert_eq!(number(), None);
    }
}
