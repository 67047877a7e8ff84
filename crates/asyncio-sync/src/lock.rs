//! [`Lock`]: mutual exclusion of tasks.

use std::cell::Cell;
use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::WaitsFor;
use asyncio_loop::inspect::Holder;
use asyncio_loop::machinery::at_await;

use crate::debug::{self, LockId, Site, Waiting};
use crate::line::{Line, Turn};

/// Mutual exclusion between tasks of one thread, around a value.
///
/// Use it to exclude other tasks *across an `.await`*. Between two awaits no other task runs, so
/// plain [`Cell`]s and `RefCell`s are enough there.
///
/// The lock is fair: tasks are served in order of arrival, and no task overtakes one that was woken
/// to take the lock. Releasing does not hand the lock over but wakes the next in line. A future
/// that is woken and never polled again is passed over, so it cannot block the others.
///
/// In debug mode of the loop (`set_debug`), reports name the tasks that wait for each other's
/// locks, a task that waits for a lock it holds itself, a task that has ended while its guard still
/// exists and another task waits, and a task whose wait was passed over. They are reports, not
/// errors: a branch of a `join!` may wait for a lock that another branch holds.
///
/// The lock is not tied to a task. The guard may be moved to another task of the thread and dropped
/// there. There is no poisoning: a panic releases the lock like any other exit.
///
/// `Lock` is neither `Send` nor `Sync`:
///
/// ```compile_fail
/// fn is_send<T: Send>() {}
/// is_send::<asyncio_sync::Lock<u32>>();
/// ```
///
/// # From asyncio
///
/// The lock owns the value that it protects. `async with lock:` is `let guard =
/// lock.acquire().await`, and the end of the guard's scope releases it; there is no `release()`
/// that could be called once too often.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Lock;
///
/// # futures::executor::block_on(async {
/// let balance = Lock::new(100);
/// {
///     let mut guard = balance.acquire().await;
///     *guard -= 30; // nobody else gets in, whatever is awaited here
/// }
/// assert_eq!(*balance.acquire().await, 70);
/// # });
/// ```
#[doc(alias = "Mutex")]
pub struct Lock<T = ()> {
    /// The value. Absent while a guard has it. Boxed, so that a guard of any kind can carry it.
    value: Cell<Option<Box<T>>>,
    line: Line,
    /// Whether debug mode knows the holder.
    noted: Cell<bool>,
    /// The number of the task that took the lock last (zero for no task), and the place where it
    /// did.
    holder: Cell<(u64, Site)>,
}

