//! The state that both sides share: the items, and the threads and tasks that wait for them.
//!
//! There are two locks, so that putting and getting seldom contend. Items are put in under one,
//! `inside`, which also guards the state of the queue. If the order allows it, items are taken out
//! under the other, `front`: a get that finds it empty moves all items there. So most of the time a
//! get locks nothing that a put locks, and counts the taken item in an atomic number. It goes
//! through `inside` only if the front is empty, if tasks wait for an item, which come first, or if
//! room is wanted.
//!
//! `room_wanted` is an atomic flag. A put that waits for room sets it and then checks once more
//! whether there is room; a get counts its item and then checks the flag. One of the two sees the
//! other.

use std::fmt;
use std::hint;
use std::marker::PhantomData;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Instant;

use asyncio_loop::machinery::announce_wait;

use super::waiting::{For, Tasks, Threads, call, wake};
use crate::error::{TaskDoneError, TryGetError, TryPutError};
use crate::queue::Order;
use crate::waiters::{Key, State, WaiterList};

/// A queue that threads and tasks share.
#[derive(Debug)]
pub(super) struct Core<T, O> {
    front: Apart<Front<O>>,
    inside: Apart<Mutex<Inside<O>>>,
    /// Whether a get has to wake a put that waits for room: no woken one is on its way.
    room_wanted: AtomicBool,
    /// Whether tasks are in line for items. Set with both locks held.
    tasks_in_line: AtomicBool,
    /// The condition variables of sleeping threads. Tasks wait in [`Tasks`].
    not_empty: Condvar,
    not_full: Condvar,
    all_done: Condvar,
    /// `usize::MAX` if there is no limit.
    pub(super) maxsize: usize,
    item: PhantomData<fn() -> T>,
}

/// The next items to get. Locked before `inside`, if both are.
#[derive(Debug, Default)]
struct Front<O> {
    items: Mutex<O>,
    /// The number of taken items that `Inside::set_apart` still counts.
    taken: AtomicUsize,
}

/// A value in a cache line of its own (two, as the processor fetches them in pairs), so that
/// threads which write neighbouring values do not slow each other down.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Apart<T>(T);

#[derive(Debug, Default)]
pub(super) struct Inside<O> {
    items: O,
    /// The number of items that were moved to the front and are not known to be taken.
    set_apart: usize,
    pub(super) unfinished: usize,
    /// How often `unfinished` has reached 0: `join` waits for the next time.
    times_done: usize,
    pub(super) shut_down: bool,
    closing: bool,
    tasks: Tasks,
    threads: Threads,
}

/// The time limit of a waiting thread.
#[derive(Clone, Copy, Debug)]
pub(super) enum Deadline {
    Now,
    At(Instant),
    Never,
}

/// How often a thread checks for room before it sleeps: first with growing pauses, then each time
/// after yielding the processor. Together that takes as long as being woken, some tens of
/// microseconds.
const CHECKS: u32 = 100;

/// The number of the first checks, with pauses.
const PAUSES: u32 = 6;

type Lock<'a, O> = MutexGuard<'a, Inside<O>>;

/// The front, and the inside.
type Both<'a, O> = (MutexGuard<'a, O>, Lock<'a, O>);

impl<O> Inside<O> {
    fn line(&mut self, what: For) -> &mut WaiterList<Waker> {
        match what {
            For::Item => &mut self.tasks.getters,
            For::Room => &mut self.tasks.putters,
            For::Done => &mut self.tasks.joiners,
            For::Closed => &mut self.tasks.closers,
        }
    }

    /// Notifies every task that waits for this.
    fn call_all(&mut self, what: For, wakers: &mut Vec<Waker>) {
        let line = self.line(what);
        for _ in 0..line.waiting() {
            wakers.extend(line.notify());
        }
    }

    /// How many threads and tasks wait for an item.
    pub(super) fn getters(&self) -> usize {
        self.threads.getters.asleep + self.tasks.getters.len()
    }

