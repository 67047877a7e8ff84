//! Retrying failed operations.

mod backoff;

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use asyncio_loop::machinery::{AroundUser, around_user};
use asyncio_loop::running_loop;

pub use self::backoff::Backoff;
use crate::sleep::sleep;

/// Calls `attempt` until it succeeds, with growing pauses between the calls: three times at most,
/// unless [`times`](Retry::times) says otherwise.
///
/// The result is that of the last attempt. An attempt that panics or is cancelled is not tried
/// again.
///
/// # Cancel safety
///
/// Dropping the future drops the attempt that is under way.
///
/// # From asyncio
///
/// asyncio has no such function; Python programs use the packages tenacity and backoff.
///
/// # Examples
///
/// ```
/// use std::io;
/// use std::time::Duration;
/// use asyncio_task::{Runner, retry};
///
/// let mut calls = 0;
/// let answer = Runner::builder().virtual_time(true).run(async {
///     retry(async || {
///         calls += 1;
///         if calls < 3 { Err(io::Error::from(io::ErrorKind::ConnectionRefused)) } else { Ok(42) }
///     })
///     .times(5)
///     .backoff(Duration::from_millis(50))
///     .when(|error| error.kind() == io::ErrorKind::ConnectionRefused)
///     .within(Duration::from_secs(10))
///     .await
/// });
/// assert_eq!(answer.unwrap(), 42);
/// ```
pub fn retry<'a, T, E, F>(attempt: F) -> Retry<'a, F, E>
where
    F: AsyncFnMut() -> Result<T, E> + 'a,
{
    Retry { attempt, times: 3, backoff: Backoff::default(), within: None, when: None }
}

/// The builder that [`retry`] returns. Await it to make the attempts.
#[must_use = "nothing is tried before `.await`"]
pub struct Retry<'a, F, E> {
    attempt: F,
    times: u32,
    backoff: Backoff,
    within: Option<Duration>,
    when: Option<Predicate<'a, E>>,
}

/// Whether to try again after this error.
type Predicate<'a, E> = Box<dyn FnMut(&E) -> bool + 'a>;

impl<'a, F, E> Retry<'a, F, E> {
    /// Makes at most this many attempts; `u32::MAX` stands for any number.
    ///
    /// # Panics
    ///
    /// If `times` is 0: there would be no result.
    pub fn times(self, times: u32) -> Self {
        assert!(times > 0, "there is one attempt at least");
        Self { times, ..self }
    }

    /// Sets the pauses between attempts: a [`Backoff`], or the duration of the first pause, which
    /// stands for [`Backoff::new`]. Default: [`Backoff::default`].
    pub fn backoff(self, backoff: impl Into<Backoff>) -> Self {
        Self { backoff: backoff.into(), ..self }
    }

    /// Starts no attempt when `limit` has passed since the first one started. An attempt that is
    /// under way then is not cut short: put a [`timeout`](fn@crate::timeout) into it, or around the
    /// whole.
    pub fn within(self, limit: Duration) -> Self {
        Self { within: Some(limit), ..self }
    }

    /// Tries again only after errors for which `is_transient` returns true. Any other error is
    /// returned at once.
    pub fn when(self, is_transient: impl FnMut(&E) -> bool + 'a) -> Self {
        Self { when: Some(Box::new(is_transient)), ..self }
    }
}

impl<'a, F, E> Retry<'a, F, E> {
    async fn run<T>(mut self) -> Result<T, E>
    where
        F: AsyncFnMut() -> Result<T, E> + 'a,
    {
        let start = running_loop().time();
        let mut attempts = 1;
        loop {
            let error = match (self.attempt)().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            let is_transient = self.when.as_mut().is_none_or(|when| when(&error));
            if !is_transient || attempts == self.times {
                return Err(error);
            }
            let pause = self.backoff.next().unwrap_or_default();
            let waited = running_loop().time() - start;
            if self.within.is_some_and(|limit| waited.saturating_add(pause) > limit) {
                return Err(error);
            }
            sleep(pause).await;
            attempts = attempts.saturating_add(1);
        }
    }
}

impl<'a, T, E, F> IntoFuture for Retry<'a, F, E>
where
    T: 'a,
    E: 'a,
    F: AsyncFnMut() -> Result<T, E> + 'a,
{
    type Output = Result<T, E>;
    type IntoFuture = AroundUser<Pin<Box<dyn Future<Output = Self::Output> + 'a>>>;

    fn into_future(self) -> Self::IntoFuture {
        around_user(Box::pin(self.run()), &file!())
    }
}

impl<F, E> fmt::Debug for Retry<'_, F, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("times", &self.times)
            .field("backoff", &self.backoff)
            .field("within", &self.within)
            .finish_non_exhaustive()
    }
}
