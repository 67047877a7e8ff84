//! One function over many arguments.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZero;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use asyncio_loop::{JobError, ThreadFuture, WrapFuture, wrap_future};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::executor::ProcessPoolExecutor;
use super::function::PoolFunction;

impl ProcessPoolExecutor {
    /// Calls `function` with each of `arguments`, on all workers, and returns the values in the
    /// order of the arguments.
    ///
    /// The jobs are submitted when the map is awaited, or when [`result`](PoolMap::result) blocks
    /// for it. Each job has a chunk of the arguments: one, or as many as
    /// [`chunk_size`](PoolMap::chunk_size) sets.
    ///
    /// # Errors
    ///
    /// The first error in the order of the arguments: see [`submit`](Self::submit). A chunk with an
    /// error has no values. Chunks that have not started are cancelled then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the chunks that have not started; the others go on, and their
    /// values are dropped.
    ///
    /// # From asyncio
    ///
    /// `Executor.map`, which returns an iterator there; `chunksize` is a method here.
    ///
    /// # Examples
    ///
    /// ```standalone_crate
    /// use asyncio_process::{PoolFunction, ProcessPoolExecutor, init_process_pool};
    ///
    /// static SQUARE: PoolFunction<u64, u64> = PoolFunction::new("square", |n| n * n);
    ///
    /// fn main() {
    ///     init_process_pool(&[&SQUARE]);
    ///     let pool = ProcessPoolExecutor::new(2);
    ///     let squares = asyncio_task::run(async {
    ///         pool.map(&SQUARE, 1..=100).chunk_size(10).await
    ///     });
    ///     assert_eq!(squares.unwrap().iter().sum::<u64>(), 338_350);
    /// }
    /// ```
    pub fn map<A, R, I>(
        &self,
        function: &'static PoolFunction<A, R>,
        arguments: I,
    ) -> PoolMap<'_, A, R>
    where
        I: IntoIterator<Item = A>,
        A: Serialize + Send + 'static,
        R: DeserializeOwned + Send + 'static,
    {
        let arguments = arguments.into_iter().collect();
        PoolMap { pool: self, function, arguments, chunk_size: NonZero::<usize>::MIN }
    }
}

/// The builder that [`ProcessPoolExecutor::map`] returns.
#[must_use = "nothing is submitted unless it is awaited"]
pub struct PoolMap<'a, A: 'static, R: 'static> {
    pool: &'a ProcessPoolExecutor,
    function: &'static PoolFunction<A, R>,
    arguments: Vec<A>,
    chunk_size: NonZero<usize>,
}

impl<A, R> PoolMap<'_, A, R>
where
    A: Serialize + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    /// Sets the number of arguments in a job. Default: 1. With quick functions and many arguments,
    /// larger chunks save most of the communication. A time limit applies to a chunk.
    ///
    /// # Panics
    ///
    /// If `chunk_size` is 0.
    #[doc(alias = "chunksize")]
    pub fn chunk_size(mut self, chunk_size: usize) -> Self {
        self.chunk_size = NonZero::new(chunk_size).expect("a chunk has one argument at least");
        self
    }

    /// Submits the jobs and blocks this thread until all values have come, at most for `timeout`.
    ///
    /// # Errors
    ///
    /// As for [`map`](ProcessPoolExecutor::map), and [`JobError::TimedOut`].
    #[track_caller]
    pub fn result(self, timeout: Option<Duration>) -> Result<Vec<R>, JobError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let left = || deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let mut values = Vec::with_capacity(self.arguments.len());
        // Wrapped, so that an error cancels the other jobs.
        let waits: Vec<_> = self.submit();
        let cancelled_if_dropped: Vec<_> = waits.iter().cloned().map(wrap_future).collect();
        for chunk in &waits {
            values.extend(chunk.result(left())?);
        }
        drop(cancelled_if_dropped);
        Ok(values)
    }

    #[track_caller]
    fn submit(self) -> Vec<ThreadFuture<Vec<R>>> {
        let (pool, function) = (self.pool, self.function);
        let mut arguments = self.arguments.into_iter();
        let mut chunks = Vec::with_capacity(arguments.len().div_ceil(self.chunk_size.get()));
        loop {
            let chunk: Vec<A> = arguments.by_ref().take(self.chunk_size.get()).collect();
            if chunk.is_empty() {
                return chunks;
            }
            chunks.push(pool.submit_chunk(function, chunk));
        }
    }
}

impl<A, R> IntoFuture for PoolMap<'_, A, R>
where
    A: Serialize + Send + 'static,
    R: DeserializeOwned + Send + 'static,
{
    type Output = Result<Vec<R>, JobError>;
    type IntoFuture = PoolMapFuture<R>;

    #[track_caller]
    fn into_future(self) -> PoolMapFuture<R> {
        let values = Vec::with_capacity(self.arguments.len());
        let chunks = self.submit().into_iter().map(wrap_future).collect();
        PoolMapFuture { chunks, values }
    }
}

impl<A, R> fmt::Debug for PoolMap<'_, A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMap")
            .field("function", &self.function.name())
            .field("arguments", &self.arguments.len())
            .field("chunk_size", &self.chunk_size)
            .finish_non_exhaustive()
    }
}

/// The future of [`ProcessPoolExecutor::map`].
#[must_use = "futures do nothing unless awaited"]
pub struct PoolMapFuture<R: Send + 'static> {
    /// The jobs whose values are missing, in the order of the arguments.
    chunks: VecDeque<WrapFuture<Vec<R>>>,
    values: Vec<R>,
}

/// The values are moved, never pinned.
impl<R: Send + 'static> Unpin for PoolMapFuture<R> {}

impl<R: Send + 'static> Future for PoolMapFuture<R> {
    type Output = Result<Vec<R>, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        while let Some(chunk) = self.chunks.front_mut() {
            match ready!(Pin::new(chunk).poll(cx)) {
                Ok(values) => self.values.extend(values),
                Err(error) => {
                    self.chunks.clear();
                    return Poll::Ready(Err(error));
                }
            }
            self.chunks.pop_front();
        }
        Poll::Ready(Ok(std::mem::take(&mut self.values)))
    }
}

impl<R: Send + 'static> fmt::Debug for PoolMapFuture<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolMapFuture")
            .field("chunks", &self.chunks.len())
            .field("values", &self.values.len())
            .finish()
    }
}
