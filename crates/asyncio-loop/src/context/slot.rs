//! The context of a task or callback, in one word.

use std::cell::Cell;

use super::Context;
use super::content::{self, Content, Previous};

/// The context of a task or callback: a copy of its own, or a context that it was given.
///
/// A step is `let entered = slot.enter(); …; slot.exit(entered);`. In between the slot is empty, so
/// it may be dropped. Entering never fails: a step in a context that is entered further up the
/// stack runs in it, where Python would report an error and leave the task pending for good.
#[derive(Default)]
pub(crate) struct ContextSlot(Cell<Content>);

/// What was current before a slot was entered.
#[must_use = "pass it to `exit`"]
pub(crate) struct Entered(Previous);

impl ContextSlot {
    /// A copy of the current context.
    #[inline]
    pub(crate) fn copy_current() -> Self {
        Self(Cell::new(Content::copy_current()))
    }

    /// That very context.
    pub(crate) fn explicit(context: &Context) -> Self {
        Self(Cell::new(context.content.share()))
    }

    /// Makes the slot's context current.
    #[inline]
    pub(crate) fn enter(&self) -> Entered {
        Entered(self.0.take().enter())
    }

    /// Puts the context that is current back into the slot and makes the previous one current.
    #[inline]
    pub(crate) fn exit(&self, entered: Entered) {
        if entered.0.is_still_nothing() {
            return; // and the slot is empty already
        }
        self.0.set(entered.0.restore());
    }

    /// Takes the context out, if there is one; nothing is left in the slot.
    #[inline]
    pub(crate) fn take(&self) -> Option<Self> {
        let content = self.0.take();
        content.is_some().then(|| Self(Cell::new(content)))
    }

    /// The context that the slot's steps run in, by its identity.
    pub(crate) fn to_context(&self) -> Context {
        let content = self.0.take().identified(0);
        self.0.set(content.share());
        Context { content }
    }

    /// The context that is current, by its identity: what `to_context` is during a step.
    pub(crate) fn current() -> Context {
        Context { content: content::identify_current() }
    }
}

impl std::fmt::Debug for ContextSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextSlot").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ContextVar, Token};

    static LEVEL: ContextVar<u32> = ContextVar::new("LEVEL").with_default(|| 0);

    fn step<R>(slot: &ContextSlot, step: impl FnOnce() -> R) -> R {
        let entered = slot.enter();
        let result = step();
        slot.exit(entered);
        result
    }

    #[test]
    fn a_slot_is_one_word() {
        assert_eq!(size_of::<ContextSlot>(), size_of::<usize>());
    }

    //
    #[test]
    fn a_copy_keeps_its_own_values_between_steps() {
        Context::new().run(|| {
            LEVEL.set(1);
            let (first, second) = (ContextSlot::copy_current(), ContextSlot::copy_current());
            LEVEL.set(2);
            step(&first, || LEVEL.set(LEVEL.get() + 10));
            assert_eq!(step(&first, || LEVEL.get()), 11);
            assert_eq!(step(&second, || LEVEL.get()), 1);
            assert_eq!(LEVEL.get(), 2);
        });
    }

    //
    #[test]
    fn tokens_belong_to_one_slot() {
        Context::new().run(|| {
            let set = |slot: &ContextSlot| step(slot, || LEVEL.set(7));
            let reset = |slot: &ContextSlot, token: Token<u32>| step(slot, || LEVEL.reset(token));
            let (parent, other) = (ContextSlot::copy_current(), ContextSlot::copy_current());
            let token = set(&parent);
            let child = step(&parent, ContextSlot::copy_current);
            set(&child);
            let token = reset(&child, token).unwrap_err().into_token();
            let token = reset(&other, token).unwrap_err().into_token();
            reset(&parent, token).unwrap();
        });
    }

    //
    #[test]
    fn an_explicit_context_is_used_itself() {
        let context = Context::new();
        let slot = ContextSlot::explicit(&context);
        step(&slot, || LEVEL.set(5));
        assert_eq!(context.get(&LEVEL), Some(5));
        context.run(|| LEVEL.set(6));
        assert_eq!(step(&slot, || LEVEL.get()), 6);
    }

    //
    #[test]
    fn a_step_in_an_entered_context_runs_in_it() {
        let context = Context::new();
        let slot = ContextSlot::explicit(&context);
        context.run(|| {
            step(&slot, || LEVEL.set(5));
            assert_eq!(LEVEL.get(), 5);
            assert!(context.try_run(|| ()).is_err());
        });
        assert!(context.try_run(|| ()).is_ok());
        step(&slot, || assert!(context.try_run(|| ()).is_err()));
    }

    #[test]
    fn a_slot_gives_its_context_away_and_shares_it() {
        let slot = ContextSlot::copy_current();
        let context = slot.to_context();
        context.run(|| LEVEL.set(3));
        assert_eq!(step(&slot, || LEVEL.get()), 3);
        let same = step(&slot, || {
            LEVEL.set(4);
            ContextSlot::current()
        });
        assert_eq!(same.get(&LEVEL), Some(4));
        same.run(|| LEVEL.set(5));
        assert_eq!(context.get(&LEVEL), Some(5));
    }
}
