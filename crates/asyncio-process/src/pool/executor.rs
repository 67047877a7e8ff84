//! The process pool: a thread pool whose jobs each communicate with one worker.

use std::fmt;
use std::num::NonZero;
use std::panic::Location;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use asyncio_loop::machinery::report_unclosed;
use asyncio_loop::{
    Executor, Job, JobError, Panic, RunningJob, StuckJobs, ThreadFuture, ThreadPoolExecutor,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::child::{CallError, Worker, WorkerProcess};
use super::error::PoolError;
use super::frame::{self, Calls, Reply};
use super::function::{self, PoolFunction};
use crate::resource::Resource;
use crate::setup::{Limit, Setup};

/// Runs registered functions in worker processes of the same executable.
///
/// # When to use it
///
/// In Python a process pool is the way to use several processors. In Rust threads do that, and a
/// [`ThreadPoolExecutor`] hands a job over ten times faster and without encoding. Processes give
/// *isolation*: a function that may crash (a C library, hostile input), leak, or run forever
/// affects only itself. Its job gets a clear error, its worker is killed and replaced, and all
/// other jobs go on.
///
/// # How it works
///
/// Workers are started on demand, up to [`max_workers`](ProcessPoolBuilder::max_workers), and end
/// with the pool or with the process that owns it, however that ends. Arguments and results are
/// encoded by `serde`. `main` has to call [`init_process_pool`](crate::init_process_pool).
///
/// In a task, await the future of a job. In [`wrap_future`](asyncio_loop::wrap_future), a job that
/// has not started is cancelled with the task that waits for it.
///
/// # From asyncio
///
/// `concurrent.futures.ProcessPoolExecutor`, but a worker that dies fails its own job only: there
/// is no `BrokenProcessPool`. Time limits are new.
///
/// # Examples
///
/// ```standalone_crate
/// use asyncio_process::{PoolFunction, ProcessPoolExecutor, init_process_pool};
///
/// static CRASH: PoolFunction<i32, ()> =
///     PoolFunction::new("crash", |code| std::process::exit(code));
/// static DOUBLE: PoolFunction<i32, i32> = PoolFunction::new("double", |n| 2 * n);
///
/// fn main() {
///     init_process_pool(&[&CRASH, &DOUBLE]);
///     let pool = ProcessPoolExecutor::new(2);
///     assert!(pool.submit(&CRASH, 3).result(None).is_err());
///     assert_eq!(pool.submit(&DOUBLE, 4).result(None).unwrap(), 8);
/// }
/// ```
pub struct ProcessPoolExecutor {
    /// It has as many threads as there may be workers, so a job that has a thread gets a worker.
    threads: ThreadPoolExecutor,
    shared: Arc<Shared>,
    /// The place of the call that made the pool.
    site: &'static Location<'static>,
}

struct Shared {
    workers: Mutex<Workers>,
    time_limit: Option<Duration>,
    max_tasks_per_child: Option<NonZero<usize>>,
    worker_arguments: Vec<String>,
    worker_setup: Setup,
}

#[derive(Default)]
struct Workers {
    idle: Vec<Worker>,
    busy: Vec<WorkerProcess>,
    closing: bool,
}

impl ProcessPoolExecutor {
    /// Makes a pool of at most `max_workers` workers, which start on demand. `default()` allows as
    /// many workers as there are processors.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    #[must_use]
    #[track_caller]
    pub fn new(max_workers: usize) -> Self {
        Self::builder().max_workers(max_workers).build()
    }

    /// Returns a builder for a pool with options.
    pub fn builder() -> ProcessPoolBuilder {
        ProcessPoolBuilder::new()
    }

    /// Calls `function` with `arguments` in a worker, and returns the future of its value.
    ///
    /// The future fails with [`JobError::Panicked`] if the function panics, with
    /// [`JobError::ExecutorShutdown`] after a shutdown, and with [`JobError::Failed`] and a
    /// [`PoolError`] if the worker dies, is killed or does not communicate properly.
    #[track_caller]
    pub fn submit<A, R>(
        &self,
        function: &'static PoolFunction<A, R>,
        arguments: A,
    ) -> ThreadFuture<R>
    where
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        self.submit_within(self.shared.time_limit, function, arguments)
    }

    /// Does the same as [`submit`](Self::submit), with its own time limit; `None` stands for no
    /// limit.
    ///
    /// The time is counted from the moment at which a worker gets the job. When it is over, the
    /// worker is killed, and the future fails with [`PoolError::TimeLimit`].
    #[track_caller]
    pub fn submit_within<A, R>(
        &self,
        limit: Option<Duration>,
        function: &'static PoolFunction<A, R>,
        arguments: A,
    ) -> ThreadFuture<R>
    where
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        let name = function.name();
        self.execute(move |shared| shared.call(limit, Calls::One, name, &arguments))
    }

    /// Calls `function` with each of `arguments` in one worker.
    #[track_caller]
    pub(super) fn submit_chunk<A, R>(
        &self,
        function: &'static PoolFunction<A, R>,
        arguments: Vec<A>,
    ) -> ThreadFuture<Vec<R>>
    where
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        let (limit, name) = (self.shared.time_limit, function.name());
        self.execute(move |shared| shared.call(limit, Calls::Each, name, &arguments))
    }

    #[track_caller]
    fn execute<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Shared) -> Result<R, JobError> + Send + 'static,
    ) -> ThreadFuture<R> {
        let shared = Arc::clone(&self.shared);
        let (job, future) = Job::try_new(move || call(&shared));
        self.threads.execute(job);
        future
    }

    /// Refuses new jobs from now on, and ends the workers when the queue is empty. See
    /// [`ThreadPoolExecutor::shutdown`].
    pub fn shutdown(&self) -> ThreadFuture<()> {
        let idle = {
            let mut workers = self.shared.workers();
            workers.closing = true;
            std::mem::take(&mut workers.idle)
        };
        let ended = self.threads.shutdown();
        drop(idle);
        ended
    }

    /// Cancels every job that has not started, and returns their number.
    #[doc(alias = "cancel_futures")]
    pub fn cancel_queued(&self) -> usize {
        self.threads.cancel_queued()
    }

    /// Kills every worker that runs a job; the jobs fail with [`PoolError::WorkerDied`]. Returns
    /// the number of workers. Queued jobs go on in new ones.
    pub fn kill_workers(&self) -> usize {
        let workers = self.shared.workers();
        workers.busy.iter().filter(|worker| worker.kill().is_ok()).count()
    }

    /// Shuts the pool down and blocks this thread until its workers have ended, at most for
    /// `timeout`.
    ///
    /// # Errors
    ///
    /// [`StuckJobs`] with the jobs that still run. Kill them with
    /// [`kill_workers`](Self::kill_workers).
    pub fn join(&self, timeout: Option<Duration>) -> Result<(), StuckJobs> {
        drop(self.shutdown());
        self.threads.join(timeout)
    }

    /// Returns the jobs that run at this moment.
    #[must_use]
    pub fn running_jobs(&self) -> Vec<RunningJob> {
        self.threads.running_jobs()
    }

    /// Returns the number of jobs that have not started.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.threads.queued()
    }

    /// Returns the process IDs of the workers, busy or idle.
    #[must_use]
    pub fn worker_pids(&self) -> Vec<u32> {
        let workers = self.shared.workers();
        let idle = workers.idle.iter().map(|worker| worker.process().pid());
        idle.chain(workers.busy.iter().map(WorkerProcess::pid)).collect()
    }
}

