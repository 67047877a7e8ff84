//! Several loops, each in a thread of its own.
//!
//! | file | contents |
//! |---|---|
//! | `gate`, `load`, `cpus` | small parts that depend on nothing else here |
//! | `worker` | one loop with its thread, and its stop |
//! | `end` | the end of all threads |
//! | `builder` | the options, and the start |

mod builder;
mod cpus;
mod end;
mod gate;
mod load;
mod worker;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asyncio_loop::{JobError, LoopHandle, ThreadFuture, ThreadPromise};

pub use self::builder::LoopPoolBuilder;
use self::end::End;
use self::worker::Worker;
use super::submit::run_coroutine_threadsafe;

/// A pool of event loops, each in a thread of its own, with work spread among them.
///
/// A future stays on the loop that it was given to, so it need not be `Send`. Only the function
/// that makes the future, and the value that it returns, move between threads. The pool can be used
/// from every thread, from its own loops too; share it in an [`Arc`].
///
/// Dropping the pool stops it, as [`stop`](Self::stop) does.
///
/// # From asyncio
///
/// asyncio has no pool of loops. `LocalPoolHandle` of tokio-util and `LocalExecutorPoolBuilder` of
/// glommio are similar.
///
/// # Examples
///
/// ```
/// use std::rc::Rc;
/// use asyncio_task::{LoopPool, yield_now};
///
/// let pool = LoopPool::start(2)?;
/// let answers = [1, 2, 3].map(|number| {
///     pool.submit(move || async move {
///         let number = Rc::new(number); // not `Send`
///         yield_now().await;
///         *number * 2
///     })
/// });
/// let sum: i32 = answers.iter().map(|answer| answer.result(None).unwrap()).sum();
/// assert_eq!(sum, 12);
/// pool.stop();
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// The value moves to another thread, so the compiler requires `Send` of it:
///
/// ```compile_fail,E0277
/// # use asyncio_task::LoopPool;
/// # let pool = LoopPool::start(1).unwrap();
/// pool.submit(|| async { std::rc::Rc::new(5) });
/// ```
#[doc(alias = "LocalPoolHandle")]
#[doc(alias = "LocalExecutorPool")]
pub struct LoopPool {
    workers: Box<[Worker]>,
    /// The loop at which the search for the least loaded one begins, so that equally loaded loops
    /// take turns.
    turn: AtomicUsize,
    end: Arc<End>,
}

