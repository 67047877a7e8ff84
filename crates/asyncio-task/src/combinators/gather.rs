//! `gather` and `try_gather`.

use std::panic::Location;

use asyncio_loop::TaskOptions;
use asyncio_loop::machinery::at_await;

use crate::group::{scope, task_group};

/// Runs futures side by side, and returns all their outputs, in the order in which they were given.
///
/// Takes a tuple of up to twelve futures of any types, or an array, a `Vec` or a mapped iterator of
/// futures of one type. They may borrow. Each future runs as a child task, which is woken on its
/// own. Errors of futures of `Result` stay in their places in the output; [`try_gather`] stops at
/// the first error.
///
/// # Panics
///
/// With the first panic of a future, after the others were cancelled and have ended. If no loop
/// runs on this thread.
///
/// # Cancel safety
///
/// Cancelling it cancels all futures, and waits for their cleanup. Dropping it drops them without
/// cleanup.
///
/// # From asyncio
///
/// `gather(…, return_exceptions=True)`; `gather` without that flag is [`try_gather`]. Cancelling a
/// single child ends the caller.
///
/// # Examples
///
/// ```
/// use asyncio_task::{gather, run};
///
/// run(async {
///     assert_eq!(gather((async { 1 }, async { "two" })).await, (1, "two"));
///     assert_eq!(gather([async { 1 }]).await, [1]);
///     assert_eq!(gather((0..3).map(async |n| n * n)).await, vec![0, 1, 4]);
/// });
/// ```
///
/// A task gives a `Result`, since it may have been cancelled. [`try_gather`] gives the values:
///
/// ```
/// use asyncio_task::{JoinError, create_task, gather, run, try_gather};
///
/// run(async {
///     let tasks = || (1..=3).map(|n| create_task(async move { n * n }));
///     let total: i32 = try_gather(tasks()).await?.iter().sum();
///     assert_eq!(total, 14);
///     // The `Result`s add up to a `Result`.
///     let total: Result<i32, JoinError> = gather(tasks()).await.into_iter().sum();
///     assert_eq!(total?, 14);
///     Ok::<(), JoinError>(())
/// }).unwrap();
/// ```
#[doc(alias = "join")]
#[doc(alias = "join_all")]
#[track_caller]
pub fn gather<G: Gather>(futures: G) -> impl Future<Output = G::Output> {
    at_await(futures.gather())
}

/// Runs futures of `Result` side by side, and returns all their values; or the first error, once
/// the others have been cancelled and have ended.
///
/// Takes what [`gather`] takes. Later errors are dropped.
///
/// # Errors
///
/// The first error.
///
/// # Panics
///
/// As [`gather`].
///
/// # Cancel safety
///
/// As [`gather`].
///
/// # From asyncio
///
/// `gather` without `return_exceptions`. asyncio's lets the others go on when one fails; here they
/// are cancelled.
///
/// # Examples
///
/// ```
/// use asyncio_task::{run, sleep, try_gather};
/// use std::time::Duration;
///
/// run(async {
///     let fine = try_gather((async { Ok::<_, String>(1) }, async { Ok("two") })).await;
///     assert_eq!(fine, Ok((1, "two")));
///
///     let hour = async {
///         sleep(Duration::from_secs(3600)).await;
///         Ok(())
///     };
///     assert_eq!(try_gather((hour, async { Err::<(), _>("no") })).await, Err("no"));
/// });
/// ```
#[doc(alias = "try_join")]
#[track_caller]
pub fn try_gather<G: TryGather>(futures: G) -> impl Future<Output = Result<G::Output, G::Error>> {
    at_await(futures.try_gather())
}

/// Types that [`gather`] accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be gathered",
    label = "not a tuple, an array or an iterator of futures",
    note = "several futures go into one tuple, `gather((a, b))`; any number into \
            an iterator, `gather(list)`"
)]
pub trait Gather {
    /// The type of all outputs together.
    type Output;

    /// Runs the futures.
    #[track_caller]
    #[doc(hidden)]
    fn gather(self) -> impl Future<Output = Self::Output>;
}

/// Types that [`try_gather`] accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be gathered",
    label = "not a tuple, an array or an iterator of futures that give a `Result`",
    note = "several futures go into one tuple, `try_gather((a, b))`; any number \
            into an iterator, `try_gather(list)`; all give a `Result` with the same error"
)]
pub trait TryGather {
    /// The type of all values together.
    type Output;
    /// The error type of the futures.
    type Error;

    /// Runs the futures, up to the first error.
    #[track_caller]
    #[doc(hidden)]
    fn try_gather(self) -> impl Future<Output = Result<Self::Output, Self::Error>>;
}

/// The options of children that are made by the call at `site`.
fn options(site: &'static Location<'static>) -> TaskOptions {
    TaskOptions::new().site(site)
}

async fn gather_all<F: IntoFuture>(
    futures: impl IntoIterator<Item = F>,
    site: &'static Location<'static>,
) -> Vec<F::Output> {
    let futures: Vec<F> = futures.into_iter().collect();
    scope(async move |scope| {
        let child = |future| scope.create_task_with(future, options(site));
        let children: Vec<_> = futures.into_iter().map(child).collect();
        let mut outputs = Vec::with_capacity(children.len());
        for child in children {
            outputs.push(child.await);
        }
        outputs
    })
    .await
}

