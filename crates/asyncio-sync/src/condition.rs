//! [`Condition`]: waiting until a locked value has changed.

use std::fmt;
use std::future::poll_fn;
use std::ops::Deref;
use std::panic::Location;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::debug::Site;
use asyncio_loop::WaitsFor;
use asyncio_loop::machinery::at_await;

use crate::line::{Line, Turn};
use crate::lock::{Guard, Lock};

/// A lock around a value, with a way to wait until other tasks have changed the value.
///
/// A task that holds the lock, and needs another state of the value, calls [`wait`](Self::wait),
/// which releases the lock, waits for a notification, and takes the lock again. Spurious wake-ups
/// are possible, so test the value after each one, as [`wait_for`](Self::wait_for) does.
///
/// Tasks are notified in order of arrival. If the notified future is dropped, or is never polled
/// again, the notification goes to the next.
///
/// It dereferences to its [`Lock`]: [`acquire`](Lock::acquire), [`try_acquire`](Lock::try_acquire)
/// and [`is_locked`](Lock::is_locked) are there.
///
/// # From asyncio
///
/// `wait` takes the guard and returns it, so code that runs meanwhile cannot touch the value, and
/// `notify` requires a reference to a guard. A cancelled wait does not take the lock again, and the
/// caller has no guard any more; Python takes the lock again first. [`wait_for`](Self::wait_for)
/// always needs the guard, even if the predicate is true from the start.
///
/// # Examples
///
/// ```
/// use asyncio_sync::Condition;
///
/// # futures::executor::block_on(async {
/// let stock = Condition::new(0);
/// let buyer = async {
///     let mut guard = stock.wait_for(stock.acquire().await, |apples| *apples >= 2).await;
///     *guard -= 2;
/// };
/// let grower = async {
///     let mut guard = stock.acquire().await;
///     *guard += 3;
///     stock.notify(&guard, 1);
/// };
/// futures::join!(buyer, grower);
/// assert_eq!(*stock.acquire().await, 1);
/// # });
/// ```
pub struct Condition<T = ()> {
    lock: Rc<Lock<T>>,
    line: Line,
}

impl<T> Condition<T> {
    /// Creates a condition with a lock of its own around `value`.
    #[must_use]
    #[track_caller]
    pub fn new(value: T) -> Self {
        Self::with_lock(Rc::new(Lock::new(value)))
    }

    /// Creates a condition on a lock that others use too, such as another condition.
    ///
    /// # Examples
    ///
    /// There is one at [`lock`](Self::lock).
    #[must_use]
    #[track_caller]
    pub fn with_lock(lock: Rc<Lock<T>>) -> Self {
        Self { lock, line: Line::new(WaitsFor::Condition) }
    }

    /// The lock of this condition, for another condition on it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Condition;
    /// let not_empty = Condition::new(Vec::<u8>::new());
    /// let not_full = Condition::with_lock(not_empty.lock().clone());
    /// let guard = not_empty.try_acquire();
    /// assert!(not_full.is_locked());
    /// ```
    pub fn lock(&self) -> &Rc<Lock<T>> {
        &self.lock
    }

    /// Releases the lock, waits for a notification, and takes the lock again.
    ///
    /// The call may return without a notification. Any guard of this condition's lock is accepted,
    /// borrowed or owned.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock. If the primitive belongs to another loop: see [One
    /// loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the lock released, or releases it. A notification that the future
    /// had received goes to the next waiting task.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Condition;
    /// # futures::executor::block_on(async {
    /// let ready = Condition::new(false);
    /// let waiter = async {
    ///     let mut guard = ready.acquire().await;
    ///     while !*guard {
    ///         guard = ready.wait(guard).await;
    ///     }
    ///     *guard
    /// };
    /// let notifier = async {
    ///     let mut guard = ready.acquire().await;
    ///     *guard = true;
    ///     ready.notify_all(&guard);
    /// };
    /// assert_eq!(futures::join!(waiter, notifier), (true, ()));
    /// # });
    /// ```
    #[track_caller]
    pub fn wait<L>(&self, guard: Guard<T, L>) -> impl Future<Output = Guard<T, L>>
    where
        L: Deref<Target = Lock<T>> + Clone,
    {
        at_await(self.wait_at(guard, Location::caller()))
    }

