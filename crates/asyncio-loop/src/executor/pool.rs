//! The thread pool.

use std::error::Error;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::panic::Location;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::work_queue::{Help, WorkQueue};
use super::worker::{self, Worker};
use super::{Executor, Job};
use crate::event_loop::report_unclosed;
use crate::primitives::{AtomicUsize, Mutex, MutexGuard, Ordering, thread};
use crate::report;
use crate::{JobError, ThreadFuture, ThreadPromise};

/// A pool of threads that run blocking or heavy functions. Threads are started on demand.
///
/// A thread is started when a job waits and no thread is idle, up to
/// [`max_workers`](ThreadPoolBuilder::max_workers); a thread without work for
/// [`idle_timeout`](ThreadPoolBuilder::idle_timeout) ends. Jobs start in the order of their
/// submission. A panic in a job is that job's error, and does not affect the pool.
///
/// Dropping the pool shuts it down without waiting: submitted jobs are still run. If there are such
/// jobs, for which no code waits any more, debug mode of the running loop reports that.
///
/// # From asyncio
///
/// `concurrent.futures.ThreadPoolExecutor`, with idle threads that end. `submit` after a shutdown
/// returns a failed future, instead of raising an exception.
///
/// # Examples
///
/// ```
/// use asyncio_loop::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::builder().max_workers(2).thread_name_prefix("hash").build();
/// let name = pool.submit(|| std::thread::current().name().map(str::to_owned));
/// assert_eq!(name.result(None).unwrap().as_deref(), Some("hash_0"));
/// ```
pub struct ThreadPoolExecutor {
    shared: Arc<Shared>,
    /// The place of the call that made the pool.
    site: &'static Location<'static>,
}

/// The state that the pool shares with its workers.
pub(super) struct Shared {
    queue: Mutex<WorkQueue>,
    /// The length of the queue, for a worker that spins without the lock.
    pub(super) queued: AtomicUsize,
    pub(super) idle_timeout: Duration,
    thread_name_prefix: String,
    stack_size: Option<usize>,
    pub(super) initializer: Option<Initializer>,
}

impl ThreadPoolExecutor {
    /// Makes a pool of at most `max_workers` threads, which start on demand. `default()` has the
    /// maximum that the [builder](ThreadPoolBuilder::max_workers) has by default.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::new(3);
    /// assert_eq!(pool.workers(), 0, "threads start with the jobs");
    /// ```
    #[must_use]
    #[track_caller]
    pub fn new(max_workers: usize) -> Self {
        Self::builder().max_workers(max_workers).build()
    }

