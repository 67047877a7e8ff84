//! The done callbacks of a task.

use std::collections::HashMap;

use crate::kernel::callback::CallbackRef;

/// Up to so many callbacks are looked through to find one.
const FEW: usize = 16;

/// Callbacks in the order in which they were added. One that is removed leaves a gap; the gaps are
/// closed when they are the larger part, so that adding and removing take constant time.
#[derive(Default)]
pub(super) struct OnDone {
    callbacks: Vec<Option<CallbackRef>>,
    gaps: usize,
    /// The callbacks in the first so many places were added before the task was awaited.
    before_awaiter: usize,
    /// The place of each callback, once there are more than a few.
    places: Option<HashMap<CallbackRef, usize>>,
}

impl OnDone {
    /// Adds a callback that is not there yet.
    pub(super) fn push(&mut self, callback: CallbackRef) {
        let place = self.callbacks.len();
        if place == FEW && self.places.is_none() {
            self.places = Some(self.index());
        }
        if let Some(places) = &mut self.places {
            places.insert(callback.clone(), place);
        }
        self.callbacks.push(Some(callback));
    }

    /// The task is awaited from now on.
    pub(super) fn note_awaiter(&mut self) {
        self.before_awaiter = self.callbacks.len();
    }

    /// Takes a callback out, which the caller drops.
    pub(super) fn remove(&mut self, callback: &CallbackRef) -> Option<CallbackRef> {
        let place = match &mut self.places {
            Some(places) => places.remove(callback)?,
            None => self.callbacks.iter().position(|each| each.as_ref() == Some(callback))?,
        };
        let gone = self.callbacks[place].take();
        self.gaps += 1;
        if 2 * self.gaps > self.callbacks.len() {
            self.close_gaps();
        }
        gone
    }

    fn close_gaps(&mut self) {
        self.before_awaiter = self.before_awaiter().count();
        self.callbacks.retain(Option::is_some);
        self.gaps = 0;
        self.places = (self.callbacks.len() > FEW).then(|| self.index());
    }

    fn index(&self) -> HashMap<CallbackRef, usize> {
        let places = self.callbacks.iter().enumerate();
        places.filter_map(|(place, each)| Some((each.clone()?, place))).collect()
    }

    /// Those that were added before the task was awaited.
    pub(super) fn before_awaiter(&self) -> impl Iterator<Item = &CallbackRef> {
        self.callbacks[..self.before_awaiter].iter().flatten()
    }

    pub(super) fn after_awaiter(&self) -> impl Iterator<Item = &CallbackRef> {
        self.callbacks[self.before_awaiter..].iter().flatten()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::EventLoop;

    /// Adds and removes callbacks at random, beside a list that does it simply.
    #[test]
    fn callbacks_keep_their_order_whichever_are_removed() {
        let event_loop = EventLoop::new().unwrap();
        let mut random = 7_u64;
        let mut below = |n: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % n.max(1)
        };
        for _ in 0..20 {
            let (mut on_done, mut before, mut after) = (OnDone::default(), vec![], vec![]);
            for _ in 0..500 {
                match below(8) {
                    0..4 => {
                        let callback = event_loop.callback(|| ());
                        on_done.push(callback.clone());
                        after.push(callback);
                    }
                    4 if below(10) == 0 => {
                        on_done.note_awaiter();
                        before.append(&mut after);
                    }
                    _ => {
                        let part = if below(2) == 0 { &mut before } else { &mut after };
                        if !part.is_empty() {
                            let callback = part.remove(below(part.len()));
                            assert!(on_done.remove(&callback).as_ref() == Some(&callback));
                            assert!(on_done.remove(&callback).is_none());
                        }
                    }
                }
                assert!(on_done.before_awaiter().eq(&before));
                assert!(on_done.after_awaiter().eq(&after));
                assert!(on_done.callbacks.len() <= 2 * (before.len() + after.len()));
            }
        }
    }
}
