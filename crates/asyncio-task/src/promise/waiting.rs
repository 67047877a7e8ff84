//! The waiters of a pending promise: tasks that await it, and done callbacks, in one order.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use asyncio_loop::machinery::{WaitKey, WaitList};
use asyncio_loop::{CallbackRef, LoopWaker};

use super::Promise;

/// The waiters of a promise, in order of arrival. Nearly always there is one, so the first needs no
/// allocation.
pub(super) struct Waiting<T> {
    /// The first waiter, stored inline. It came when there was none.
    first: Option<Waiter<T>>,
    more: Option<Box<More<T>>>,
}

/// The waiters that came when there was one already.
struct More<T> {
    list: WaitList<Waiter<T>>,
    /// The places of the callbacks in the list.
    callbacks: HashMap<CallbackRef, WaitKey>,
}

pub(super) enum Waiter<T> {
    Task(LoopWaker),
    Callback(DoneCallback<T>),
}

pub(super) struct DoneCallback<T> {
    pub(super) callback: CallbackRef,
    /// Empty until the callback is scheduled: a callback that owns the promise which owns the
    /// callback would never be freed.
    pub(super) promise: Rc<Cell<Option<Promise<T>>>>,
}

/// The place of a waiting handle among the waiters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    None,
    First,
    Listed(WaitKey),
}

impl<T> DoneCallback<T> {
    pub(super) fn schedule(&self, promise: &Promise<T>) {
        self.promise.set(Some(promise.clone()));
        self.callback.schedule();
    }
}

impl<T> Waiter<T> {
    #[inline]
    fn tell(self, promise: &Promise<T>) {
        match self {
            Self::Task(waker) => waker.wake(),
            Self::Callback(callback) => callback.schedule(promise),
        }
    }
}

impl<T> More<T> {
    fn new() -> Box<Self> {
        Box::new(Self { list: WaitList::new(), callbacks: HashMap::new() })
    }
}

impl<T> Waiting<T> {
    pub(super) const NOBODY: Self = Self { first: None, more: None };

    /// Takes the waiters out; `None` if there are none. An empty list is not moved: the processor
    /// would have to wait for the stores that created the promise just before.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Self> {
        if self.first.is_none() && self.more.is_none() {
            return None;
        }
        Some(std::mem::replace(self, Self::NOBODY))
    }

    /// Wakes the tasks and schedules the callbacks, in order of arrival.
    #[inline]
    pub(super) fn tell(self, promise: &Promise<T>) {
        if let Some(first) = self.first {
            first.tell(promise);
        }
        if let Some(more) = self.more {
            more.list.for_each(|waiter| waiter.tell(promise));
        }
    }

    /// The numbers of the waiting tasks, in order of arrival.
    pub(super) fn awaiters(&self) -> Vec<u64> {
        let more = self.more.iter().flat_map(|more| more.list.iter());
        let wakers = self.first.iter().chain(more).filter_map(|waiter| match waiter {
            Waiter::Task(waker) => waker.task(),
            Waiter::Callback(_) => None,
        });
        wakers.map(|task| task.id()).collect()
    }

    fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.as_ref().is_none_or(|more| more.list.is_empty())
    }

    /// Adds a waiter at the end.
    #[inline]
    fn add(&mut self, waiter: Waiter<T>) -> Place {
        if self.is_empty() {
            self.first = Some(waiter);
            return Place::First;
        }
        Place::Listed(self.more.get_or_insert_with(More::new).list.push(waiter))
    }

    pub(super) fn add_callback(&mut self, callback: DoneCallback<T>) {
        let known = callback.callback.clone();
        let place = self.add(Waiter::Callback(callback));
        if let (Place::Listed(key), Some(more)) = (place, &mut self.more) {
            more.callbacks.insert(known, key);
        }
    }

    /// Sets the waker of the handle that waits at `place`, and adds the handle if it does not wait
    /// yet. Returns the previous waker.
    #[inline]
    pub(super) fn set_waker(&mut self, place: &Cell<Place>, waker: LoopWaker) -> Option<Waiter<T>> {
        let waiter = Waiter::Task(waker);
        match self.at(place.get()) {
            Some(old) => Some(std::mem::replace(old, waiter)),
            None => {
                place.set(self.add(waiter));
                None
            }
        }
    }

    fn at(&mut self, place: Place) -> Option<&mut Waiter<T>> {
        match place {
            Place::None => None,
            Place::First => self.first.as_mut(),
            Place::Listed(key) => self.more.as_mut()?.list.get_mut(key),
        }
    }

    pub(super) fn remove(&mut self, place: Place) -> Option<Waiter<T>> {
        match place {
            Place::None => None,
            Place::First => self.first.take(),
            Place::Listed(key) => self.more.as_mut()?.list.remove(key),
        }
    }

    pub(super) fn remove_callback(&mut self, callback: &CallbackRef) -> Option<Waiter<T>> {
        match &self.first {
            Some(Waiter::Callback(first)) if first.callback == *callback => self.first.take(),
            _ => {
                let more = self.more.as_mut()?;
                let key = more.callbacks.remove(callback)?;
                more.list.remove(key)
            }
        }
    }
}
