//! Children of a group, and their outcomes.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use asyncio_loop::machinery::at_await;
use asyncio_loop::{CancelReason, Outcome, RawTask, TaskRef};
use pin_project_lite::pin_project;

use super::{Frames, TaskGroup};
use crate::cancel::{Ending, Link, end_as_by_resume};
use crate::task::TaskRefExt;

/// The types that the body of a task group and its children may return: a `Result` with the group's
/// error, `()`, or `!` for a future that never returns.
#[diagnostic::on_unimplemented(
    message = "the body of a task group, or a child of it, cannot return `{Self}`",
    label = "neither `()` nor a `Result` with the error of the group",
    note = "end it with `Ok(value)`; or use `scope`, whose body and children may return anything"
)]
pub trait ChildOutput<E> {
    /// The type of the value that awaiting the child gives.
    type Value;

    /// Separates the value from the error.
    ///
    /// # Errors
    ///
    /// The error that the group fails with.
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Value, E>;
}

impl<T, E> ChildOutput<E> for Result<T, E> {
    type Value = T;

    fn into_result(self) -> Self {
        self
    }
}

impl<E> ChildOutput<E> for () {
    type Value = ();

    fn into_result(self) -> Result<(), E> {
        Ok(())
    }
}

/// A body or a child that never returns: a `loop`, or code that ends only by a panic or a
/// cancellation.
impl<E> ChildOutput<E> for Never {
    type Value = Never;

    fn into_result(self) -> Result<Never, E> {
        self
    }
}

/// The type `!`. On the oldest supported compiler it is stable only as a function's return type.
type Never = <fn() -> ! as Returns>::Output;

#[doc(hidden)]
pub trait Returns {
    type Output;
}

impl<T> Returns for fn() -> T {
    type Output = T;
}

/// The reason why a child has no value.
///
/// # Examples
///
/// ```
/// use asyncio_task::{ChildError, run, task_group};
///
/// run(async {
///     let result = task_group(async |group| {
///         let child = group.create_task(async { Err::<(), _>("no luck") });
///         group.cancel();
///         let late = group.create_task(async { Ok(()) });
///         assert_eq!(late.outcome().await, Err(ChildError::Refused));
///         drop(child);
///         Ok(())
///     });
///     assert_eq!(result.await.unwrap_err().into_errors(), ["no luck"]);
/// });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChildError {
    /// The child returned an error, which the group returns.
    Failed,
    /// The child panicked. The panic goes on in the group.
    Panicked,
    /// The child was cancelled.
    Cancelled(CancelReason),
    /// The group was ending when the child was made.
    Refused,
}

impl fmt::Display for ChildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("the child failed"),
            Self::Panicked => f.write_str("the child panicked"),
            Self::Cancelled(reason) => write!(f, "the child was {reason}"),
            Self::Refused => f.write_str("the group was ending"),
        }
    }
}

impl Error for ChildError {}

pin_project! {
    /// The future of a child, which tells the group when it fails.
    pub(super) struct ChildFuture<'scope, 'env, F, E> {
        #[pin]
        future: F,
        group: &'scope TaskGroup<'scope, 'env, E>,
    }
}

impl<'scope, 'env, F, E> ChildFuture<'scope, 'env, F, E> {
    pub(super) fn new(future: F, group: &'scope TaskGroup<'scope, 'env, E>) -> Self {
        Self { future, group }
    }
}

impl<E, F: Future<Output: ChildOutput<E>>> Future for ChildFuture<'_, '_, F, E> {
    type Output = Result<<F::Output as ChildOutput<E>>::Value, ChildError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| this.future.poll(cx)));
        let output = match polled {
            Ok(polled) => ready!(polled),
            Err(payload) => return Poll::Ready(Err(panicked(this.group, payload))),
        };
        Poll::Ready(output.into_result().map_err(|error| {
            this.group.fail(error);
            ChildError::Failed
        }))
    }
}

#[cold]
fn panicked<E>(group: &TaskGroup<'_, '_, E>, payload: Box<dyn Any + Send>) -> ChildError {
    group.panicked(payload);
    ChildError::Panicked
}

/// A child of a [`TaskGroup`] or a [`Scope`](crate::Scope).
///
/// A future of the child's value. If there is no value, because the child failed, panicked or was
/// cancelled, the code that awaits it ends at that await, as by
/// [`resume`](crate::Cancelled::resume). [`outcome`](Self::outcome) gives a `Result` instead.
/// Dropping the handle leaves the child to the group, and only its value is lost.
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, scope, yield_now};
///
/// run(async {
///     let word = String::from("borrowed");
///     let length = scope(async |scope| {
///         let child = scope.create_task(async {
///             yield_now().await;
///             word.len()
///         });
///         child.await
///     });
///     assert_eq!(length.await, 8);
/// });
/// ```
pub struct Child<'scope, T> {
    /// `None` if the group refused the child.
    raw: Option<RawTask<Result<T, ChildError>>>,
    frames: Option<Rc<Frames>>,
    link: Link,
    /// The child gave no value; the code that awaits it is ending.
    over: Option<Box<Ending>>,
    _scope: PhantomData<&'scope ()>,
}

