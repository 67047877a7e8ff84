//! Protects an awaited task from the cancellation of its awaiter.

use std::borrow::BorrowMut;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::JoinError;
use crate::task::Task;

/// Awaits `task` without passing cancel requests on to it: if the caller is cancelled, the caller
/// ends and the task goes on.
///
/// Pass the handle, or `&mut` of the handle to keep it.
///
/// # Cancel safety
///
/// Dropping the future leaves the task running.
///
/// # From asyncio
///
/// `asyncio.shield`, for tasks only; wrap a future in [`create_task`](crate::create_task()) first.
/// To make requests *wait* for a few lines instead, see [`critical`](crate::critical()).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{create_task, run, shield, sleep, timeout};
///
/// run(async {
///     let mut save = create_task(async {
///         sleep(Duration::from_millis(2)).await;
///         "saved"
///     });
///     let waited = timeout(Duration::from_millis(1), shield(&mut save)).await;
///     assert!(waited.is_err());
///     assert_eq!(save.await.unwrap(), "saved");
/// });
/// ```
pub fn shield<T, H: BorrowMut<Task<T>>>(task: H) -> Shield<T, H> {
    Shield { task, _output: PhantomData }
}

/// The future of [`shield`].
#[must_use = "futures do nothing unless polled"]
pub struct Shield<T, H = Task<T>> {
    task: H,
    _output: PhantomData<fn() -> T>,
}

impl<T, H: BorrowMut<Task<T>>> Future for Shield<T, H> {
    type Output = Result<T, JoinError>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().task.borrow_mut().poll_alone(cx)
    }
}

impl<T, H> Unpin for Shield<T, H> {}

impl<T, H: fmt::Debug> fmt::Debug for Shield<T, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shield").field(&self.task).finish()
    }
}
