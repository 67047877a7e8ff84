//! The ready queue of a loop that is a guest, between the bursts of its turns.
//!
//! While the host runs, the loop's queue is put aside. Tasks that the host schedules meanwhile go
//! before everything that was ready, so that they do not wait behind a long turn. Callbacks go
//! behind it, so that callbacks keep their order.
//!
//! A guest with nothing to do *rests*: its queue refuses entries, so the next push takes the path
//! of a closed queue, finds the guest there, and wakes the host. A push to any other loop pays
//! nothing for that.

use std::rc::Rc;
use std::task::Waker;

use super::ready::ReadyQueue;

pub(super) struct GuestQueue<T> {
    /// The loop's queue, while the host runs.
    saved: Option<ReadyQueue<T>>,
    /// An empty queue for entries that the host schedules; in use while the host runs and the guest
    /// does not rest.
    spare: Option<ReadyQueue<T>>,
    /// Of a resting guest: the host's waker, which the next push wakes.
    host: Option<Rc<Waker>>,
}

impl<T: Copy> GuestQueue<T> {
    pub(super) fn new() -> Self {
        Self { saved: None, spare: Some(ReadyQueue::new()), host: None }
    }

    /// Puts the queue aside. With a waker, the guest rests: its queue is empty.
    pub(super) fn leave(&mut self, ready: &mut ReadyQueue<T>, rest: Option<Rc<Waker>>) {
        debug_assert!(rest.is_none() || ready.len() == 0, "a guest rests with work to do");
        let meanwhile = match rest {
            Some(_) => ReadyQueue::closed(),
            None => self.spare.take().unwrap_or_else(ReadyQueue::new),
        };
        self.host = rest;
        self.saved = Some(std::mem::replace(ready, meanwhile));
    }

    /// Makes the queue of a resting guest accept entries. Returns the waker of its host.
    pub(super) fn end_rest(&mut self, ready: &mut ReadyQueue<T>) -> Option<Rc<Waker>> {
        let host = self.host.take()?;
        *ready = self.spare.take().unwrap_or_else(ReadyQueue::new);
        Some(host)
    }

    /// Takes the queue back, with the entries that the host has scheduled. Entries for which
    /// `goes_first` is true are at the front now, if others were ready before.
    pub(super) fn come_back(
        &mut self,
        ready: &mut ReadyQueue<T>,
        goes_first: impl Fn(T) -> bool,
    ) -> Back {
        let Some(own) = self.saved.take() else { return Back::default() };
        let mut meanwhile = std::mem::replace(ready, own);
        let host = self.host.take();
        if host.is_some() {
            // It rested until now: nothing was scheduled, and the spare queue is where it was.
            return Back { at_front: 0, host };
        }
        let others = ready.len() > 0;
        for _ in 0..meanwhile.len() {
            let Some(entry) = meanwhile.pop() else { break };
            let queue = if others && goes_first(entry) { &mut meanwhile } else { &mut *ready };
            queue.push(entry);
        }
        let at_front = meanwhile.len();
        while let Some(entry) = meanwhile.pop_last() {
            ready.push_first(entry);
        }
        meanwhile.relax();
        self.spare = Some(meanwhile);
        Back { at_front, host: None }
    }
}

/// The result of taking the queue back.
#[derive(Default)]
pub(super) struct Back {
    /// The number of entries at the front that the host has scheduled.
    pub(super) at_front: usize,
    /// The waker of the host, if the guest rested, to be dropped with nothing borrowed.
    pub(super) host: Option<Rc<Waker>>,
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;

    type Entry = NonZeroUsize;

    fn push(ready: &mut ReadyQueue<Entry>, entries: impl IntoIterator<Item = usize>) {
        for entry in entries {
            assert!(ready.push(Entry::new(entry).unwrap()));
        }
    }

    fn take(ready: &mut ReadyQueue<Entry>) -> Vec<usize> {
        std::iter::from_fn(|| ready.pop()).map(Entry::get).collect()
    }

    /// In the test, even numbers go first, as tasks do.
    fn is_even(entry: Entry) -> bool {
        entry.get() % 2 == 0
    }

    #[test]
    fn what_goes_first_is_before_the_others_and_all_keep_their_order() {
        let (mut guest, mut ready) = (GuestQueue::new(), ReadyQueue::new());
        push(&mut ready, [101, 102]);
        guest.leave(&mut ready, None);
        push(&mut ready, 1..=6);
        assert_eq!(guest.come_back(&mut ready, is_even).at_front, 3);
        assert_eq!(take(&mut ready), [2, 4, 6, 101, 102, 1, 3, 5]);

        guest.leave(&mut ready, None);
        push(&mut ready, 1..=4);
        assert_eq!(guest.come_back(&mut ready, is_even).at_front, 0, "nobody to be before");
        assert_eq!(take(&mut ready), [1, 2, 3, 4]);
        assert_eq!(guest.come_back(&mut ready, is_even).at_front, 0, "back already");
    }

    #[test]
    fn a_guest_that_rests_refuses_until_its_rest_ends() {
        let (mut guest, mut ready) = (GuestQueue::<Entry>::new(), ReadyQueue::new());
        for scheduled in [true, false] {
            guest.leave(&mut ready, Some(Rc::new(Waker::noop().clone())));
            assert!(!ready.push(Entry::MIN));
            if scheduled {
                assert!(guest.end_rest(&mut ready).is_some());
                assert!(guest.end_rest(&mut ready).is_none(), "once");
                push(&mut ready, [1, 2]);
            }
            assert_eq!(guest.come_back(&mut ready, is_even).host.is_some(), !scheduled);
            assert_eq!(take(&mut ready), if scheduled { vec![1, 2] } else { vec![] });
        }
    }
}