impl<T> Child<'_, T> {
    pub(super) fn new(raw: RawTask<Result<T, ChildError>>, frames: Rc<Frames>) -> Self {
        Self {
            raw: Some(raw),
            frames: Some(frames),
            link: Link::default(),
            over: None,
            _scope: PhantomData,
        }
    }

    pub(super) fn refused() -> Self {
        Self { raw: None, frames: None, link: Link::default(), over: None, _scope: PhantomData }
    }

    /// Gives the child a name, and returns the handle, as [`Task::named`](crate::Task::named).
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         for number in 1..=2 {
    ///             scope.create_task(async {}).named(format!("helper {number}"));
    ///         }
    ///         assert_eq!(&*scope.tasks()[1].name(), "helper 2");
    ///     })
    ///     .await;
    /// });
    /// ```
    pub fn named(self, name: impl AsRef<str>) -> Self {
        if let Some(task) = self.task_ref() {
            task.set_name(name);
        }
        self
    }

    /// The task, unless the group refused it.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         let child = scope.create_task(async {}).named("helper");
    ///         assert_eq!(&*child.task_ref().unwrap().name(), "helper");
    ///     })
    ///     .await;
    /// });
    /// ```
    #[must_use]
    pub fn task_ref(&self) -> Option<&TaskRef> {
        self.raw.as_ref().map(RawTask::task)
    }

    /// Asks this child to end; the others go on. Returns false if the child has ended already.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         let child = scope.create_task(std::future::pending::<()>());
    ///         assert!(child.cancel());
    ///         assert!(child.outcome().await.is_err());
    ///     })
    ///     .await;
    /// });
    /// ```
    #[track_caller]
    pub fn cancel(&self) -> bool {
        match self.task_ref() {
            // Not by `is_some_and`: its closure would lose the caller's location.
            Some(task) => task.cancel(),
            None => false,
        }
    }

    /// Whether it has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope, yield_now};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         let child = scope.create_task(async {});
    ///         assert!(!child.is_done());
    ///         yield_now().await;
    ///         assert!(child.is_done());
    ///     })
    ///     .await;
    /// });
    /// ```
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.task_ref().is_none_or(TaskRef::is_done)
    }

    /// Whether it was cancelled, or refused by a group that was ending.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope, yield_now};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         let child = scope.create_task(std::future::pending::<()>());
    ///         child.cancel();
    ///         yield_now().await;
    ///         assert!(child.is_cancelled());
    ///     })
    ///     .await;
    /// });
    /// ```
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.task_ref().is_none_or(TaskRef::is_cancelled)
    }

    /// Waits for the child, and returns its value, or the reason why it has none.
    ///
    /// # Errors
    ///
    /// [`ChildError`] if the child failed, panicked, was cancelled or was refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{ChildError, run, scope};
    ///
    /// run(scope(async |scope| {
    ///     let child = scope.create_task(std::future::pending::<()>());
    ///     child.cancel();
    ///     assert!(matches!(child.outcome().await, Err(ChildError::Cancelled(_))));
    /// }));
    /// ```
    pub fn outcome(mut self) -> impl Future<Output = Result<T, ChildError>> {
        at_await(async move { std::future::poll_fn(|cx| self.poll_outcome(cx)).await })
    }

    #[inline]
    #[track_caller]
    fn poll_outcome(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, ChildError>> {
        let (Some(raw), Some(frames)) = (&mut self.raw, &self.frames) else {
            return Poll::Ready(Err(ChildError::Refused));
        };
        let outcome = if frames.body.is_on_top() {
            // Requests to the group cancel all children at once, so they do not pass through this
            // await.
            ready!(raw.poll_join(cx))
        } else {
            ready!(self.link.poll(raw, || frames.kind_of_await(), cx))
        };
        Poll::Ready(match outcome {
            Outcome::Value(result) => result,
            // The destructor of the child's future has panicked.
            Outcome::Panicked(payload) => std::panic::resume_unwind(payload),
            Outcome::Cancelled => {
                Err(ChildError::Cancelled(raw.task().cancel_reason().unwrap_or_default()))
            }
        })
    }
}

impl<T> Future for Child<'_, T> {
    type Output = T;

    #[inline]
    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.get_mut();
        if let Some(ending) = &this.over {
            ending.poll(cx);
            return Poll::Pending;
        }
        match ready!(this.poll_outcome(cx)) {
            Ok(value) => Poll::Ready(value),
            Err(error) => {
                let reason = match error {
                    ChildError::Cancelled(reason) => reason,
                    _ => CancelReason::default(),
                };
                let body = this.frames.as_ref().and_then(|frames| frames.ending_body());
                end_as_by_resume(body, reason.clone());
                this.over.insert(Box::new(Ending::new(reason))).poll(cx);
                Poll::Pending
            }
        }
    }
}

// The output is not in the handle, so moving the handle moves no pinned value.
impl<T> Unpin for Child<'_, T> {}

impl<T> fmt::Debug for Child<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task_ref() {
            Some(task) => task.fmt(f),
            None => f.write_str("<Child refused>"),
        }
    }
}
