//! The errors of tasks and promises.

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

use asyncio_loop::{CancelReason, Panic};

/// The reason why a task has no value.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, run};
///
/// run(async {
///     let error = create_task(async { panic!("no luck") }).await.unwrap_err();
///     assert!(error.is_panicked());
///     assert_eq!(error.to_string(), "task panicked: no luck");
/// });
/// ```
///
/// It converts into an [`io::Error`], so in a function of `io::Result`, a task that returns an
/// `io::Result` is awaited with `??`:
///
/// ```
/// use std::io;
/// use asyncio_task::{create_task, run};
///
/// let length = run(async {
///     let task = create_task(async {
///         io::Result::Ok(std::env::current_exe()?.as_os_str().len())
///     });
///     io::Result::Ok(task.await??)
/// });
/// assert!(length.unwrap() > 0);
/// ```
#[derive(Debug)]
pub enum JoinError {
    /// The task was cancelled.
    Cancelled(CancelReason),
    /// The task panicked.
    Panicked(Panic),
}

impl JoinError {
    /// Whether the task was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     let task = create_task(async {});
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// Whether the task panicked.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_task, run};
    ///
    /// run(async {
    ///     assert!(create_task(async { panic!("no luck") }).await.unwrap_err().is_panicked());
    /// });
    /// ```
    #[must_use]
    pub fn is_panicked(&self) -> bool {
        matches!(self, Self::Panicked(_))
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled(reason) => write!(f, "task was {reason}"),
            Self::Panicked(panic) => write!(f, "task panicked: {panic}"),
        }
    }
}

impl Error for JoinError {}

/// For `task.await??` in functions of [`io::Result`].
impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> Self {
        io::Error::other(error)
    }
}

/// The error of a promise, shared by all its awaiters. It is `Send + Sync`, so `?` turns a
/// [`PromiseError`] into any boxed error.
///
/// # Examples
///
/// ```
/// use std::io;
/// use asyncio_task::{create_future, run};
///
/// run(async {
///     let promise = create_future::<u8>();
///     promise.set_exception(io::Error::from(io::ErrorKind::TimedOut)).unwrap();
///     let error = promise.exception().unwrap().unwrap();
///     assert_eq!(error.downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::TimedOut);
///
///     type Boxed = Box<dyn std::error::Error + Send + Sync>;
///     async fn value(promise: asyncio_task::Promise<u8>) -> Result<u8, Boxed> {
///         Ok(promise.await?)
///     }
///     assert_eq!(value(promise).await.unwrap_err().to_string(), "timed out");
/// });
/// ```
pub type Exception = Arc<dyn Error + Send + Sync>;

/// The reason why a promise has no value.
///
/// # Examples
///
/// ```
/// use asyncio_task::{PromiseError, create_future, run};
///
/// run(async {
///     let promise = create_future::<u8>();
///     assert!(matches!(promise.result(), Err(PromiseError::Pending)));
///     promise.cancel();
///     assert!(matches!(promise.result(), Err(PromiseError::Cancelled(_))));
/// });
/// ```
#[derive(Clone, Debug)]
pub enum PromiseError {
    /// The promise is pending. Only calls that do not wait return this.
    Pending,
    /// The promise was cancelled.
    Cancelled(CancelReason),
    /// The promise was given an error instead of a value.
    Exception(Exception),
}

impl PromiseError {
    /// Whether the promise was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     promise.cancel();
    ///     assert!(promise.result().unwrap_err().is_cancelled());
    /// });
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled(_))
    }

    /// The error that the promise was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{create_future, run};
    ///
    /// run(async {
    ///     let promise = create_future::<u8>();
    ///     promise.set_exception("no luck").unwrap();
    ///     assert_eq!(promise.await.unwrap_err().exception().unwrap().to_string(), "no luck");
    /// });
    /// ```
    #[must_use]
    pub fn exception(&self) -> Option<&Exception> {
        match self {
            Self::Exception(error) => Some(error),
            _ => None,
        }
    }
}

impl fmt::Display for PromiseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("result is not set"),
            Self::Cancelled(reason) => write!(f, "promise was {reason}"),
            Self::Exception(error) => error.fmt(f),
        }
    }
}

impl Error for PromiseError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Exception(error) => Some(&**error),
            _ => None,
        }
    }
}

/// The error of setting a promise that is done already. The field gives the refused value back.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_future, run};
///
/// run(async {
///     let promise = create_future();
///     promise.set_result(1).unwrap();
///     let refused = promise.set_result(2).unwrap_err();
///     assert_eq!(refused.0, 2);
///     assert_eq!(refused.to_string(), "invalid state: the promise is done already");
/// });
/// ```
#[doc(alias = "InvalidStateError")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvalidState<T>(pub T);

impl<T> fmt::Debug for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InvalidState")
    }
}

impl<T> fmt::Display for InvalidState<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid state: the promise is done already")
    }
}

impl<T> Error for InvalidState<T> {}
