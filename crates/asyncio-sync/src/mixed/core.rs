//! What both sides share: the items behind a lock, and everybody who waits for them.

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use crate::error::{TaskDoneError, TryGetError, TryPutError};
use crate::queue::Order;
use crate::waiters::{Key, State, WaiterList};

/// A queue that threads and tasks share.
#[derive(Debug)]
pub(super) struct Core<T, O> {
    inside: Mutex<Inside<O>>,
    /// What threads sleep on. Tasks wait in [`Tasks`].
    not_empty: Condvar,
    not_full: Condvar,
    all_done: Condvar,
    /// `usize::MAX` if there is no limit.
    pub(super) maxsize: usize,
    item: PhantomData<fn() -> T>,
}

#[derive(Debug, Default)]
pub(super) struct Inside<O> {
    items: O,
    pub(super) unfinished: usize,
    /// How often `unfinished` came down to 0: who joins waits for the next time.
    times_done: usize,
    pub(super) shut_down: bool,
    closing: bool,
    tasks: Tasks,
    threads: Threads,
}

#[derive(Debug, Default)]
struct Tasks {
    getters: WaiterList<Waker>,
    putters: WaiterList<Waker>,
    joiners: WaiterList<Waker>,
    closers: WaiterList<Waker>,
}

/// Threads that sleep, for each condition.
#[derive(Debug, Default)]
struct Threads {
    getters: Sleepers,
    putters: Sleepers,
    joiners: Sleepers,
}

/// Threads that sleep on one condition.
///
/// Waking costs a system call each time, so those who were woken and have not come yet are counted.
#[derive(Debug, Default)]
struct Sleepers {
    asleep: usize,
    woken: usize,
}

impl Sleepers {
    /// Whether there is one to be woken, which the caller then does.
    fn wake_one(&mut self) -> bool {
        let any = self.asleep > self.woken;
        self.woken += usize::from(any);
        any
    }

    /// One has woken up. It may have been its own idea; then another one's wake-up is taken for its, and
    /// one more may be woken than necessary.
    fn woke(&mut self) {
        self.asleep -= 1;
        self.woken = self.woken.saturating_sub(1);
    }
}

/// What a task waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum For {
    Item,
    Room,
    Done,
    Closed,
}

/// How long a thread is ready to wait.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    None,
    Until(Instant),
    Forever,
}

type Lock<'a, O> = MutexGuard<'a, Inside<O>>;

impl<O> Inside<O> {
    fn line(&mut self, what: For) -> &mut WaiterList<Waker> {
        match what {
            For::Item => &mut self.tasks.getters,
            For::Room => &mut self.tasks.putters,
            For::Done => &mut self.tasks.joiners,
            For::Closed => &mut self.tasks.closers,
        }
    }

    /// Calls every task that waits for this.
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

    /// How many threads and tasks wait until all is done.
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

/// Calls the next task in line, and its deputy to look whether it comes.
fn call(line: &mut WaiterList<Waker>) -> [Option<Waker>; 2] {
    if line.waiting() == 0 { [None, None] } else { [line.notify(), line.deputy()] }
}

fn wake(wakers: impl IntoIterator<Item = Option<Waker>>) {
    wakers.into_iter().flatten().for_each(Waker::wake);
}

impl<T, O: Order<T>> Core<T, O> {
    pub(super) fn new(maxsize: usize) -> Self {
        assert!(maxsize > 0, "a queue needs room for one item at least");
        Self {
            inside: Mutex::default(),
            not_empty: Condvar::new(),
            not_full: Condvar::new(),
            all_done: Condvar::new(),
            maxsize,
            item: PhantomData,
        }
    }

    /// Only an item's `Ord` can panic in here, and a heap survives that: poison says nothing.
    fn lock(&self) -> Lock<'_, O> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn look<R>(&self, look: impl FnOnce(&Inside<O>) -> R) -> R {
        look(&self.lock())
    }

    /// For `Debug`.
    pub(super) fn show(&self, mut f: fmt::DebugStruct<'_, '_>) -> fmt::Result {
        let inside = self.lock();
        f.field("len", &inside.items.count())
            .field("getters", &inside.getters())
            .field("putters", &inside.putters())
            .field("joiners", &inside.joiners())
            .field("unfinished", &inside.unfinished)
            .field("shut_down", &inside.shut_down)
            .finish()
    }

    pub(super) fn len(&self) -> usize {
        self.look(|inside| inside.items.count())
    }

    /// Puts an item in, for a thread.
    pub(super) fn put(&self, item: T, patience: Patience) -> Result<(), TryPutError<T>> {
        let mut inside = self.lock();
        let mut patient = true;
        loop {
            if inside.shut_down {
                return Err(TryPutError::ShutDown(item));
            }
            if inside.items.count() < self.maxsize {
                self.push(inside, item);
                return Ok(());
            }
            if !patient {
                return Err(TryPutError::Full(item));
            }
            inside.threads.putters.asleep += 1;
            (inside, patient) = wait(&self.not_full, inside, patience);
            inside.threads.putters.woke();
            inside = self.left(inside);
        }
    }

    /// Takes an item, for a thread.
    pub(super) fn get(&self, patience: Patience) -> Result<T, TryGetError> {
        let mut inside = self.lock();
        let mut patient = true;
        loop {
            inside = match self.pop(inside) {
                Ok(item) => return Ok(item),
                Err(inside) if inside.shut_down => return Err(TryGetError::ShutDown),
                Err(_) if !patient => return Err(TryGetError::Empty),
                Err(inside) => inside,
            };
            inside.threads.getters.asleep += 1;
            (inside, patient) = wait(&self.not_empty, inside, patience);
            inside.threads.getters.woke();
            inside = self.left(inside);
        }
    }