impl Default for ProcessPoolExecutor {
    #[track_caller]
    fn default() -> Self {
        Self::builder().build()
    }
}

impl Drop for ProcessPoolExecutor {
    fn drop(&mut self) {
        let (running, queued) = (self.running_jobs().len(), self.queued());
        if running + queued > 0 && !self.shared.workers().closing {
            let message = "a process pool was dropped with jobs left, without being shut down";
            report_unclosed(message, self.site, |context| {
                context.field("running", running).field("queued", queued)
            });
        }
        drop(self.shutdown());
    }
}

impl fmt::Debug for ProcessPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPoolExecutor")
            .field("workers", &self.worker_pids())
            .field("queued", &self.queued())
            .finish()
    }
}

impl Shared {
    fn workers(&self) -> MutexGuard<'_, Workers> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the function in a worker; runs on one of the pool's threads.
    fn call<A: Serialize, R: DeserializeOwned>(
        &self,
        limit: Option<Duration>,
        calls: Calls,
        name: &'static str,
        arguments: &A,
    ) -> Result<R, JobError> {
        let encoding = |error: postcard::Error| PoolError::Encoding {
            function: name,
            reason: error.to_string(),
        };
        check_registered(name)?;
        let arguments = postcard::to_stdvec(arguments).map_err(encoding)?;
        let request = frame::request(calls, name, &arguments).map_err(PoolError::Io)?;
        match self.exchange(limit, name, &request)? {
            Reply::Value(bytes) => Ok(postcard::from_bytes(&bytes).map_err(encoding)?),
            Reply::Panicked(text) => Err(JobError::Panicked(Panic::new(Box::new(text)))),
            Reply::Unreadable(reason) => Err(PoolError::Encoding { function: name, reason }.into()),
            Reply::Unknown => Err(PoolError::NotRegistered { function: name }.into()),
        }
    }

