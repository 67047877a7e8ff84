//! The error of a job.

use std::error::Error;
use std::fmt;
use std::io;

use crate::Panic;

/// The reason why a job, or another computation behind a [`ThreadFuture`](crate::ThreadFuture), has
/// no value.
///
/// All executors and bridges use this type, so that one `?` is enough:
///
/// ```
/// use asyncio_loop::{JobError, ThreadPoolExecutor};
///
/// fn divide(pool: &ThreadPoolExecutor, a: i32, b: i32) -> Result<i32, JobError> {
///     pool.submit(move || a / b).result(None)
/// }
///
/// let pool = ThreadPoolExecutor::default();
/// assert_eq!(divide(&pool, 6, 2).unwrap(), 3);
/// assert!(matches!(divide(&pool, 6, 0), Err(JobError::Panicked(_))));
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum JobError {
    /// The job was cancelled before it started, or its promise was dropped.
    Cancelled,
    /// The job's code panicked.
    Panicked(Panic),
    /// No value came within the time limit of [`result`](crate::ThreadFuture::result). The work
    /// goes on, and `result` can be called again.
    TimedOut,
    /// The executor accepts no more jobs.
    ExecutorShutdown,
    /// The loop that should have produced the value is closed.
    LoopClosed,
    /// The executor has no thread, and the system refused to start one.
    NoThread(io::Error),
    /// The wait would never end; the text gives the reason.
    WouldDeadlock(&'static str),
    /// The executor failed in its own way: for example, a worker process died.
    Failed(Box<dyn Error + Send + Sync>),
}

impl JobError {
    /// Returns true if the job was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::Job;
    ///
    /// let (job, future) = Job::new(|| 1);
    /// drop(job);
    /// assert!(future.result(None).unwrap_err().is_cancelled());
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, JobError::Cancelled)
    }

    /// Returns true if the job's code panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let future = ThreadPoolExecutor::default().submit(|| panic!("no luck"));
    /// assert!(future.result(None).unwrap_err().is_panicked());
    /// ```
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self, JobError::Panicked(_))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Cancelled => f.write_str("job was cancelled"),
            JobError::Panicked(panic) => write!(f, "job panicked: {panic}"),
            JobError::TimedOut => f.write_str("timed out waiting for the result of a job"),
            JobError::ExecutorShutdown => f.write_str("executor is shut down"),
            JobError::LoopClosed => f.write_str("event loop is closed"),
            JobError::NoThread(_) => f.write_str("executor could not start a thread"),
            JobError::WouldDeadlock(why) => write!(f, "waiting would deadlock: {why}"),
            JobError::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for JobError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            JobError::NoThread(error) => Some(error),
            // This error shows the text of `error`, so its source is the source of `error`.
            JobError::Failed(error) => error.source(),
            _ => None,
        }
    }
}

impl From<JobError> for io::Error {
    fn from(error: JobError) -> Self {
        match error {
            JobError::NoThread(error) => error,
            JobError::Failed(error) => match error.downcast() {
                Ok(error) => *error,
                Err(error) => io::Error::other(error),
            },
            JobError::TimedOut => io::Error::new(io::ErrorKind::TimedOut, error),
            other => io::Error::other(other),
        }
    }
}