impl<T> Lock<T> {
    /// Creates a free lock around `value`.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        let value = Cell::new(Some(Box::new(value)));
        Self {
            value,
            line: Line::new(WaitsFor::Lock),
            noted: Cell::new(false),
            holder: Cell::new((0, Location::caller())),
        }
    }

    /// Waits for the lock and takes it.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up its place in line. If it was woken already, the next in line is
    /// woken instead.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Lock;
    /// # futures::executor::block_on(async {
    /// let names = Lock::new(vec!["guido"]);
    /// names.acquire().await.push("yury");
    /// assert_eq!(names.into_inner(), ["guido", "yury"]);
    /// # });
    /// ```
    #[doc(alias = "lock")]
    #[track_caller]
    pub fn acquire(&self) -> Acquire<'_, T> {
        self.acquire_at(Location::caller())
    }

    fn acquire_at(&self, site: Site) -> Acquire<'_, T> {
        Acquire { lock: self, turn: Turn::new(&self.line), site, waiting: ManuallyDrop::new(None) }
    }

    /// Like [`acquire`](Self::acquire), with a guard that keeps the lock alive and borrows nothing.
    ///
    /// # Panics
    ///
    /// If the primitive belongs to another loop: see [One loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::rc::Rc;
    /// use asyncio_sync::{Lock, OwnedLockGuard};
    ///
    /// # futures::executor::block_on(async {
    /// let lock = Rc::new(Lock::new(7));
    /// let guard: OwnedLockGuard<i32> = lock.clone().acquire_owned().await;
    /// let elsewhere = async move { *guard };
    /// assert!(lock.is_locked());
    /// assert_eq!(elsewhere.await, 7);
    /// assert!(!lock.is_locked());
    /// # });
    /// ```
    #[track_caller]
    pub fn acquire_owned(self: Rc<Self>) -> impl Future<Output = OwnedLockGuard<T>> + use<T> {
        at_await(Guard::acquire(self, Location::caller()))
    }

    /// Takes the lock if it is free and no task waits for it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Lock;
    /// let lock = Lock::new(());
    /// let guard = lock.try_acquire().unwrap();
    /// assert!(lock.try_acquire().is_none());
    /// drop(guard);
    /// assert!(lock.try_acquire().is_some());
    /// ```
    #[doc(alias = "try_lock")]
    #[must_use = "if unused the lock is released at once"]
    #[track_caller]
    pub fn try_acquire(&self) -> Option<LockGuard<'_, T>> {
        if self.line.notified() > 0 || self.is_locked() {
            return None;
        }
        Some(Guard::new(self, Location::caller()))
    }

    /// [`try_acquire`](Self::try_acquire) with a guard that keeps the lock alive and borrows
    /// nothing.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::rc::Rc;
    /// # use asyncio_sync::Lock;
    /// let lock = Rc::new(Lock::new(1));
    /// let guard = lock.clone().try_acquire_owned();
    /// assert!(guard.is_some() && lock.is_locked());
    /// ```
    #[must_use = "if unused the lock is released at once"]
    #[track_caller]
    pub fn try_acquire_owned(self: Rc<Self>) -> Option<OwnedLockGuard<T>> {
        let value = self.try_acquire()?.disarm();
        Some(Guard { lock: self, value })
    }

    /// Whether the lock is held.
    ///
    /// A lock that was released is free, although the next in line, already woken, may be about to
    /// take it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Lock;
    /// let lock = Lock::new(());
    /// assert!(!lock.is_locked());
    /// let guard = lock.try_acquire();
    /// assert!(lock.is_locked());
    /// ```
    #[doc(alias = "locked")]
    pub fn is_locked(&self) -> bool {
        let value = self.value.take();
        let locked = value.is_none();
        self.value.set(value);
        locked
    }

    /// The value, without locking: `&mut self` proves that there is no guard.
    ///
    /// # Panics
    ///
    /// If a guard was leaked with [`mem::forget`](std::mem::forget): the value is gone with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Lock;
    /// let mut lock = Lock::new(1);
    /// *lock.get_mut() += 1;
    /// assert_eq!(lock.into_inner(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut().as_deref_mut().expect(LEAKED)
    }

    /// Consumes the lock and returns the value.
    ///
    /// # Panics
    ///
    /// If a guard was leaked with [`mem::forget`](std::mem::forget): the value is gone with it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Lock;
    /// assert_eq!(Lock::new("text").into_inner(), "text");
    /// ```
    #[must_use]
    pub fn into_inner(self) -> T {
        *self.value.into_inner().expect(LEAKED)
    }

    /// The task that holds the lock.
    fn holder(&self) -> Option<Holder> {
        let (task, at) = self.holder.get();
        (task != 0 && self.is_locked()).then(|| Holder::new(task, at))
    }
}

const LEAKED: &str = "the guard of this lock was leaked, and the value with it";

impl<T: Default> Default for Lock<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> From<T> for Lock<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

/// A value that is taken out for `Debug`, and put back even if that panics.
struct Shown<'a, T> {
    lock: &'a Lock<T>,
    value: Option<Box<T>>,
}

impl<T> Drop for Shown<'_, T> {
    fn drop(&mut self) {
        self.lock.value.set(self.value.take());
    }
}

impl<T: fmt::Debug> fmt::Debug for Lock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = Shown { lock: self, value: self.value.take() };
        f.debug_struct("Lock")
            .field("locked", &shown.value.is_none())
            .field("waiters", &self.line.len())
            .field("value", &shown.value)
            .finish()
    }
}

/// The future of [`Lock::acquire`].
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct Acquire<'a, T = ()> {
    lock: &'a Lock<T>,
    turn: Turn<'a>,
    /// The place of the call, and the wait that debug mode has recorded. The destructor of this
    /// future tests it by hand, so that it is short enough to be inlined.
    site: Site,
    waiting: ManuallyDrop<Option<Box<Waiting>>>,
}

