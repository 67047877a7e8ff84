//! A rate limiter for each key.

use std::borrow::Borrow;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::rc::Rc;
use std::time::Duration;

use asyncio_loop::machinery::at_await;
use asyncio_loop::running_loop;

use super::RateLimiter;

/// The number of limiters from which on unused ones are dropped.
const FEW: usize = 64;

/// A [`RateLimiter`] for each key: for each client, host or user.
///
/// Limiters are made when a key is first used, and dropped when they have been full and unused for
/// a while, so the memory grows only with the number of busy keys.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_sync::RateLimits;
/// use asyncio_task::run;
///
/// run(async {
///     let by_user = RateLimits::new(1, Duration::from_secs(60));
///     by_user.acquire("ann").await;
///     assert!(!by_user.try_acquire("ann"));
///     assert!(by_user.try_acquire("bob"));
/// });
/// ```
pub struct RateLimits<K> {
    tokens: u32,
    period: Duration,
    burst: u32,
    limiters: RefCell<HashMap<K, Rc<RateLimiter>>>,
    /// The number of limiters at which unused ones are dropped next.
    look_at: Cell<usize>,
}

impl<K: Hash + Eq> RateLimits<K> {
    /// Admits `tokens` tasks in each `period` for each key, and as many at once.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0 or `period` is zero.
    #[must_use]
    pub fn new(tokens: u32, period: Duration) -> Self {
        Self::with_burst(tokens, period, tokens)
    }

    /// Admits `tokens` tasks in each `period` for each key, and up to `burst` at once after a
    /// pause.
    ///
    /// # Panics
    ///
    /// If `tokens` or `burst` is 0, or `period` is zero.
    #[must_use]
    pub fn with_burst(tokens: u32, period: Duration, burst: u32) -> Self {
        // Refuses here the arguments that would be refused at the first use.
        drop(RateLimiter::with_burst(tokens, period, burst));
        Self { tokens, period, burst, limiters: RefCell::default(), look_at: Cell::new(FEW) }
    }

    /// Waits for a token of this key and takes it.
    ///
    /// # Panics
    ///
    /// When polled on a thread where no loop of `asyncio` runs.
    ///
    /// # Cancel safety
    ///
    /// As for [`RateLimiter::acquire`].
    pub fn acquire<Q>(&self, key: &Q) -> impl Future<Output = ()>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        at_await(async move {
            let limiter = self.limiter(key);
            limiter.acquire().await;
        })
    }

    /// Takes a token of this key if there is one and no task waits for it. Returns whether it did.
    ///
    /// # Panics
    ///
    /// Where no loop of `asyncio` runs.
    #[must_use = "`false` says that there was no token"]
    pub fn try_acquire<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        self.limiter(key).try_acquire()
    }

    /// The number of keys that have a limiter now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.limiters.borrow().len()
    }

    /// Whether no key has a limiter now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn limiter<Q>(&self, key: &Q) -> Rc<RateLimiter>
    where
        K: Borrow<Q>,
        Q: ToOwned<Owned = K> + Hash + Eq + ?Sized,
    {
        if let Some(limiter) = self.limiters.borrow().get(key) {
            return Rc::clone(limiter);
        }
        self.drop_unused();
        let limiter = Rc::new(RateLimiter::with_burst(self.tokens, self.period, self.burst));
        self.limiters.borrow_mut().insert(key.to_owned(), Rc::clone(&limiter));
        limiter
    }

    /// Drops the full and unused limiters, each time the number of limiters has doubled.
    fn drop_unused(&self) {
        if self.len() < self.look_at.get() {
            return;
        }
        let now = running_loop().time();
        let is_used =
            |limiter: &Rc<RateLimiter>| Rc::strong_count(limiter) > 1 || !limiter.is_idle(now);
        let mut limiters = self.limiters.borrow_mut();
        limiters.retain(|_, limiter| is_used(limiter));
        self.look_at.set((limiters.len() * 2).max(FEW));
    }
}

impl<K> fmt::Debug for RateLimits<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits")
            .field("keys", &self.limiters.borrow().len())
            .finish_non_exhaustive()
    }
}