impl LoopPool {
    /// Starts `loops` loops in threads named "asyncio_loop-0" and so on, and returns when all run.
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread or has no descriptors left for the loops. No loop is
    /// left running then.
    ///
    /// # Panics
    ///
    /// If `loops` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(2)?;
    /// assert_eq!(pool.loop_count(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn start(loops: usize) -> io::Result<Self> {
        Self::builder().loops(loops).start()
    }

    /// Returns a builder for a pool with options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::builder().loops(1).name("web").start()?;
    /// let name = pool.submit(|| async { std::thread::current().name().map(str::to_owned) });
    /// assert_eq!(name.result(None).unwrap().as_deref(), Some("web-0"));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn builder() -> LoopPoolBuilder {
        LoopPoolBuilder::new()
    }

    /// Runs a future on the loop that has the fewest unfinished futures, and returns at once.
    ///
    /// A blocked loop finishes no futures, so it is avoided after a while; a loop that has ended is
    /// avoided at once.
    ///
    /// Wait for the value with [`ThreadFuture::result`], or await it, on whatever loop or executor.
    /// [`ThreadFuture::cancel`] cancels the task. The future fails with [`JobError::Panicked`] if
    /// the task panics, with [`JobError::Cancelled`] if it is cancelled, and with
    /// [`JobError::LoopClosed`] if the pool was told to stop before.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(2)?;
    /// assert_eq!(pool.submit(|| async { 6 * 7 }).result(None).unwrap(), 42);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "spawn_pinned")]
    #[track_caller]
    pub fn submit<F, Fut>(&self, make: F) -> ThreadFuture<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        self.submit_to(self.least_loaded(), make)
    }

    /// Runs a future on the loop with this number. See [`submit`](Self::submit).
    ///
    /// # Panics
    ///
    /// If `number` is not below [`loop_count`](Self::loop_count).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::thread;
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(2)?;
    /// let thread = || pool.submit_to(1, || async { thread::current().id() }).result(None);
    /// assert_eq!(thread().unwrap(), thread().unwrap());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "spawn_pinned_by_idx")]
    #[track_caller]
    pub fn submit_to<F, Fut>(&self, number: usize, make: F) -> ThreadFuture<Fut::Output>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let worker = &self.workers[number];
        // The future is counted before the test: either the stopping loop sees it, or this call
        // sees the stop.
        let counted = worker.load().count();
        if self.end.has_begun() {
            let (promise, refused) = ThreadPromise::new();
            promise.set_outcome(Err(JobError::LoopClosed));
            return refused;
        }
        run_coroutine_threadsafe(worker.handle(), move || async move {
            let _counted = counted;
            make().await
        })
    }

    /// Runs a future on each loop. `make` is called there, with the number of the loop.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(3)?;
    /// let squares = pool.on_all(|number| async move { number * number });
    /// let squares: Vec<usize> = squares.iter().map(|each| each.result(None).unwrap()).collect();
    /// assert_eq!(squares, [0, 1, 4]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "on_all_shards")]
    #[track_caller]
    pub fn on_all<F, Fut>(&self, make: F) -> Vec<ThreadFuture<Fut::Output>>
    where
        F: Fn(usize) -> Fut + Clone + Send + 'static,
        Fut: Future + 'static,
        Fut::Output: Send + 'static,
    {
        let numbers = 0..self.loop_count();
        let each = |number| {
            let make = make.clone();
            self.submit_to(number, move || make(number))
        };
        numbers.map(each).collect()
    }

    /// The number of loops that the pool was started with.
    #[doc(alias = "num_threads")]
    #[must_use]
    pub fn loop_count(&self) -> usize {
        self.workers.len()
    }

    /// The handle of the loop with this number.
    ///
    /// Tasks that are scheduled by it are not counted in [`loads`](Self::loads).
    ///
    /// # Panics
    ///
    /// If `number` is not below [`loop_count`](Self::loop_count).
    #[must_use]
    pub fn handle(&self, number: usize) -> &LoopHandle {
        self.workers[number].handle()
    }

    /// For each loop, the number of futures that were given to it and have not ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(2)?;
    /// let waiting = [(); 3].map(|()| pool.submit(std::future::pending::<()>));
    /// let mut loads = pool.loads();
    /// loads.sort();
    /// assert_eq!(loads, [1, 2]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[doc(alias = "get_task_loads_for_each_worker")]
    #[must_use]
    pub fn loads(&self) -> Vec<usize> {
        self.workers.iter().map(|worker| worker.load().get()).collect()
    }

    /// Refuses new futures, gives the running ones the time `grace` to end, and then cancels the
    /// rest, as [`stop`](Self::stop) does. Returns at once; the returned future is done when all
    /// threads have ended.
    ///
    /// A future that serves until the pool stops awaits [`stopping`](Self::stopping). A second
    /// call, or dropping the pool, can shorten the time but not lengthen it.
    ///
    /// The returned future fails with [`JobError::Panicked`] if one of the loops has ended by a
    /// panic, now or before, for example because code called `stop` of that loop. The panic hook
    /// has reported the panic; the other loops are not affected.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::{LoopPool, sleep};
    ///
    /// let pool = LoopPool::start(2)?;
    /// let quick = pool.submit(|| sleep(Duration::from_millis(1)));
    /// let endless = pool.submit(std::future::pending::<()>);
    /// pool.shutdown(Duration::from_millis(100)).result(None).unwrap();
    /// assert!(quick.result(None).is_ok());
    /// assert!(endless.result(None).unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn shutdown(&self, grace: Duration) -> ThreadFuture<()> {
        self.end.begin();
        self.workers.iter().for_each(|worker| worker.stop(grace));
        self.end.wait()
    }

    /// Cancels all tasks of the loops, waits for them, closes the loops and joins the threads.
    ///
    /// On a thread of the pool the call only requests this: that loop ends when the running code
    /// has returned to it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(1)?;
    /// let never = pool.submit(std::future::pending::<()>);
    /// pool.stop();
    /// assert!(never.result(None).unwrap_err().is_cancelled());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stop(self) {
        drop(self);
    }

    /// Waits until the pool that the running loop belongs to is told to stop. On a loop outside
    /// pools it waits forever.
    ///
    /// # Cancel safety
    ///
    /// The future can be dropped and a new one awaited.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_task::LoopPool;
    ///
    /// let pool = LoopPool::start(2)?;
    /// let served = pool.on_all(|number| async move {
    ///     // serve …
    ///     LoopPool::stopping().await;
    ///     number
    /// });
    /// pool.shutdown(Duration::from_secs(10)).result(None).unwrap();
    /// assert_eq!(served[1].result(None).unwrap(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn stopping() -> impl Future<Output = ()> {
        gate::until_stopping()
    }

    /// The number of the loop that has the fewest unfinished futures.
    fn least_loaded(&self) -> usize {
        let count = self.loop_count();
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % count;
        let in_turn = (first..count).chain(0..first);
        let open = in_turn.filter(|&number| !self.workers[number].handle().is_closed());
        open.min_by_key(|&number| self.workers[number].load().get()).unwrap_or(first)
    }
}

impl Drop for LoopPool {
    fn drop(&mut self) {
        drop(self.shutdown(Duration::ZERO));
        if self.workers.iter().any(|worker| worker.handle().is_loop_thread()) {
            return;
        }
        self.workers.iter_mut().for_each(Worker::join);
    }
}

impl fmt::Debug for LoopPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoopPool").field("loads", &self.loads()).finish_non_exhaustive()
    }
}