    fn exchange(
        &self,
        limit: Option<Duration>,
        function: &'static str,
        request: &[u8],
    ) -> Result<Reply, PoolError> {
        let mut worker = self.take_worker().map_err(PoolError::Start)?;
        let pid = worker.process().pid();
        let reply = worker.call(request, limit);
        self.give_back(worker, reply.is_ok());
        reply.map_err(|error| match error {
            CallError::Died(status) => PoolError::WorkerDied { function, pid, status },
            CallError::TimeLimit => {
                PoolError::TimeLimit { function, limit: limit.unwrap_or_default() }
            }
            CallError::Io(error) => PoolError::Io(error),
        })
    }

    fn take_worker(&self) -> std::io::Result<Worker> {
        let worker = match self.take_idle() {
            Some(worker) => worker,
            None => Worker::start(&self.worker_arguments, &self.worker_setup)?,
        };
        self.workers().busy.push(worker.process().clone());
        Ok(worker)
    }

    /// An idle worker that has not died meanwhile.
    fn take_idle(&self) -> Option<Worker> {
        loop {
            let worker = self.workers().idle.pop()?;
            if !worker.process().has_ended() {
                return Some(worker);
            }
        }
    }

    /// Keeps a worker for the next job. If it has failed, has reached its maximum number of jobs,
    /// or the pool is closing, it is killed or asked to end.
    fn give_back(&self, worker: Worker, sound: bool) {
        let worn = self.max_tasks_per_child.is_some_and(|max| worker.jobs() >= max.get());
        let mut workers = self.workers();
        workers.busy.retain(|busy| busy.pid() != worker.process().pid());
        if sound && !worn && !workers.closing {
            workers.idle.push(worker);
            return;
        }
        drop(workers);
        if !sound {
            // An error means that the worker has ended by itself.
            let _ = worker.process().kill();
        }
        drop(worker);
    }
}

fn check_registered(function: &'static str) -> Result<(), PoolError> {
    if !function::is_initialised() {
        return Err(PoolError::NotInitialised);
    }
    function::find(function).map(drop).ok_or(PoolError::NotRegistered { function })
}

/// The options of a [`ProcessPoolExecutor`].
#[derive(Clone, Debug)]
#[must_use = "call build"]
pub struct ProcessPoolBuilder {
    max_workers: usize,
    time_limit: Option<Duration>,
    max_tasks_per_child: Option<NonZero<usize>>,
    worker_arguments: Vec<String>,
    worker_setup: Setup,
}

impl ProcessPoolBuilder {
    fn new() -> Self {
        ProcessPoolBuilder {
            max_workers: thread::available_parallelism().map_or(1, NonZero::get),
            time_limit: None,
            max_tasks_per_child: None,
            worker_arguments: Vec::new(),
            worker_setup: Setup::default(),
        }
    }

    /// Sets the maximum number of workers. Default: the number of processors.
    ///
    /// # Panics
    ///
    /// If `max_workers` is 0.
    pub fn max_workers(mut self, max_workers: usize) -> Self {
        assert!(max_workers > 0, "a process pool needs at least one worker");
        self.max_workers = max_workers;
        self
    }

    /// Sets how long a job may run before its worker is killed. Default: no limit.
    pub fn time_limit(mut self, limit: Duration) -> Self {
        self.time_limit = Some(limit);
        self
    }

    /// Sets the number of jobs after which a worker is replaced by a new one, which limits leaks of
    /// the functions. Default: never.
    pub fn max_tasks_per_child(mut self, jobs: NonZero<usize>) -> Self {
        self.max_tasks_per_child = Some(jobs);
        self
    }

    /// Sets the command line arguments of the workers. Default: none. Meant for programs that read
    /// their arguments before they call [`init_process_pool`](crate::init_process_pool).
    pub fn worker_args<I>(mut self, arguments: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.worker_arguments = arguments.into_iter().map(Into::into).collect();
        self
    }

    /// Limits how much of a resource each worker may use, over all its jobs. See
    /// [`Command::resource_limit`](crate::Command::resource_limit).
    ///
    /// A job that reaches a limit usually ends its worker: [`PoolError::WorkerDied`]. If the system
    /// refuses the limit, jobs fail with [`PoolError::Start`]. With a limit on memory the workers
    /// write no backtraces, because those need memory.
    pub fn resource_limit(mut self, resource: Resource, limit: u64) -> Self {
        self.worker_setup.limits.push(Limit { resource, soft: limit, hard: Some(limit) });
        self
    }

    /// Makes the pool; its workers start on demand.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> ProcessPoolExecutor {
        let threads = ThreadPoolExecutor::builder()
            .max_workers(self.max_workers)
            .thread_name_prefix("asyncio_pool")
            .build();
        let shared = Shared {
            workers: Mutex::default(),
            time_limit: self.time_limit,
            max_tasks_per_child: self.max_tasks_per_child,
            worker_arguments: self.worker_arguments,
            worker_setup: self.worker_setup,
        };
        ProcessPoolExecutor { threads, shared: Arc::new(shared), site: Location::caller() }
    }
}
