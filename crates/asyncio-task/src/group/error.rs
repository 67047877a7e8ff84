//! The error of a group.

use std::error::Error;
use std::fmt;
use std::io;

/// All errors of a group: the children's in the order in which they failed, then the body's.
///
/// It is empty only if the group was ended by [`TaskGroup::cancel`](crate::TaskGroup::cancel)
/// before its body had a value.
///
/// # From asyncio
///
/// `ExceptionGroup`. There is no `except*`: look through [`errors`](Self::errors). A group inside a
/// group gives an error that is itself a group.
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, task_group};
///
/// let error = run(task_group(async |group| {
///     group.create_task(async { Err::<(), _>("disk full") });
///     group.create_task(async { Err::<(), _>("no route") });
///     Ok(())
/// }))
/// .unwrap_err();
/// assert_eq!(error.errors(), ["disk full", "no route"]);
/// assert_eq!(error.to_string(), "2 errors in a task group: disk full; no route");
/// ```
#[doc(alias = "BaseExceptionGroup")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExceptionGroup<E> {
    errors: Vec<E>,
}

impl<E> ExceptionGroup<E> {
    pub(crate) fn new(errors: Vec<E>) -> Self {
        Self { errors }
    }

    /// The errors, in the order in which they happened; the body's comes last.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let failed = task_group(async |group| {
    ///         group.create_task(async { Err::<(), _>("disk full") });
    ///         Ok(())
    ///     });
    ///     assert_eq!(failed.await.unwrap_err().errors(), ["disk full"]);
    /// });
    /// ```
    #[must_use]
    pub fn errors(&self) -> &[E] {
        &self.errors
    }

    /// Whether there is no error: the group was only cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let ended = task_group(async |group| {
    ///         group.cancel();
    ///         std::future::pending::<Result<(), &str>>().await
    ///     });
    ///     assert!(ended.await.unwrap_err().is_empty());
    /// });
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// The errors.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, task_group};
    ///
    /// run(async {
    ///     let failed = task_group(async |group| {
    ///         group.create_task(async { Err::<(), _>("disk full") });
    ///         Ok(())
    ///     });
    ///     assert_eq!(failed.await.unwrap_err().into_errors(), vec!["disk full"]);
    /// });
    /// ```
    #[must_use]
    pub fn into_errors(self) -> Vec<E> {
        self.errors
    }
}

impl<E> IntoIterator for ExceptionGroup<E> {
    type Item = E;
    type IntoIter = std::vec::IntoIter<E>;

    fn into_iter(self) -> Self::IntoIter {
        self.errors.into_iter()
    }
}

impl<E: fmt::Display> fmt::Display for ExceptionGroup<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.errors.len() {
            0 => return f.write_str("the task group was cancelled"),
            1 => f.write_str("1 error in a task group: ")?,
            n => write!(f, "{n} errors in a task group: ")?,
        }
        for (n, error) in self.errors.iter().enumerate() {
            let separator = if n == 0 { "" } else { "; " };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

/// For `task_group(…).await?` in functions of [`io::Result`]. The kind is that of the first error.
///
/// ```
/// use std::io;
/// use asyncio_task::{run, task_group};
///
/// async fn work() -> io::Result<()> {
///     task_group(async |group| {
///         group.create_task(async { Err::<(), _>(io::Error::from(io::ErrorKind::NotFound)) });
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
///
/// let error = run(work()).unwrap_err();
/// assert_eq!(error.kind(), io::ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "1 error in a task group: entity not found");
/// ```
impl From<ExceptionGroup<io::Error>> for io::Error {
    fn from(group: ExceptionGroup<io::Error>) -> Self {
        let kind = group.errors.first().map_or(io::ErrorKind::Other, io::Error::kind);
        io::Error::new(kind, group)
    }
}

/// For errors of any kind: `Box<dyn Error>`, which is no `Error` itself, and strings. So there is
/// no [`source`](Error::source); the text has those of all errors, and
/// [`errors`](ExceptionGroup::errors) the errors.
///
/// ```
/// use std::error::Error;
/// use asyncio_task::{run, task_group};
///
/// async fn work() -> Result<(), Box<dyn Error>> {
///     task_group(async |group| {
///         group.create_task(async { "seven".parse::<i32>().map_err(Box::<dyn Error>::from) });
///         Ok(())
///     })
///     .await?;
///     Ok(())
/// }
///
/// let error = run(work()).unwrap_err();
/// assert_eq!(error.to_string(), "1 error in a task group: invalid digit found in string");
/// ```
impl<E: fmt::Debug + fmt::Display> Error for ExceptionGroup<E> {}