    /// Returns a builder for a pool with options.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::builder().max_workers(1).build();
    /// assert_eq!(pool.submit(|| 1).result(None).unwrap(), 1);
    /// ```
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::new()
    }

    /// Submits a function to one of the threads, and returns the future of its value.
    ///
    /// After [`shutdown`](Self::shutdown) the future has failed with
    /// [`JobError::ExecutorShutdown`], and the function is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::default();
    /// let words = vec!["one", "two"];
    /// assert_eq!(pool.submit(move || words.len()).result(None).unwrap(), 2);
    /// ```
    #[track_caller]
    pub fn submit<F, T>(&self, function: F) -> ThreadFuture<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (job, future) = Job::new(function);
        self.execute(job);
        future
    }

    /// Refuses new jobs from now on, and ends the threads when the queue is empty.
    ///
    /// The future completes when the last thread has ended; wait for it on a thread
    /// ([`result`](ThreadFuture::result)), in a task, or not at all.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{JobError, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::default();
    /// let before = pool.submit(|| 1);
    /// let ended = pool.shutdown();
    /// let after = pool.submit(|| 2);
    ///
    /// assert!(ended.result(None).is_ok());
    /// assert_eq!(before.result(None).unwrap(), 1);
    /// assert!(matches!(after.result(None), Err(JobError::ExecutorShutdown)));
    /// ```
    pub fn shutdown(&self) -> ThreadFuture<()> {
        let (promise, future) = ThreadPromise::new();
        let (sleepers, ended) = self.shared.lock().close(promise);
        sleepers.iter().for_each(thread::Thread::unpark);
        ended.into_iter().for_each(|promise| promise.set_result(()));
        future
    }

    /// Cancels every job that has not started, and returns their number.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::builder().max_workers(1).build();
    /// let ((tell, started), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
    /// let first = pool.submit(move || (tell.send(()), held.recv().is_err()).1);
    /// started.recv().unwrap();
    /// let second = pool.submit(|| unreachable!("cancelled"));
    /// assert_eq!(pool.cancel_queued(), 1);
    /// assert!(second.is_cancelled());
    /// drop(release);
    /// assert!(first.result(None).unwrap());
    /// ```
    #[doc(alias = "cancel_futures")]
    pub fn cancel_queued(&self) -> usize {
        let jobs = {
            let mut queue = self.shared.lock();
            let jobs = queue.take_queue();
            self.shared.publish(&queue);
            jobs
        };
        let number = jobs.len();
        drop(jobs);
        number
    }

    /// Shuts the pool down and blocks this thread until its threads have ended, at most for
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// [`StuckJobs`] with the jobs that still run, and the place where each was submitted; they go
    /// on. A job of the pool itself gets this error at once, since it cannot wait for its own end.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    /// use std::{sync::mpsc, time::Duration};
    ///
    /// let (release, held) = mpsc::channel::<()>();
    /// let (started, starts) = mpsc::channel();
    /// let pool = ThreadPoolExecutor::default();
    /// let job = pool.submit(move || { started.send(()).unwrap(); held.recv() });
    /// starts.recv().unwrap();
    ///
    /// let stuck = pool.join(Some(Duration::from_millis(1))).unwrap_err();
    /// assert_eq!(stuck.jobs().len(), 1);
    /// drop(release);
    /// assert!(pool.join(None).is_ok());
    /// # assert!(job.is_done());
    /// ```
    pub fn join(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        let ended = self.shutdown();
        let timeout = if worker::works_for(&self.shared) { Some(Duration::ZERO) } else { timeout };
        match ended.result(timeout) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.stuck_jobs()),
        }
    }

    /// The numbers of running and queued jobs, if there are any and the pool was not shut down.
    fn unfinished(&self) -> Option<(usize, usize)> {
        let queue = self.shared.lock();
        let (running, queued) = (queue.running().count(), queue.queued());
        (!queue.is_closing() && running + queued > 0).then_some((running, queued))
    }

    pub(super) fn stuck_jobs(&self) -> StuckJobs {
        StuckJobs { jobs: self.running_jobs(), queued: self.queued() }
    }

    /// Returns the jobs that run at this moment.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::default();
    /// let ((tell, started), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
    /// pool.submit(move || (tell.send(()), held.recv().is_err()).1);
    /// started.recv().unwrap();
    /// assert!(pool.running_jobs()[0].site().line() > 0);
    /// drop(release);
    /// ```
    #[must_use]
    pub fn running_jobs(&self) -> Vec<RunningJob> {
        let queue = self.shared.lock();
        let running = queue.running();
        running
            .map(|(number, site)| RunningJob { site, thread: self.shared.thread_name(number) })
            .collect()
    }

    /// Returns the number of jobs that have not started.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// assert_eq!(ThreadPoolExecutor::default().queued(), 0);
    /// ```
    #[must_use]
    pub fn queued(&self) -> usize {
        self.shared.lock().queued()
    }

    /// Returns the number of threads.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::default();
    /// pool.submit(|| ()).result(None).unwrap();
    /// assert_eq!(pool.workers(), 1);
    /// ```
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.lock().workers()
    }
}

impl Executor for ThreadPoolExecutor {
    fn execute(&self, job: Job) {
        self.shared.push(job);
    }
}