    /// How many threads and tasks wait for room.
    pub(super) fn putters(&self) -> usize {
        self.threads.putters.asleep + self.tasks.putters.len()
    }

    /// How many threads and tasks wait until all items are done.
    pub(super) fn joiners(&self) -> usize {
        self.threads.joiners.asleep + self.tasks.joiners.len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing && self.getters() + self.putters() + self.joiners() == 0
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }
}

impl<T, O: Order<T>> Core<T, O> {
    pub(super) fn new(maxsize: usize) -> Self {
        assert!(maxsize > 0, "a queue needs room for one item at least");
        Self {
            front: Apart::default(),
            inside: Apart::default(),
            room_wanted: AtomicBool::new(false),
            tasks_in_line: AtomicBool::new(false),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
            all_done: Condvar::new(),
            maxsize,
            item: PhantomData,
        }
    }

    /// Only an item's `Ord` can panic under the lock, and the heap stays consistent then, so
    /// poisoning is ignored.
    fn lock(&self) -> Lock<'_, O> {
        self.inside.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_front(&self) -> MutexGuard<'_, O> {
        self.front.0.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_both(&self) -> Both<'_, O> {
        let front = self.lock_front();
        (front, self.lock())
    }

    pub(super) fn with_inside<R>(&self, f: impl FnOnce(&Inside<O>) -> R) -> R {
        f(&self.lock())
    }

    /// For `Debug`.
    pub(super) fn show(&self, mut f: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let mut inside = self.lock();
        f.field("len", &self.count(&mut inside))
            .field("getters", &inside.getters())
            .field("putters", &inside.putters())
            .field("joiners", &inside.joiners())
            .field("unfinished", &inside.unfinished)
            .field("shut_down", &inside.shut_down)
            .finish()
    }

    pub(super) fn len(&self) -> usize {
        self.count(&mut self.lock())
    }

    /// The number of items.
    fn count(&self, inside: &mut Inside<O>) -> usize {
        inside.set_apart -= self.front.0.taken.swap(0, Ordering::SeqCst);
        inside.items.count() + inside.set_apart
    }

    fn room(&self, inside: &mut Inside<O>) -> usize {
        self.maxsize.saturating_sub(self.count(inside))
    }

    /// Whether there is room. The front is read only if the count alone does not show room.
    fn has_room(&self, inside: &mut Inside<O>) -> bool {
        inside.items.count() + inside.set_apart < self.maxsize || self.room(inside) > 0
    }

    /// Puts an item in, for a thread.
    pub(super) fn put(&self, item: T, deadline: Deadline) -> Result<(), TryPutError<T>> {
        let mut inside = self.lock();
        let mut may_wait = true;
        let mut has_spun = matches!(deadline, Deadline::Now) || !O::FIRST_COME;
        loop {
            if inside.shut_down {
                return Err(TryPutError::ShutDown(item));
            }
            if self.has_room(&mut inside) {
                self.push(inside, item);
                return Ok(());
            }
            if !may_wait {
                return Err(TryPutError::Full(item));
            }
            if !mem::replace(&mut has_spun, true) {
                drop(inside);
                self.spin_for_room();
                inside = self.lock();
                continue;
            }
            inside.threads.putters.asleep += 1;
            self.note_wishes(&inside);
            // A get that made room before the flag was set woke nothing.
            if self.has_room(&mut inside) {
                inside.threads.putters.asleep -= 1;
                self.note_wishes(&inside);
                continue;
            }
            (inside, may_wait) = wait(&self.not_full, inside, deadline);
            inside.threads.putters.woke();
            self.note_wishes(&inside);
            inside = self.left(inside);
        }
    }

    /// Gives other threads a moment to make room, which is cheaper than sleeping and being woken.
    /// It waits for more than one place, because with a single one the thread would be back here at
    /// once.
    #[cold]
    fn spin_for_room(&self) {
        let worth_while = (self.maxsize / 8).max(1);
        for step in 0..CHECKS {
            if self.front.0.taken.load(Ordering::Relaxed) >= worth_while {
                return;
            }
            if step < PAUSES {
                (0..1 << step).for_each(|_| hint::spin_loop());
            } else {
                thread::yield_now();
            }
        }
    }

    /// Gets an item, for a thread.
    pub(super) fn get(&self, deadline: Deadline) -> Result<T, TryGetError> {
        if let Some(item) = self.take_from_front() {
            return Ok(item);
        }
        let mut may_wait = true;
        loop {
            let mut inside = match self.pop(self.lock_both()) {
                Ok(item) => return Ok(item),
                Err(inside) if inside.shut_down => return Err(TryGetError::ShutDown),
                Err(_) if !may_wait => return Err(TryGetError::Empty),
                Err(inside) => inside,
            };
            inside.threads.getters.asleep += 1;
            (inside, may_wait) = wait(&self.not_empty, inside, deadline);
            inside.threads.getters.woke();
            drop(self.left(inside));
        }
    }

    /// Waits until all items are done, for a thread. False if that did not happen in time.
    pub(super) fn join(&self, deadline: Deadline) -> bool {
        let mut inside = self.lock();
        let begun = inside.times_done;
        let mut may_wait = true;
        while inside.unfinished > 0 && inside.times_done == begun {
            if !may_wait {
                return false;
            }
            inside.threads.joiners.asleep += 1;
            (inside, may_wait) = wait(&self.all_done, inside, deadline);
            inside.threads.joiners.woke();
            inside = self.left(inside);
        }
        true
    }

    /// Puts an item in, for a task.
    pub(super) fn poll_put(
        &self,
        place: &mut Option<Key>,
        item: &mut Option<T>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), T>> {
        let mut inside = self.lock();
        if inside.shut_down {
            let item = item.take().expect("polled after it was ready");
            return Poll::Ready(Err(item));
        }
        let room = self.room(&mut inside);
        let polled = inside.tasks.putters.poll_turn(place, room, cx, |_| false);
        if polled.is_ours() {
            let item = item.take().expect("polled after it was ready");
            self.push(inside, item);
        } else {
            // A get that made room before the flag was set woke nothing.
            self.tell_of_room(inside);
        }
        polled.settle(cx).map(Ok)
    }

    /// Gets an item, for a task. Ready without one if the queue was shut down.
    pub(super) fn poll_get(&self, place: &mut Option<Key>, cx: &Context<'_>) -> Poll<Option<T>> {
        if place.is_none() {
            if let Some(item) = self.take_from_front() {
                return Poll::Ready(Some(item));
            }
        }
        let (front, mut inside) = self.lock_both();
        if inside.shut_down {
            return Poll::Ready(self.pop((front, inside)).ok());
        }
        let items = self.count(&mut inside);
        let polled = inside.tasks.getters.poll_turn(place, items, cx, |_| false);
        let item = if polled.is_ours() {
            self.pop((front, inside)).ok()
        } else {
            self.note_wishes(&inside);
            drop((front, inside));
            None
        };
        polled.settle(cx).map(|()| item)
    }

    /// Waits for a signal to all, for a task: ready at once if `is_there` returns true.
    pub(super) fn poll_signal(
        &self,
        what: For,
        place: &mut Option<Key>,
        is_there: impl FnOnce(&Inside<O>) -> bool,
        cx: &Context<'_>,
    ) -> Poll<()> {
        let mut inside = self.lock();
        if place.is_none() && is_there(&inside) {
            return Poll::Ready(());
        }
        let (polled, stale) = inside.line(what).poll_signal(place, cx);
        drop(self.left(inside));
        drop(stale);
        polled
    }

    /// Gives up the place of a task, which may have been notified.
    pub(super) fn leave(&self, what: For, key: Key) {
        let mut inside = self.lock();
        let line = inside.line(what);
        let (state, waker) = line.leave(key);
        let wakers = match (what, state) {
            (For::Item | For::Room, State::Notified) => call(line),
            (For::Item | For::Room, State::Waiting) => [line.deputy(), None],
            _ => [None, None],
        };
        self.note_wishes(&inside);
        drop(self.left(inside));
        drop(waker);
        wake(wakers);
    }

    pub(super) fn task_done(&self) -> Result<(), TaskDoneError> {
        let mut inside = self.lock();
        if inside.unfinished == 0 {
            return Err(TaskDoneError(()));
        }
        let mut wakers = Vec::new();
        inside.unfinished -= 1;
        self.finish(&mut inside, &mut wakers);
        drop(inside);
        wake(wakers.into_iter().map(Some));
        Ok(())
    }

    /// Ends the queue, at once or when it is empty.
    pub(super) fn shut_down(&self, at_once: bool, close: bool) {
        let mut wakers = Vec::new();
        let mut items = (O::default(), O::default());
        let (mut front, mut inside) = self.lock_both();
        inside.shut_down = true;
        inside.closing |= close;
        if at_once {
            // `task_done` may have counted some of these items before.
            inside.unfinished = inside.unfinished.saturating_sub(self.count(&mut inside));
            inside.set_apart = 0;
            items = (mem::take(&mut *front), mem::take(&mut inside.items));
            self.finish(&mut inside, &mut wakers);
        }
        drop(front);
        inside.call_all(For::Item, &mut wakers);
        inside.call_all(For::Room, &mut wakers);
        self.note_wishes(&inside);
        drop(self.left(inside));
        self.not_empty.notify_all();
        self.not_full.notify_all();
        wake(wakers.into_iter().map(Some));
        drop(items);
    }

    /// Wakes every `join` if nothing is unfinished.
    fn finish(&self, inside: &mut Inside<O>, wakers: &mut Vec<Waker>) {
        if inside.unfinished == 0 {
            inside.times_done += 1;
            inside.call_all(For::Done, wakers);
            self.all_done.notify_all();
        }
    }

    /// Puts an item in where there is room, and wakes a get that waits for it.
    fn push(&self, mut lock: Lock<'_, O>, item: T) {
        let inside = &mut *lock;
        let pushed = caught::<T, O, _>(|| inside.items.push(item));
        inside.unfinished += 1;
        let promised = inside.tasks.putters.notified();
        if promised > 0 && promised > self.room(inside) {
            inside.tasks.putters.withdraw();
        }
        let wakers = call(&mut inside.tasks.getters);
        let sleeper = inside.threads.getters.wake_one();
        let putter = self.next_putter(inside);
        self.note_wishes(inside);
        drop(lock);
        if sleeper {
            self.not_empty.notify_one();
        }
        if putter {
            self.not_full.notify_one();
        }
        wake(wakers);
        pushed.unwrap_or_else(|panic| resume_unwind(panic));
    }

    /// Takes an item under the front's lock alone, if one is there and no waiting task comes first.
    fn take_from_front(&self) -> Option<T> {
        if !O::FIRST_COME {
            return None;
        }
        let mut front = self.lock_front();
        if self.tasks_in_line.load(Ordering::Relaxed) {
            return None;
        }
        let item = front.pop()?;
        self.front.0.taken.fetch_add(1, Ordering::SeqCst);
        drop(front);
        if self.room_wanted.load(Ordering::SeqCst) {
            self.tell_of_room(self.lock());
        }
        Some(item)
    }

    /// Takes an item, and wakes a put that waits for the room.
    fn pop<'a>(&self, (mut front, mut inside): Both<'a, O>) -> Result<T, Lock<'a, O>> {
        let item = if O::FIRST_COME {
            if front.count() == 0 {
                mem::swap(&mut *front, &mut inside.items);
                inside.set_apart += front.count();
            }
            let item = front.pop();
            inside.set_apart -= usize::from(item.is_some());
            item
        } else {
            match caught::<T, O, _>(|| inside.items.pop()) {
                Ok(item) => item,
                Err(panic) => {
                    drop(front);
                    self.lost(inside);
                    resume_unwind(panic)
                }
            }
        };
        drop(front);
        let Some(item) = item else { return Err(inside) };
        let promised = inside.tasks.getters.notified();
        if promised > 0 && promised > self.count(&mut inside) && !inside.shut_down {
            inside.tasks.getters.withdraw();
        }
        self.tell_of_room(inside);
        Ok(item)
    }

    /// Called when an item was dropped because its comparison panicked while it was being taken.
    #[cold]
    fn lost(&self, mut inside: Lock<'_, O>) {
        let mut wakers = Vec::new();
        inside.unfinished = inside.unfinished.saturating_sub(1);
        self.finish(&mut inside, &mut wakers);
        wakers.extend(call(&mut inside.tasks.getters).into_iter().flatten());
        self.tell_of_room(inside);
        wake(wakers.into_iter().map(Some));
    }

    /// Wakes puts that wait for room, as far as there is any.
    fn tell_of_room(&self, mut lock: Lock<'_, O>) {
        let inside = &mut *lock;
        let mut wakers = Vec::new();
        if inside.tasks.putters.waiting() > 0 {
            self.note_wishes(inside);
            let room = self.room(inside);
            let putters = &mut inside.tasks.putters;
            let waiting = putters.waiting();
            while putters.notified() < room && putters.waiting() > 0 {
                wakers.extend(putters.notify());
            }
            if putters.waiting() < waiting {
                wakers.extend(putters.deputy());
            }
        }
        let putter = self.next_putter(inside);
        self.note_wishes(inside);
        drop(lock);
        if putter {
            self.not_full.notify_one();
        }
        wake(wakers.into_iter().map(Some));
    }

    /// Whether a thread that waits for room has to be woken, which the caller then does. One is
    /// woken at a time: it wakes the next one when it has put its item in and there is more room.
    fn next_putter(&self, inside: &mut Inside<O>) -> bool {
        inside.threads.putters.wants_wake()
            && self.has_room(inside)
            && inside.threads.putters.wake_one()
    }

    /// Sets the flags for gets that do not lock `inside`.
    #[inline]
    fn note_wishes(&self, inside: &Inside<O>) {
        let room = inside.threads.putters.wants_wake() || inside.tasks.putters.waiting() > 0;
        if self.room_wanted.load(Ordering::Relaxed) != room {
            self.room_wanted.store(room, Ordering::SeqCst);
        }
        let in_line = inside.tasks.getters.len() > 0;
        if self.tasks_in_line.load(Ordering::Relaxed) != in_line {
            self.tasks_in_line.store(in_line, Ordering::Relaxed);
        }
    }

    /// Called when a thread or task stops waiting. On a closed queue, it may have been the last
    /// one.
    #[inline]
    fn left<'a>(&'a self, mut inside: Lock<'a, O>) -> Lock<'a, O> {
        if !inside.is_closed() {
            return inside;
        }
        let mut wakers = Vec::new();
        inside.call_all(For::Closed, &mut wakers);
        drop(inside);
        wake(wakers.into_iter().map(Some));
        self.lock()
    }
}

/// Calls the order of a queue, which may compare items by code of the user. An order that compares
/// nothing cannot panic.
fn caught<T, O: Order<T>, R>(f: impl FnOnce() -> R) -> thread::Result<R> {
    if O::FIRST_COME { Ok(f()) } else { catch_unwind(AssertUnwindSafe(f)) }
}

/// Makes the thread wait. Returns false if its time is over.
fn wait<'a, O>(
    condition: &Condvar,
    inside: Lock<'a, O>,
    deadline: Deadline,
) -> (Lock<'a, O>, bool) {
    if !matches!(deadline, Deadline::Now) {
        announce_wait();
    }
    let until = match deadline {
        Deadline::Now => return (inside, false),
        Deadline::At(until) => until,
        Deadline::Never => {
            return (condition.wait(inside).unwrap_or_else(PoisonError::into_inner), true);
        }
    };
    let left = until.saturating_duration_since(Instant::now());
    let waited = condition.wait_timeout(inside, left);
    let (inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
    (inside, Instant::now() < until)
}
