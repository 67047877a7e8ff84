//! Jobs: functions for another thread, with the place for their result in the same allocation.

use std::any::type_name;
use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Arc, PoisonError};

use crate::primitives::Mutex;
use crate::report;
use crate::thread_future::{Cell, HasCell};
use crate::{JobError, Panic, ThreadFuture};

/// A function that waits to be run by an [`Executor`](crate::Executor).
///
/// Run it with [`run`](Self::run); its panics are caught and become the error of its
/// [`ThreadFuture`]. Dropping a job cancels it, so no task waits forever.
///
/// ```
/// use asyncio_loop::Job;
///
/// let (job, future) = Job::new(|| 6 * 7);
/// std::thread::spawn(move || job.run());
/// assert_eq!(future.result(None).unwrap(), 42);
/// ```
#[must_use = "a job that is dropped is cancelled"]
pub struct Job {
    /// Taken when the job is run or refused.
    cell: Option<Arc<dyn RunJob>>,
    site: &'static Location<'static>,
}

/// [`JobCell`] without the types of its function and value.
trait RunJob: Send + Sync {
    fn run(self: Arc<Self>);
    fn fail(self: Arc<Self>, error: JobError);
    fn function_name(&self) -> &'static str;
}

struct JobCell<F, T> {
    /// Taken by the thread that runs the job, or dropped when the job is cancelled.
    function: Mutex<Option<F>>,
    cell: Cell<T>,
}

impl Job {
    /// Makes a job of `function`, and the future of its value. The place of this call counts as the
    /// place where the job was submitted.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Job;
    ///
    /// let (job, future) = Job::new(|| 6 * 7);
    /// assert!(!future.is_done());
    /// job.run();
    /// assert_eq!(future.result(None).unwrap(), 42);
    /// ```
    #[doc(hidden)]
    #[track_caller]
    pub fn new<F, T>(function: F) -> (Job, ThreadFuture<T>)
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        Self::try_new(move || Ok(function()))
    }

    /// Does the same as [`new`](Self::new), for a function that returns the outcome of the future
    /// itself: for executors that can fail in their own ways.
    ///
    /// ```
    /// use asyncio_loop::{Job, JobError};
    ///
    /// let (job, future) = Job::try_new(|| Err::<u8, _>(JobError::Failed("no worker".into())));
    /// job.run();
    /// assert!(matches!(future.result(None), Err(JobError::Failed(_))));
    /// ```
    #[doc(hidden)]
    #[track_caller]
    pub fn try_new<F, T>(function: F) -> (Job, ThreadFuture<T>)
    where
        F: FnOnce() -> Result<T, JobError> + Send + 'static,
        T: Send + 'static,
    {
        let function = Mutex::new(Some(function));
        let cell = Arc::new(JobCell { function, cell: Cell::new() });
        let future = ThreadFuture { cell: Arc::clone(&cell) as Arc<dyn HasCell<T>> };
        (Job { cell: Some(cell), site: Location::caller() }, future)
    }

    /// Sets the place where the job was submitted, for functions that submit jobs for their
    /// callers.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::panic::Location;
    /// use asyncio_loop::Job;
    ///
    /// let here = Location::caller();
    /// let (job, _future) = Job::new(|| 1);
    /// assert_eq!(job.submitted_at(here).site(), here);
    /// ```
    #[doc(hidden)]
    pub fn submitted_at(mut self, site: &'static Location<'static>) -> Job {
        self.site = site;
        self
    }

    /// Runs the function on this thread, unless the job was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Job;
    ///
    /// let (job, future) = Job::new(|| std::thread::current().id());
    /// job.run();
    /// assert_eq!(future.result(None).unwrap(), std::thread::current().id());
    /// ```
    pub fn run(mut self) {
        if let Some(cell) = self.cell.take() {
            cell.run();
        }
    }

    /// Ends the job without running it: its future gets `error`.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::{Job, JobError};
    ///
    /// let (job, future) = Job::new(|| 1);
    /// job.fail(JobError::ExecutorShutdown);
    /// assert!(matches!(future.result(None), Err(JobError::ExecutorShutdown)));
    /// ```
    pub fn fail(mut self, error: JobError) {
        if let Some(cell) = self.cell.take() {
            cell.fail(error);
        }
    }

    /// Returns the place where the job was submitted.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Job;
    ///
    /// let (job, _future) = Job::new(|| 1);
    /// assert!(job.site().line() > 0);
    /// ```
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.site
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        if let Some(cell) = self.cell.take() {
            cell.fail(JobError::Cancelled);
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.cell.as_ref().map(|cell| cell.function_name());
        f.debug_struct("Job").field("function", &function).field("site", &self.site).finish()
    }
}

impl<F, T> JobCell<F, T> {
    fn take_function(&self) -> Option<F> {
        self.function.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Drops the function without running it. If a destructor panics, that is reported.
    fn drop_function(&self) {
        if let Some(function) = self.take_function() {
            report::caught(type_name::<F>(), || drop(function));
        }
    }
}

impl<F, T> RunJob for JobCell<F, T>
where
    F: FnOnce() -> Result<T, JobError> + Send + 'static,
    T: Send + 'static,
{
    fn run(self: Arc<Self>) {
        if !self.cell.start() {
            return;
        }
        let Some(function) = self.take_function() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(function));
        let outcome =
            outcome.unwrap_or_else(|payload| Err(JobError::Panicked(Panic::new(payload))));
        ThreadFuture { cell: self as Arc<dyn HasCell<T>> }.complete(outcome);
    }

    fn fail(self: Arc<Self>, error: JobError) {
        self.drop_function();
        ThreadFuture { cell: self as Arc<dyn HasCell<T>> }.complete(Err(error));
    }

    fn function_name(&self) -> &'static str {
        type_name::<F>()
    }
}

impl<F, T> HasCell<T> for JobCell<F, T>
where
    F: Send,
    T: Send,
{
    fn cell(&self) -> &Cell<T> {
        &self.cell
    }

    fn discard(&self) {
        self.drop_function();
    }
}