async fn try_gather_all<T, E, F: IntoFuture<Output = Result<T, E>>>(
    futures: impl IntoIterator<Item = F>,
    site: &'static Location<'static>,
) -> Result<Vec<T>, E> {
    let futures: Vec<F> = futures.into_iter().collect();
    let result = task_group(async move |group| {
        let child = |future| group.create_task_with(future, options(site));
        let children: Vec<_> = futures.into_iter().map(child).collect();
        let mut values = Vec::with_capacity(children.len());
        for child in children {
            values.push(child.await);
        }
        Ok(values)
    });
    result.await.map_err(first)
}

fn first<E>(errors: crate::ExceptionGroup<E>) -> E {
    errors.into_iter().next().expect("nobody else reaches this group to cancel it")
}

impl<F: IntoFuture> Gather for Vec<F> {
    type Output = Vec<F::Output>;

    #[track_caller]
    fn gather(self) -> impl Future<Output = Self::Output> {
        gather_all(self, Location::caller())
    }
}

impl<F: IntoFuture, const N: usize> Gather for [F; N] {
    type Output = [F::Output; N];

    #[track_caller]
    fn gather(self) -> impl Future<Output = Self::Output> {
        let site = Location::caller();
        async move {
            let outputs = gather_all(self, site).await.try_into();
            outputs.unwrap_or_else(|_| unreachable!("as many outputs as futures"))
        }
    }
}

impl<F: IntoFuture, I: Iterator, M: FnMut(I::Item) -> F> Gather for std::iter::Map<I, M> {
    type Output = Vec<F::Output>;

    #[track_caller]
    fn gather(self) -> impl Future<Output = Self::Output> {
        gather_all(self, Location::caller())
    }
}

impl<T, E, F: IntoFuture<Output = Result<T, E>>> TryGather for Vec<F> {
    type Output = Vec<T>;
    type Error = E;

    #[track_caller]
    fn try_gather(self) -> impl Future<Output = Result<Vec<T>, E>> {
        try_gather_all(self, Location::caller())
    }
}

impl<T, E, F: IntoFuture<Output = Result<T, E>>, const N: usize> TryGather for [F; N] {
    type Output = [T; N];
    type Error = E;

    #[track_caller]
    fn try_gather(self) -> impl Future<Output = Result<[T; N], E>> {
        let site = Location::caller();
        async move {
            let values = try_gather_all(self, site).await?.try_into();
            Ok(values.unwrap_or_else(|_| unreachable!("as many values as futures")))
        }
    }
}

impl<T, E, F, I, M> TryGather for std::iter::Map<I, M>
where
    F: IntoFuture<Output = Result<T, E>>,
    I: Iterator,
    M: FnMut(I::Item) -> F,
{
    type Output = Vec<T>;
    type Error = E;

    #[track_caller]
    fn try_gather(self) -> impl Future<Output = Result<Vec<T>, E>> {
        try_gather_all(self, Location::caller())
    }
}

macro_rules! tuples {
    ($(($($future:ident $value:ident),+)),+ $(,)?) => {$(
        impl<$($future: IntoFuture),+> Gather for ($($future,)+) {
            type Output = ($($future::Output,)+);

            #[track_caller]
            fn gather(self) -> impl Future<Output = Self::Output> {
                let site = Location::caller();
                async move {
                    #[allow(non_snake_case, reason = "named as their types")]
                    let ($($future,)+) = self;
                    scope(async move |scope| {
                        $(let $value = scope.create_task_with($future, options(site));)+
                        ($($value.await,)+)
                    })
                    .await
                }
            }
        }

        impl<Error, $($future, $value),+> TryGather for ($($future,)+)
        where
            $($future: IntoFuture<Output = Result<$value, Error>>,)+
        {
            type Output = ($($value,)+);
            type Error = Error;

            #[track_caller]
            fn try_gather(self) -> impl Future<Output = Result<Self::Output, Error>> {
                let site = Location::caller();
                async move {
                    #[allow(non_snake_case, reason = "named as their types")]
                    let ($($future,)+) = self;
                    let result = task_group(async move |group| {
                        $(let $value = group.create_task_with($future, options(site));)+
                        Ok(($($value.await,)+))
                    });
                    result.await.map_err(first)
                }
            }
        }
    )+};
}

#[allow(non_camel_case_types, reason = "names of values serve as names of their types")]
mod tuples {
    use super::*;

    tuples! {
        (A a), (A a, B b), (A a, B b, C c), (A a, B b, C c, D d), (A a, B b, C c, D d, E e),
        (A a, B b, C c, D d, E e, F f), (A a, B b, C c, D d, E e, F f, G g),
        (A a, B b, C c, D d, E e, F f, G g, H h), (A a, B b, C c, D d, E e, F f, G g, H h, I i),
        (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j),
        (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k),
        (A a, B b, C c, D d, E e, F f, G g, H h, I i, J j, K k, L l),
    }
}