impl Default for ThreadPoolExecutor {
    #[track_caller]
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Drop for ThreadPoolExecutor {
    fn drop(&mut self) {
        if let Some((running, queued)) = self.unfinished() {
            let message = "a thread pool was dropped with jobs left, without being shut down";
            report_unclosed(message, self.site, |context| {
                context.field("running", running).field("queued", queued)
            });
        }
        drop(self.shutdown());
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolExecutor")
            .field("thread_name_prefix", &self.shared.thread_name_prefix)
            .field("workers", &self.workers())
            .field("queued", &self.queued())
            .finish()
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, WorkQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Publishes the length of the queue for workers that spin without the lock.
    pub(super) fn publish(&self, queue: &WorkQueue) {
        self.queued.store(queue.queued(), Ordering::Relaxed);
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.lock();
        let pushed = queue.push(job);
        self.publish(&queue);
        drop(queue);
        match pushed {
            Ok(help) => self.give(help),
            Err(job) => job.fail(JobError::ExecutorShutdown),
        }
    }

    pub(super) fn give(self: &Arc<Self>, help: Help) {
        match help {
            Help::NotNeeded => {}
            Help::Wake(thread) => thread.unpark(),
            Help::Start(number) => self.start(number),
        }
    }

    fn start(self: &Arc<Self>, number: usize) {
        let mut builder = thread::Builder::new().name(self.thread_name(number));
        if let Some(size) = self.stack_size {
            builder = builder.stack_size(size);
        }
        let worker = Worker::new(Arc::clone(self), number);
        if let Err(error) = builder.spawn(move || worker.work()) {
            self.start_failed(number, &error);
        }
    }

    fn start_failed(&self, number: usize, error: &io::Error) {
        log::error!("executor could not start thread {}: {error}", self.thread_name(number));
        let mut queue = self.lock();
        let (refused, ended) = queue.start_failed(number);
        self.publish(&queue);
        drop(queue);

        for job in refused {
            let error = io::Error::new(error.kind(), error.to_string());
            job.fail(JobError::NoThread(error));
        }
        ended.into_iter().for_each(|promise| promise.set_result(()));
    }

    pub(super) fn leave(&self, number: usize) {
        let ended = self.lock().leave(number);
        ended.into_iter().for_each(|promise| promise.set_result(()));
    }

    fn thread_name(&self, number: usize) -> String {
        format!("{}_{number}", self.thread_name_prefix)
    }
}

/// The options of a [`ThreadPoolExecutor`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_loop::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::builder()
///     .max_workers(2)
///     .idle_timeout(Duration::from_secs(5))
///     .thread_name_prefix("disk")
///     .stack_size(128 * 1024)
///     .build();
/// let name = pool.submit(|| std::thread::current().name().map(str::to_owned));
/// assert!(name.result(None).unwrap().unwrap().starts_with("disk"));
/// ```
#[derive(Clone, Debug)]
#[must_use = "call build"]
pub struct ThreadPoolBuilder {
    max_workers: usize,
    idle_timeout: Duration,
    thread_name_prefix: String,
    stack_size: Option<usize>,
    initializer: Option<Initializer>,
}

impl ThreadPoolBuilder {
    fn new() -> Self {
        ThreadPoolBuilder {
            max_workers: default_max_workers(),
            idle_timeout: Duration::from_secs(10),
            thread_name_prefix: "asyncio".to_owned(),
            stack_size: None,
            initializer: None,
        }
    }

    /// Sets the maximum number of threads. Default: the number of processors plus four, at most 32,
    /// as in Python.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::builder().max_workers(2).build();
    /// let jobs = [1, 2, 3, 4].map(|number| pool.submit(move || number));
    /// assert_eq!(jobs.map(|job| job.result(None).unwrap()), [1, 2, 3, 4]);
    /// assert!(pool.workers() <= 2);
    /// ```
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        assert!(max_workers > 0, "a thread pool needs at least one worker");
        self.max_workers = max_workers;
        self
    }

    /// Sets the time without work after which a thread ends. Default: ten seconds.
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = idle_timeout;
        self
    }

