//! [`RateLimiter`] and [`RateLimits`]: limits on the number of operations in a period.

mod bucket;
mod keyed;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::with_running;
use asyncio_loop::{LoopTime, TimerHandle, WaitsFor, running_loop};

use self::bucket::Bucket;
pub use self::keyed::RateLimits;
use crate::line::{Line, Turn};

/// Limits how many operations start in a period. Tasks are admitted in order of arrival.
///
/// It is a token bucket: a token is added every `period / tokens`, up to a limit, the *burst*, and
/// each operation takes one. At the start the bucket is full.
///
/// It needs a running loop of `asyncio`, whose clock it uses. Use it on one loop only.
///
/// # From asyncio
///
/// asyncio has no rate limiter; Python programs use the package aiolimiter.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_sync::RateLimiter;
/// use asyncio_task::{Runner, running_loop};
///
/// Runner::builder().virtual_time(true).run(async {
///     let start = running_loop().time();
///     let limiter = RateLimiter::new(2, Duration::from_secs(1));
///     for _ in 0..6 {
///         limiter.acquire().await;
///     }
///     // Two at once, and then one every half second.
///     assert_eq!(running_loop().time() - start, Duration::from_secs(2));
/// });
/// ```
pub struct RateLimiter {
    inner: Rc<Inner>,
}

struct Inner {
    bucket: RefCell<Bucket>,
    line: Line,
    /// Offers the next token to the line; `None` while nothing waits.
    timer: Cell<Option<TimerHandle>>,
}

impl RateLimiter {
    /// Admits `tokens` operations in each `period`, and as many at once.
    ///
    /// # Panics
    ///
    /// If `tokens` is 0 or `period` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(tokens: u32, period: Duration) -> Self {
        Self::with_burst(tokens, period, tokens)
    }

    /// Admits `tokens` operations in each `period`, and up to `burst` at once after a pause.
    ///
    /// # Panics
    ///
    /// If `tokens` or `burst` is 0, or `period` is zero.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_sync::RateLimiter;
    /// use asyncio_task::run;
    ///
    /// run(async {
    ///     // A hundred a second, evenly.
    ///     let even = RateLimiter::with_burst(100, Duration::from_secs(1), 1);
    ///     assert!(even.try_acquire());
    ///     assert!(!even.try_acquire());
    /// });
    /// ```
    #[must_use]
    #[track_caller]
    pub fn with_burst(tokens: u32, period: Duration, burst: u32) -> Self {
        let bucket = RefCell::new(Bucket::new(tokens, period, burst));
        Self {
            inner: Rc::new(Inner {
                bucket,
                line: Line::new(WaitsFor::Semaphore),
                timer: Cell::new(None),
            }),
        }
    }

    /// Waits for a token and takes it.
    ///
    /// # Panics
    ///
    /// When polled where no loop of `asyncio` runs.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no token. Its turn goes to the next in line.
    pub fn acquire(&self) -> AcquireToken<'_> {
        self.acquire_many(1)
    }

    /// Waits for a token, and takes `tokens` of them, for an operation that costs more than others.
    ///
    /// This does not wait until `tokens` are there. The bucket goes into debt instead, and the
    /// operations behind wait longer. So small operations do not starve a large one, and it may be
    /// larger than the burst.
    ///
    /// # Panics
    ///
    /// When polled where no loop of `asyncio` runs.
    ///
    /// # Cancel safety
    ///
    /// As for [`acquire`](Self::acquire).
    ///
    /// # Examples
    ///
    /// At most 1000 bytes a second:
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_sync::RateLimiter;
    /// use asyncio_task::{Runner, running_loop};
    ///
    /// Runner::builder().virtual_time(true).run(async {
    ///     let start = running_loop().time();
    ///     let bandwidth = RateLimiter::new(1000, Duration::from_secs(1));
    ///     for packet in [1000, 1500, 500, 1] {
    ///         bandwidth.acquire_many(packet).await;
    ///     }
    ///     assert_eq!((running_loop().time() - start).as_millis(), 2001);
    /// });
    /// ```
    pub fn acquire_many(&self, tokens: u32) -> AcquireToken<'_> {
        AcquireToken { inner: &self.inner, turn: Turn::new(&self.inner.line), tokens }
    }

    /// Takes a token if there is one and no task waits for it. Returns whether it did.
    ///
    /// # Panics
    ///
    /// Where no loop of `asyncio` runs.
    #[must_use = "`false` says that there was no token"]
    pub fn try_acquire(&self) -> bool {
        let now = running_loop().time();
        let is_free = self.inner.free(now) > 0 && self.inner.line.len() == 0;
        if is_free {
            self.inner.take(now, 1);
        }
        is_free
    }

    /// The number of tokens now.
    ///
    /// # Panics
    ///
    /// Where no loop of `asyncio` runs.
    #[must_use]
    pub fn available(&self) -> usize {
        self.inner.free(running_loop().time())
    }

    /// Whether the bucket is full and no task waits, as in a new limiter.
    fn is_idle(&self, now: LoopTime) -> bool {
        self.inner.line.len() == 0 && self.inner.bucket.borrow().is_full(now)
    }
}

impl Inner {
    fn free(&self, now: LoopTime) -> usize {
        self.bucket.borrow().tokens(now)
    }

    /// Notifies the next in line if there is a token, else sets a timer for the next token.
    ///
    /// One task is notified at a time, because it may take several tokens.
    fn serve(self: &Rc<Self>, now: LoopTime) {
        if self.line.waiting() == 0 || self.line.notified() > 0 {
            return;
        }
        if self.free(now) > 0 {
            self.line.notify_one();
        } else {
            self.arm(now);
        }
    }

    fn arm(self: &Rc<Self>, now: LoopTime) {
        let timer = self.timer.take().unwrap_or_else(|| {
            let when = self.bucket.borrow().next_token(now);
            let this = Rc::downgrade(self);
            running_loop().call_at(when, move || {
                if let Some(this) = this.upgrade() {
                    drop(this.timer.take());
                    this.serve(running_loop().time());
                }
            })
        });
        self.timer.set(Some(timer));
    }

    fn take(self: &Rc<Self>, now: LoopTime, tokens: u32) {
        self.bucket.borrow_mut().take(now, tokens);
        self.serve(now);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            timer.cancel();
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let available = with_running(|event_loop| self.inner.free(event_loop.time())).ok();
        f.debug_struct("RateLimiter")
            .field("available", &available)
            .field("waiters", &self.inner.line.len())
            .finish()
    }
}

/// The future of [`RateLimiter::acquire`] and [`RateLimiter::acquire_many`].
#[must_use = "futures do nothing unless awaited"]
pub struct AcquireToken<'a> {
    inner: &'a Rc<Inner>,
    turn: Turn<'a>,
    tokens: u32,
}

impl Future for AcquireToken<'_> {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let inner = self.inner;
        let now = running_loop().time();
        // A newcomer does not overtake, because the token may be promised to a waiting task.
        let free = if inner.line.waiting() > 0 { 0 } else { inner.free(now) };
        let polled = self.turn.poll(free, cx);
        match polled {
            Poll::Ready(()) => inner.take(now, self.tokens),
            Poll::Pending => inner.serve(now),
        }
        polled
    }
}

impl fmt::Debug for AcquireToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcquireToken").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}