    /// Waits until all is done, for a thread. False if that did not happen in time.
    pub(super) fn join(&self, patience: Patience) -> bool {
        let mut inside = self.lock();
        let begun = inside.times_done;
        let mut patient = true;
        while inside.unfinished > 0 && inside.times_done == begun {
            if !patient {
                return false;
            }
            inside.threads.joiners.asleep += 1;
            (inside, patient) = wait(&self.all_done, inside, patience);
            inside.threads.joiners.woke();
            inside = self.left(inside);
        }
        true
    }

    /// Puts an item in, for a task. The item stays where it is until then.
    pub(super) fn poll_put(
        &self,
        place: &mut Option<Key>,
        item: &mut Option<T>,
        cx: &Context<'_>,
    ) -> Poll<Result<(), T>> {
        let inside = self.lock();
        if inside.shut_down {
            let item = item.take().expect("polled after it was ready");
            return Poll::Ready(Err(item));
        }
        let room = self.maxsize - inside.items.count();
        let polled = inside.tasks.putters.poll_turn(place, room, cx, |_| false);
        if polled.is_ours() {
            let item = item.take().expect("polled after it was ready");
            self.push(inside, item);
        } else {
            drop(inside);
        }
        polled.settle(cx).map(Ok)
    }

    /// Takes an item, for a task; `None` if there will be no more.
    pub(super) fn poll_get(&self, place: &mut Option<Key>, cx: &Context<'_>) -> Poll<Option<T>> {
        let inside = self.lock();
        if inside.shut_down {
            return Poll::Ready(self.pop(inside).ok());
        }
        let items = inside.items.count();
        let polled = inside.tasks.getters.poll_turn(place, items, cx, |_| false);
        let item = if polled.is_ours() {
            self.pop(inside).ok()
        } else {
            drop(inside);
            None
        };
        polled.settle(cx).map(|()| item)
    }

    /// Waits for a signal to everybody, for a task: ready at once if `is_there` says so.
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

    /// A task no longer waits. What it was called for goes to the next.
    pub(super) fn leave(&self, what: For, key: Key) {
        let mut inside = self.lock();
        let line = inside.line(what);
        let (state, waker) = line.leave(key);
        let wakers = match (what, state) {
            (For::Item | For::Room, State::Notified) => call(line),
            (For::Item | For::Room, State::Waiting) => [line.deputy(), None],
            _ => [None, None],
        };
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
        wakers.into_iter().for_each(Waker::wake);
        Ok(())
    }

    /// Ends the queue, at once or when it is empty.
    pub(super) fn shut_down(&self, at_once: bool, close: bool) {
        let mut wakers = Vec::new();
        let mut items = O::default();
        let mut inside = self.lock();
        inside.shut_down = true;
        inside.closing |= close;
        if at_once {
            items = mem::take(&mut inside.items);
            inside.unfinished -= items.count();
            self.finish(&mut inside, &mut wakers);
        }
        inside.call_all(For::Item, &mut wakers);
        inside.call_all(For::Room, &mut wakers);
        drop(self.left(inside));
        self.not_empty.notify_all();
        self.not_full.notify_all();
        wakers.into_iter().for_each(Waker::wake);
        drop(items);
    }

    /// Tells those who join if nothing is unfinished.
    fn finish(&self, inside: &mut Inside<O>, wakers: &mut Vec<Waker>) {
        if inside.unfinished == 0 {
            inside.times_done += 1;
            inside.call_all(For::Done, wakers);
            self.all_done.notify_all();
        }
    }

    fn push(&self, mut lock: Lock<'_, O>, item: T) {
        let inside = &mut *lock;
        inside.items.push(item);
        inside.unfinished += 1;
        let robbed = inside.tasks.putters.notified() > self.maxsize - inside.items.count();
        if robbed {
            inside.tasks.putters.withdraw();
        }
        let wakers = call(&mut inside.tasks.getters);
        let sleeper = inside.threads.getters.wake_one();
        drop(lock);
        if sleeper {
            self.not_empty.notify_one();
        }
        wake(wakers);
    }

    fn pop<'a>(&self, mut lock: Lock<'a, O>) -> Result<T, Lock<'a, O>> {
        let inside = &mut *lock;
        let Some(item) = inside.items.pop() else { return Err(lock) };
        let robbed = inside.tasks.getters.notified() > inside.items.count();
        if robbed && !inside.shut_down {
            inside.tasks.getters.withdraw();
        }
        let wakers = call(&mut inside.tasks.putters);
        let sleeper = inside.threads.putters.wake_one();
        drop(lock);
        if sleeper {
            self.not_full.notify_one();
        }
        wake(wakers);
        Ok(item)
    }

    /// Somebody no longer waits: if the queue is closed, that may have been the last one.
    #[inline]
    fn left<'a>(&'a self, mut inside: Lock<'a, O>) -> Lock<'a, O> {
        if !inside.is_closed() {
            return inside;
        }
        let mut wakers = Vec::new();
        inside.call_all(For::Closed, &mut wakers);
        drop(inside);
        wakers.into_iter().for_each(Waker::wake);
        self.lock()
    }
}

/// Has the thread wait. The flag says whether it has patience left.
fn wait<'a, O>(
    condition: &Condvar,
    inside: Lock<'a, O>,
    patience: Patience,
) -> (Lock<'a, O>, bool) {
    let until = match patience {
        Patience::None => return (inside, false),
        Patience::Until(deadline) => deadline,
        Patience::Forever => {
            return (condition.wait(inside).unwrap_or_else(PoisonError::into_inner), true);
        }
    };
    let left = until.saturating_duration_since(Instant::now());
    let waited = condition.wait_timeout(inside, left);
    let (inside, _) = waited.unwrap_or_else(PoisonError::into_inner);
    (inside, Instant::now() < until)
}
