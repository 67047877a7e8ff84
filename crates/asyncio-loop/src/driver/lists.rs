//! Lists of sources that have become readable. Each list is for one task that reads from all its
//! sources.

use slab::Slab;

use super::wake::WakeList;
use crate::LoopWaker;

/// The lists of one loop.
#[derive(Debug, Default)]
pub(super) struct Lists(Slab<List>);

#[derive(Debug)]
struct List {
    /// Numbers of sources, in the order in which they became readable.
    ready: Vec<u32>,
    /// The waker of the task that takes the numbers. It stays stored after a wake, because the task
    /// will wait again.
    waiter: Option<LoopWaker>,
    is_awaited: bool,
    /// References to the list: its sources, and its taker.
    users: u32,
}

impl Lists {
    /// Opens a list; `None` if there are too many.
    pub(super) fn open(&mut self) -> Option<u16> {
        let entry = self.0.vacant_entry();
        let id = u16::try_from(entry.key()).ok()?;
        entry.insert(List { ready: Vec::new(), waiter: None, is_awaited: false, users: 1 });
        Some(id)
    }

    /// Closes the list, whose taker is gone. The caller drops the waker with nothing borrowed.
    pub(super) fn close(&mut self, id: u16) -> Option<LoopWaker> {
        let list = self.list(id);
        list.ready = Vec::new();
        list.is_awaited = false;
        let waiter = list.waiter.take();
        self.left(id);
        waiter
    }

    /// Counts a source that has joined.
    pub(super) fn joined(&mut self, id: u16) {
        self.list(id).users += 1;
    }

    /// Counts a source that has left.
    pub(super) fn left(&mut self, id: u16) {
        let list = self.list(id);
        list.users -= 1;
        if list.users == 0 {
            self.0.remove(id.into());
        }
    }

    /// Appends a number, and adds the taker to `woken` if it waits.
    #[inline]
    pub(super) fn push(&mut self, id: u16, number: u32, woken: &mut WakeList) {
        let list = self.list(id);
        list.ready.push(number);
        if list.is_awaited {
            list.is_awaited = false;
            woken.push(list.waiter.clone());
        }
    }

    /// Appends a number by hand; returns the waker to wake.
    pub(super) fn add(&mut self, id: u16, number: u32) -> Option<LoopWaker> {
        let list = self.list(id);
        list.ready.push(number);
        if std::mem::take(&mut list.is_awaited) { list.waiter.clone() } else { None }
    }

    /// Swaps the contents of the list with `taken`, which is empty; false if the list was empty.
    #[inline]
    pub(super) fn take(&mut self, id: u16, taken: &mut Vec<u32>) -> bool {
        let list = self.list(id);
        std::mem::swap(&mut list.ready, taken);
        !taken.is_empty()
    }

    /// Makes the next number wake the stored waiter, if that is the one of `cx`.
    #[inline]
    pub(super) fn waits_again(&mut self, id: u16, cx: &std::task::Context<'_>) -> bool {
        let list = self.list(id);
        list.is_awaited = list.waiter.as_ref().is_some_and(|waiter| waiter.will_wake(cx));
        list.is_awaited
    }

    /// Makes the next number wake `waiter`; returns the previous waiter.
    pub(super) fn set_waiter(&mut self, id: u16, waiter: LoopWaker) -> Option<LoopWaker> {
        let list = self.list(id);
        list.is_awaited = true;
        list.waiter.replace(waiter)
    }

    #[inline]
    fn list(&mut self, id: u16) -> &mut List {
        &mut self.0[usize::from(id)]
    }
}