    async fn wait_at<L>(&self, guard: Guard<T, L>, site: Site) -> Guard<T, L>
    where
        L: Deref<Target = Lock<T>> + Clone,
    {
        self.check(&guard);
        let lock = Guard::lock(&guard).clone();
        let mut guard = Some(guard);
        let mut turn = Turn::new(&self.line);
        poll_fn(|cx| {
            let notified = poll_notified(&mut turn, cx);
            guard = None; // once we are in line
            notified
        })
        .await;
        let notification = Notification(Some(&self.line));
        let guard = Guard::acquire(lock, site).await;
        notification.use_up();
        guard
    }

    /// Waits until `predicate` holds for the value, and returns with the lock.
    ///
    /// The predicate is tested first without waiting, and then after each notification.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock. If the primitive belongs to another loop: see [One
    /// loop](crate#one-loop).
    ///
    /// # Cancel safety
    ///
    /// As for [`wait`](Self::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Condition;
    /// # futures::executor::block_on(async {
    /// let count = Condition::new(3);
    /// let guard = count.wait_for(count.acquire().await, |count| *count > 2).await;
    /// assert_eq!(*guard, 3);
    /// # });
    /// ```
    #[track_caller]
    pub fn wait_for<L>(
        &self,
        guard: Guard<T, L>,
        predicate: impl FnMut(&mut T) -> bool,
    ) -> impl Future<Output = Guard<T, L>>
    where
        L: Deref<Target = Lock<T>> + Clone,
    {
        at_await(self.wait_for_at(guard, predicate, Location::caller()))
    }

    async fn wait_for_at<L>(
        &self,
        mut guard: Guard<T, L>,
        mut predicate: impl FnMut(&mut T) -> bool,
        site: Site,
    ) -> Guard<T, L>
    where
        L: Deref<Target = Lock<T>> + Clone,
    {
        self.check(&guard);
        while !predicate(&mut guard) {
            guard = self.wait_at(guard, site).await;
        }
        guard
    }

    /// Notifies the `n` tasks that have waited longest, or all if there are fewer.
    ///
    /// They go on one after the other, as each gets the lock again.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Condition;
    /// let condition = Condition::new(());
    /// let guard = condition.try_acquire().unwrap();
    /// condition.notify(&guard, 1); // nobody waits: nothing happens
    /// assert!(condition.is_locked());
    /// ```
    pub fn notify<L>(&self, guard: &Guard<T, L>, n: usize)
    where
        L: Deref<Target = Lock<T>>,
    {
        self.check(guard);
        for _ in 0..n.min(self.line.waiting()) {
            self.line.notify_one();
        }
    }

    /// Notifies every task that waits.
    ///
    /// # Panics
    ///
    /// If the guard belongs to another lock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use asyncio_sync::Condition;
    /// let condition = Condition::new(());
    /// let guard = condition.try_acquire().unwrap();
    /// condition.notify_all(&guard);
    /// assert!(condition.is_locked());
    /// ```
    pub fn notify_all<L>(&self, guard: &Guard<T, L>)
    where
        L: Deref<Target = Lock<T>>,
    {
        self.check(guard);
        self.line.notify_all();
    }

    fn check<L>(&self, guard: &Guard<T, L>)
    where
        L: Deref<Target = Lock<T>>,
    {
        let ours = std::ptr::eq(&raw const **Guard::lock(guard), Rc::as_ptr(&self.lock));
        assert!(ours, "the guard is not one of this condition's lock");
    }
}

/// Ready when notified. A future that was passed over counts as notified too (a spurious wake-up):
/// the notification that went to another future may have been meant for it.
fn poll_notified(turn: &mut Turn<'_>, cx: &Context<'_>) -> Poll<()> {
    if turn.was_passed_over() { Poll::Ready(()) } else { turn.poll(0, cx) }
}

/// A notification that was received and has had no effect yet. Dropping it passes it on to the
/// next.
struct Notification<'a>(Option<&'a Line>);

impl Notification<'_> {
    fn use_up(mut self) {
        self.0 = None;
    }
}

impl Drop for Notification<'_> {
    fn drop(&mut self) {
        if let Some(line) = self.0 {
            line.notify_one();
        }
    }
}

impl<T> Deref for Condition<T> {
    type Target = Lock<T>;

    fn deref(&self) -> &Lock<T> {
        &self.lock
    }
}

impl<T: Default> Default for Condition<T> {
    #[track_caller]
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: fmt::Debug> fmt::Debug for Condition<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("lock", &self.lock)
            .field("waiters", &self.line.len())
            .finish()
    }
}
