//! Why a job has no value.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::io;
use std::sync::{Mutex, PoisonError};

/// Why a job, or another computation behind a [`ThreadFuture`](crate::ThreadFuture), has no value.
///
/// The same type serves every executor and bridge, so that one `?` is enough:
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
    /// It was cancelled before it started, or its promise was dropped.
    Cancelled,
    /// Its code panicked.
    Panicked(JobPanic),
    /// No value came within the time given to [`result`](crate::ThreadFuture::result). The work
    /// goes on; ask again later.
    TimedOut,
    /// The executor accepts no more jobs.
    ExecutorShutdown,
    /// The loop that should have produced it is closed.
    LoopClosed,
    /// The executor has no thread, and the system refused to start one.
    NoThread(io::Error),
    /// Waiting here would never end; the text says why.
    WouldDeadlock(&'static str),
    /// The executor failed in a way of its own: a worker process that died, for instance.
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

    /// Returns true if the time given for waiting was over.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use asyncio_loop::ThreadPromise;
    ///
    /// let (_promise, future) = ThreadPromise::<u8>::new();
    /// assert!(future.result(Some(Duration::ZERO)).unwrap_err().is_timed_out());
    /// ```
    #[must_use]
    pub fn is_timed_out(&self) -> bool {
        matches!(self, JobError::TimedOut)
    }

    /// Returns true if the job's code panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::ThreadPoolExecutor;
    ///
    /// let future = ThreadPoolExecutor::default().submit(|| panic!("no luck"));
    /// assert!(future.result(None).unwrap_err().is_panic());
    /// ```
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self, JobError::Panicked(_))
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JobError::Cancelled => f.write_str("job was cancelled"),
            JobError::Panicked(panic) => write!(f, "job {panic}"),
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
            // It shows the text of `error`, so its own source comes next.
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

/// What a job panicked with.
///
/// It is `Sync`, as errors should be, although the payload of a panic is not.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{JobError, ThreadPoolExecutor};
///
/// let future = ThreadPoolExecutor::default().submit(|| panic!("no luck"));
/// let Err(JobError::Panicked(panic)) = future.result(None) else { unreachable!("it panicked") };
/// assert_eq!(panic.message().as_deref(), Some("no luck"));
/// ```
pub struct JobPanic {
    payload: Mutex<Box<dyn Any + Send>>,
}

impl JobPanic {
    /// Wraps the payload that [`catch_unwind`](std::panic::catch_unwind) returned.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::JobPanic;
    ///
    /// let payload = std::panic::catch_unwind(|| panic!("no luck")).unwrap_err();
    /// assert_eq!(JobPanic::new(payload).to_string(), "panicked: no luck");
    /// ```
    #[must_use]
    pub fn new(payload: Box<dyn Any + Send>) -> Self {
        Self { payload: Mutex::new(payload) }
    }

    /// Returns the payload, for [`resume_unwind`](std::panic::resume_unwind).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::JobPanic;
    ///
    /// let panic = JobPanic::new(Box::new(7_u32));
    /// assert_eq!(panic.into_payload().downcast_ref::<u32>(), Some(&7));
    /// ```
    #[must_use]
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        self.payload.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the panic's message, if the payload is a string, as that of `panic!` is.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_loop::JobPanic;
    ///
    /// assert_eq!(JobPanic::new(Box::new("no luck")).message().as_deref(), Some("no luck"));
    /// assert_eq!(JobPanic::new(Box::new(7_u32)).message(), None);
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let payload = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        match payload.downcast_ref::<&'static str>() {
            Some(message) => Some((*message).to_owned()),
            None => payload.downcast_ref::<String>().cloned(),
        }
    }
}

impl fmt::Debug for JobPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JobPanic").field(&self.message()).finish()
    }
}

impl fmt::Display for JobPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message() {
            Some(message) => write!(f, "panicked: {message}"),
            None => f.write_str("panicked"),
        }
    }
}