impl<'a, T> Future for Acquire<'a, T> {
    type Output = LockGuard<'a, T>;

    #[inline]
    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lock = self.lock;
        let free = usize::from(!lock.is_locked());
        if self.turn.poll(free, cx).is_pending() {
            lock.line.held_by(|| lock.holder());
            self.note_wait();
            return Poll::Pending;
        }
        if self.waiting.is_some() {
            self.end_wait();
        }
        Poll::Ready(Guard::new(lock, self.site))
    }
}

impl<T> Drop for Acquire<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if self.waiting.is_some() {
            self.end_wait();
        }
    }
}

impl<T> Acquire<'_, T> {
    #[cold]
    fn note_wait(&mut self) {
        if self.waiting.is_none() && debug::is_on() {
            *self.waiting = debug::waits(LockId::of(self.lock), self.site);
        }
    }

    #[cold]
    fn end_wait(&mut self) {
        *self.waiting = None;
    }
}

/// Holds a [`Lock`] that it borrows. Dropping it releases the lock.
pub type LockGuard<'a, T = ()> = Guard<T, &'a Lock<T>>;

/// Holds a [`Lock`] that it keeps alive. Dropping it releases the lock.
pub type OwnedLockGuard<T = ()> = Guard<T, Rc<Lock<T>>>;

/// Holds a [`Lock`], reached through `L`: see [`LockGuard`] and [`OwnedLockGuard`].
///
/// It dereferences to the value. Dropping it releases the lock and wakes the next in line.
#[must_use = "if unused the lock is released at once"]
#[clippy::has_significant_drop]
pub struct Guard<T, L: Deref<Target = Lock<T>>> {
    lock: L,
    /// Absent only in a guard that has given up the value and is about to be dropped.
    value: Option<Box<T>>,
}

impl<T, L: Deref<Target = Lock<T>>> Guard<T, L> {
    /// The lock this guard holds.
    ///
    /// An associated function, as in `Guard::lock(&guard)`, so that it hides no method of `T`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::{Guard, Lock};
    /// let lock = Lock::new(5);
    /// let guard = lock.try_acquire().unwrap();
    /// assert!(Guard::lock(&guard).is_locked());
    /// ```
    pub fn lock(this: &Self) -> &L {
        &this.lock
    }

    /// Takes the value of a lock that is free.
    #[inline]
    fn new(lock: L, site: Site) -> Self {
        let (in_debug, task) = debug::current();
        if in_debug {
            lock.noted.set(true);
            debug::took(LockId::of(&*lock), site);
        }
        lock.holder.set((task, site));
        let value = lock.value.take();
        lock.line.held_by(|| lock.holder());
        Self { lock, value }
    }

    /// Waits for the lock behind `lock`.
    pub(crate) async fn acquire(lock: L, site: Site) -> Self {
        let value = lock.acquire_at(site).await.disarm();
        Self { lock, value }
    }

    /// Drops the guard without releasing the lock.
    fn disarm(mut self) -> Option<Box<T>> {
        self.value.take()
    }
}

const HELD: &str = "a guard has the value until it is dropped";

impl<T, L: Deref<Target = Lock<T>>> Deref for Guard<T, L> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_deref().expect(HELD)
    }
}

impl<T, L: Deref<Target = Lock<T>>> DerefMut for Guard<T, L> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_deref_mut().expect(HELD)
    }
}

impl<T, L: Deref<Target = Lock<T>>> Drop for Guard<T, L> {
    #[inline]
    fn drop(&mut self) {
        let lock = &*self.lock;
        let Some(value) = self.value.take() else { return };
        if lock.noted.get() {
            lock.noted.set(false);
            debug::released(LockId::of(lock));
        }
        lock.value.set(Some(value));
        lock.line.released();
    }
}

impl<T: fmt::Debug, L: Deref<Target = Lock<T>>> fmt::Debug for Guard<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Guard").field(&**self).finish()
    }
}

impl<T: fmt::Display, L: Deref<Target = Lock<T>>> fmt::Display for Guard<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
