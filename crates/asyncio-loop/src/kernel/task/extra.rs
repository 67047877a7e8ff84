//! Rare parts of a task, behind one word.

use std::marker::PhantomData;
use std::ptr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{Ordering, compiler_fence};

use super::error_text::ErrorText;
use super::on_done::OnDone;
use super::supervisor::Supervisor;
use crate::cancel_reason::{CancelReason, Reason};
use crate::kernel::callback::CallbackRef;

#[derive(Default)]
pub(super) struct Extra {
    pub(super) name: Option<Rc<str>>,
    pub(super) supervisor: Option<Rc<dyn Supervisor>>,
    pub(super) on_done: OnDone,
    /// The tasks that are told of the end by a callback, by number.
    pub(super) awaited_by: Vec<(CallbackRef, u64)>,
    /// Finds an error in the output.
    pub(super) error_text: Option<ErrorText>,
    /// Requests to cancel, less those that were withdrawn.
    pub(super) requests: usize,
    /// The reason of the last request.
    pub(super) reason: Option<CancelReason>,
}

/// Nothing, an [`Extra`], or the reason of a single request to cancel. Most tasks never have more
/// of these than that reason, so cancelling a task allocates nothing.
///
/// The word is null; or the address of an `Extra`, owned as by a `Box`; or has the lowest bit set,
/// and is otherwise null or the address of a [`Reason`], owned as by an `Arc`.
pub(super) struct ExtraSlot {
    word: *mut u8,
    _owns: PhantomData<(Box<Extra>, Arc<Reason>)>,
}

/// The bit that marks the address of a reason.
const REASON: usize = 1;
const _: () = assert!(align_of::<Extra>() > REASON && align_of::<Reason>() > REASON);

impl ExtraSlot {
    #[cold]
    pub(super) fn named(name: Rc<str>) -> Self {
        Self::full(Extra { name: Some(name), ..Extra::default() })
    }

    fn full(extra: Extra) -> Self {
        let word = Box::into_raw(Box::new(extra)).cast();
        // A signal handler that finds the address finds what is there, too.
        compiler_fence(Ordering::SeqCst);
        Self { word, _owns: PhantomData }
    }

    fn single(reason: CancelReason) -> Self {
        let reason = reason.0.map_or(ptr::null(), Arc::into_raw);
        let word = reason.cast_mut().cast::<u8>().map_addr(|address| address | REASON);
        Self { word, _owns: PhantomData }
    }

    /// The address of a single request's reason, which may be null.
    #[inline]
    fn single_reason(&self) -> Option<*const Reason> {
        let is_reason = self.word.addr() & REASON != 0;
        is_reason.then(|| self.word.map_addr(|address| address & !REASON).cast_const().cast())
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.word.is_null()
    }

    #[inline]
    fn is_full(&self) -> bool {
        !self.word.is_null() && self.word.addr() & REASON == 0
    }

    #[inline]
    pub(super) fn get(&self) -> Option<&Extra> {
        // SAFETY: full, so the address of an `Extra` that this owns.
        self.is_full().then(|| unsafe { &*self.word.cast::<Extra>() })
    }

    #[inline]
    pub(super) fn get_mut(&mut self) -> Option<&mut Extra> {
        // SAFETY: full, so the address of an `Extra` that this owns.
        self.is_full().then(|| unsafe { &mut *self.word.cast::<Extra>() })
    }

    /// The extra part, which is made if it is missing.
    pub(super) fn get_or_insert(&mut self) -> &mut Extra {
        if !self.is_full() {
            let (requests, reason) = (self.requests(), self.reason());
            *self = Self::full(Extra { requests, reason, ..Extra::default() });
        }
        // SAFETY: full, so the address of an `Extra` that this owns.
        unsafe { &mut *self.word.cast::<Extra>() }
    }

    /// Requests to cancel the task, less those that were withdrawn.
    pub(super) fn requests(&self) -> usize {
        self.get().map_or(usize::from(!self.word.is_null()), |extra| extra.requests)
    }

    /// The reason of the last request.
    pub(super) fn reason(&self) -> Option<CancelReason> {
        match self.single_reason() {
            None => self.get()?.reason.clone(),
            Some(reason) if reason.is_null() => Some(CancelReason::default()),
            Some(reason) => {
                // SAFETY: from `Arc::into_raw`, and owned, so alive.
                unsafe { Arc::increment_strong_count(reason) };
                // SAFETY: for the reference that was counted just now.
                Some(CancelReason(Some(unsafe { Arc::from_raw(reason) })))
            }
        }
    }

    /// Counts a request, and returns the reason of the one before.
    pub(super) fn add_request(&mut self, reason: CancelReason) -> Option<CancelReason> {
        if self.word.is_null() {
            *self = Self::single(reason);
            return None;
        }
        let extra = self.get_or_insert();
        extra.requests += 1;
        extra.reason.replace(reason)
    }
}

impl Default for ExtraSlot {
    fn default() -> Self {
        Self { word: ptr::null_mut(), _owns: PhantomData }
    }
}

impl Drop for ExtraSlot {
    fn drop(&mut self) {
        match self.single_reason() {
            None if self.is_full() => {
                // SAFETY: from `Box::into_raw`, and given back once: this is the owner's end.
                drop(unsafe { Box::from_raw(self.word.cast::<Extra>()) });
            }
            // SAFETY: from `Arc::into_raw`, and given back once, as above.
            Some(reason) if !reason.is_null() => drop(unsafe { Arc::from_raw(reason) }),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_request_needs_no_box() {
        let (mut slot, reason) = (ExtraSlot::default(), CancelReason::new("enough"));
        assert_eq!((slot.requests(), slot.reason()), (0, None));
        assert_eq!(slot.add_request(reason.clone()), None);
        assert!(slot.get().is_none() && slot.get_mut().is_none());
        assert_eq!((slot.requests(), slot.reason()), (1, Some(reason.clone())));
        drop(slot);
        assert_eq!(Arc::strong_count(&reason.0.unwrap()), 1, "it was given back");
    }

    #[test]
    fn a_request_may_say_nothing() {
        let mut slot = ExtraSlot::default();
        slot.add_request(CancelReason::default());
        assert_eq!((slot.requests(), slot.reason()), (1, Some(CancelReason::default())));
    }

    #[test]
    fn a_box_takes_over_what_there_is() {
        let (mut slot, first) = (ExtraSlot::default(), CancelReason::new("first"));
        slot.add_request(first.clone());
        slot.get_or_insert().name = Some("worker".into());
        assert_eq!((slot.requests(), slot.reason()), (1, Some(first.clone())));
        assert_eq!(slot.add_request(CancelReason::new("second")), Some(first.clone()));
        assert_eq!(slot.requests(), 2);
        assert_eq!(slot.get().unwrap().name.as_deref(), Some("worker"));
        drop(slot);
        assert_eq!(Arc::strong_count(&first.0.unwrap()), 1);
    }

    #[test]
    fn a_name_is_no_request() {
        let mut slot = ExtraSlot::named("worker".into());
        assert_eq!((slot.requests(), slot.reason()), (0, None));
        slot.add_request(CancelReason::default());
        assert_eq!(slot.requests(), 1);
    }
}