    /// Sets the prefix of the threads' names, "asyncio" by default; an underscore and a number from
    /// 0 follow.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::builder().thread_name_prefix("disk").build();
    /// let name = pool.submit(|| std::thread::current().name().map(str::to_owned));
    /// assert!(name.result(None).unwrap().unwrap().starts_with("disk"));
    /// ```
    pub fn thread_name_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.thread_name_prefix = prefix.into();
        self
    }

    /// Sets the size of each thread's stack in bytes. Default: that of `std::thread`.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// Calls `initializer` at the start of each thread, before its first job. If it panics, that is
    /// reported, and the thread still takes jobs.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// thread_local! {
    ///     static LOCALE: Cell<&'static str> = const { Cell::new("C") };
    /// }
    ///
    /// let pool = ThreadPoolExecutor::builder().initializer(|| LOCALE.set("de_DE")).build();
    /// assert_eq!(pool.submit(|| LOCALE.get()).result(None).unwrap(), "de_DE");
    /// ```
    pub fn initializer(mut self, initializer: impl Fn() + Send + Sync + 'static) -> Self {
        self.initializer = Some(Initializer(Arc::new(initializer)));
        self
    }

    /// Makes the pool; its threads start on demand.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let pool = ThreadPoolExecutor::builder().build();
    /// assert_eq!(pool.submit(|| 1).result(None).unwrap(), 1);
    /// ```
    #[must_use]
    #[track_caller]
    pub fn build(self) -> ThreadPoolExecutor {
        let shared = Shared {
            queue: Mutex::new(WorkQueue::new(self.max_workers)),
            queued: AtomicUsize::new(0),
            idle_timeout: self.idle_timeout,
            thread_name_prefix: self.thread_name_prefix,
            stack_size: self.stack_size,
            initializer: self.initializer,
        };
        ThreadPoolExecutor { shared: Arc::new(shared), site: Location::caller() }
    }
}

/// The function that each thread calls first.
#[derive(Clone)]
pub(super) struct Initializer(Arc<dyn Fn() + Send + Sync>);

impl Initializer {
    pub(super) fn call(&self) {
        report::caught("the initializer of a thread pool", || (self.0)());
    }
}

impl fmt::Debug for Initializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Initializer")
    }
}

fn default_max_workers() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    (processors + 4).min(32)
}

/// A job that a [`ThreadPoolExecutor`] runs at this moment.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
/// use asyncio_loop::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::builder().thread_name_prefix("disk").build();
/// let ((tell, started), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
/// pool.submit(move || (tell.send(()), held.recv().is_err()).1);
/// started.recv().unwrap();
/// assert!(pool.running_jobs()[0].thread().starts_with("disk"));
/// drop(release);
/// ```
#[derive(Clone, Debug)]
pub struct RunningJob {
    site: &'static Location<'static>,
    thread: String,
}

impl RunningJob {
    /// Returns the place where the job was submitted.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }

    /// Returns the name of the thread that runs it.
    #[must_use]
    pub fn thread(&self) -> &str {
        &self.thread
    }
}

impl fmt::Display for RunningJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "job submitted at {} on thread {}", self.site, self.thread)
    }
}

/// The error of [`ThreadPoolExecutor::join`]: the time was over, and these jobs still run.
///
/// # Examples
///
/// ```
/// use std::sync::mpsc;
/// use std::time::Duration;
/// use asyncio_loop::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::default();
/// let ((tell, started), (release, held)) = (mpsc::channel(), mpsc::channel::<()>());
/// pool.submit(move || (tell.send(()), held.recv().is_err()).1);
/// started.recv().unwrap();
/// let stuck = pool.join(Some(Duration::ZERO)).unwrap_err();
/// assert_eq!((stuck.jobs().len(), stuck.queued()), (1, 0));
/// drop(release);
/// ```
#[derive(Clone, Debug)]
pub struct StuckJobs {
    jobs: Vec<RunningJob>,
    queued: usize,
}

impl StuckJobs {
    /// Returns the jobs that still run.
    #[must_use]
    pub fn jobs(&self) -> &[RunningJob] {
        &self.jobs
    }

    /// Returns the number of jobs that wait in the queue.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }
}

impl fmt::Display for StuckJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("executor did not finish joining its threads:")?;
        for (index, job) in self.jobs.iter().enumerate() {
            let separator = if index == 0 { " " } else { ", " };
            write!(f, "{separator}{job}")?;
        }
        match self.queued {
            0 => Ok(()),
            queued => write!(f, " and {queued} queued"),
        }
    }
}

impl Error for StuckJobs {}
