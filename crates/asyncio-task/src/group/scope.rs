//! The group without errors.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::machinery::around_user;
use asyncio_loop::{TaskOptions, TaskRef};
use pin_project_lite::pin_project;

use super::child::{Child, ChildOutput};
use super::drive::Drive;
use super::{End, TaskGroup};

/// Runs `body` with children that may borrow, waits for them all, and returns the body's value.
///
/// [`task_group`](crate::task_group()) for work that cannot fail: children return any type.
///
/// # Panics
///
/// With the first panic of the body or a child, after the others were cancelled and have ended. If
/// no loop runs on this thread.
///
/// # Cancel safety
///
/// As [`task_group`](crate::task_group()).
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, scope, yield_now};
///
/// let mut words = vec![String::from("to"), String::from("be")];
/// let lengths = run(scope(async |scope| {
///     let children: Vec<_> = words
///         .iter_mut()
///         .map(|word| {
///             scope.create_task(async move {
///                 yield_now().await;
///                 word.push('!');
///                 word.len()
///             })
///         })
///         .collect();
///     let mut lengths = Vec::new();
///     for child in children {
///         lengths.push(child.await);
///     }
///     lengths
/// }));
/// assert_eq!((lengths, words.concat().as_str()), (vec![3, 3], "to!be!"));
/// ```
pub fn scope<'env, T, F>(body: F) -> impl Future<Output = T>
where
    F: for<'scope> AsyncFnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    around_user(run_scope(body), &file!())
}

async fn run_scope<'env, T, F>(body: F) -> T
where
    F: for<'scope> AsyncFnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope = Scope { group: TaskGroup::new() };
    let end = End(&scope.group);
    let body = async { Ok::<T, Infallible>(body(&scope).await) };
    let result = Drive::new(&scope.group, body).await;
    drop(end);
    match result {
        Ok(value) => value,
        Err(_) => unreachable!("a scope has no errors, and is not cancelled from inside"),
    }
}

/// The group of tasks that the body of [`scope`](fn@scope) gets; its tasks cannot fail.
///
/// # Examples
///
/// ```
/// use asyncio_task::{Scope, run, scope};
///
/// run(async {
///     fn start<'scope>(scope: &'scope Scope<'scope, '_>, count: &'scope std::cell::Cell<u32>) {
///         scope.create_task(async { count.set(count.get() + 1) });
///     }
///
///     let count = std::cell::Cell::new(0);
///     scope(async |scope| (0..3).for_each(|_| start(scope, &count))).await;
///     assert_eq!(count.get(), 3);
/// });
/// ```
pub struct Scope<'scope, 'env> {
    group: TaskGroup<'scope, 'env, Infallible>,
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a child: `future` runs beside the body, from the body's next wait on. See
    /// [`TaskGroup::create_task`].
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope};
    ///
    /// run(async {
    ///     let text = String::from("to be");
    ///     let count = async || text.split(' ').count();
    ///     let words = scope(async |scope| scope.create_task(count()).await);
    ///     assert_eq!(words.await, 2);
    /// });
    /// ```
    #[track_caller]
    pub fn create_task<F>(&'scope self, future: F) -> Child<'scope, F::Output>
    where
        F: IntoFuture<IntoFuture: 'scope>,
    {
        self.create_task_with(future, TaskOptions::new())
    }

    /// [`create_task`](Self::create_task) with a name, a context or an eager start.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{TaskOptions, current_task, run, scope};
    ///
    /// run(async {
    ///     let name = scope(async |scope| {
    ///         let options = TaskOptions::new().name("helper");
    ///         scope.create_task_with(async { current_task().unwrap().name() }, options).await
    ///     });
    ///     assert_eq!(&*name.await, "helper");
    /// });
    /// ```
    #[track_caller]
    pub fn create_task_with<F>(
        &'scope self,
        future: F,
        options: TaskOptions,
    ) -> Child<'scope, F::Output>
    where
        F: IntoFuture<IntoFuture: 'scope>,
    {
        self.group.create_task_with(AsIs { future: future.into_future() }, options)
    }

    /// Whether the scope is ending: a child has panicked, or the task around it was cancelled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{catch_cancel, create_task, run, scope, yield_now};
    ///
    /// run(async {
    ///     let task = create_task(scope(async |scope| {
    ///         let child = scope.create_task(async {
    ///             assert!(catch_cancel(std::future::pending::<()>()).await.is_err());
    ///             assert!(scope.is_ending());
    ///         });
    ///         assert!(!scope.is_ending());
    ///         child.await;
    ///     }));
    ///     yield_now().await;
    ///     yield_now().await;
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.group.is_ending()
    }

    /// The children that have not ended, oldest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{run, scope};
    ///
    /// run(async {
    ///     scope(async |scope| {
    ///         scope.create_task(async {});
    ///         assert_eq!(scope.tasks().len(), 1);
    ///     })
    ///     .await;
    /// });
    /// ```
    #[must_use]
    pub fn tasks(&self) -> Vec<TaskRef> {
        self.group.tasks()
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scope").field(&self.group).finish()
    }
}

pin_project! {
    /// A future of any output, which is the child's value.
    struct AsIs<F> {
        #[pin]
        future: F,
    }
}

struct Plain<T>(T);

impl<T, E> ChildOutput<E> for Plain<T> {
    type Value = T;

    fn into_result(self) -> Result<T, E> {
        Ok(self.0)
    }
}

impl<F: Future> Future for AsIs<F> {
    type Output = Plain<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().future.poll(cx).map(Plain)
    }
}
