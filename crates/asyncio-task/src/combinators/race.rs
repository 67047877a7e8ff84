//! `race`.

use std::iter::Map;
use std::panic::Location;

use asyncio_loop::machinery::at_await;
use asyncio_loop::{CancelReason, TaskOptions};

use crate::cancel::{end_as_by_resume, ending};
use crate::group::task_group;

/// Runs futures side by side and returns the output of the first that is done, once the others have
/// been cancelled and have ended.
///
/// Takes an array, a `Vec` or a mapped iterator of futures, or a tuple of futures with one type of
/// output. If several are done in the same turn, the one given first wins.
///
/// # Panics
///
/// If there are no futures, with the first panic of a future, and if no loop runs on this thread.
///
/// # Cancel safety
///
/// Cancelling it cancels all futures, and waits for their cleanup. (The losers of `select!` are
/// dropped without cleanup.) A future that is cancelled alone is out of the race; if that was the
/// last one, the caller ends.
///
/// # From asyncio
///
/// `wait(…, return_when=FIRST_COMPLETED)` and cancelling what is pending.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{race, run, sleep};
///
/// run(async {
///     let slow = async {
///         sleep(Duration::from_secs(60)).await;
///         "slow"
///     };
///     assert_eq!(race((slow, async { "quick" })).await, "quick");
/// });
/// ```
///
/// Where `select!` has branches of several types, an `enum` says which came first:
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{create_future, race, run, sleep};
///
/// enum Next {
///     Job(u32),
///     Idle,
/// }
///
/// run(async {
///     let job = create_future();
///     job.set_result(7).unwrap();
///     let next = race((
///         async { Next::Job(job.await.unwrap()) },
///         async {
///             sleep(Duration::from_secs(60)).await;
///             Next::Idle
///         },
///     ));
///     assert!(matches!(next.await, Next::Job(7)));
/// });
/// ```
#[doc(alias = "select")]
#[track_caller]
pub fn race<R: Race>(futures: R) -> impl Future<Output = R::Output> {
    at_await(futures.race())
}

/// Types that [`race`] accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot race",
    label = "not a tuple, an array or an iterator of futures",
    note = "several futures go into one tuple, `race((a, b))`; any number into \
            an iterator, `race(list)`; all give the same type"
)]
pub trait Race {
    /// The output type of the futures.
    type Output;

    /// Runs the futures.
    #[track_caller]
    #[doc(hidden)]
    fn race(self) -> impl Future<Output = Self::Output>;
}

async fn race_all<F: IntoFuture>(
    futures: impl IntoIterator<Item = F>,
    site: &'static Location<'static>,
) -> F::Output {
    let futures: Vec<F> = futures.into_iter().collect();
    assert!(!futures.is_empty(), "a race of nobody has no winner");
    // The first output ends the group, so it is passed to the group as a failure.
    let raced = task_group(async move |group| {
        for future in futures {
            let racer = async move { Err::<(), _>(future.await) };
            drop(group.create_task_with(racer, TaskOptions::new().site(site)));
        }
        Ok(())
    });
    winner(raced.await).await
}

/// If there is no winner because all were cancelled one by one, the caller ends as at the await of
/// a cancelled child.
async fn winner<T>(raced: Result<(), crate::ExceptionGroup<T>>) -> T {
    match raced.err().into_iter().flatten().next() {
        Some(output) => output,
        None => {
            end_as_by_resume(None, CancelReason::default());
            ending(CancelReason::default()).await
        }
    }
}

impl<F: IntoFuture> Race for Vec<F> {
    type Output = F::Output;

    #[track_caller]
    fn race(self) -> impl Future<Output = F::Output> {
        race_all(self, Location::caller())
    }
}

impl<F: IntoFuture, const N: usize> Race for [F; N] {
    type Output = F::Output;

    #[track_caller]
    fn race(self) -> impl Future<Output = F::Output> {
        race_all(self, Location::caller())
    }
}

impl<F: IntoFuture, I: Iterator, M: FnMut(I::Item) -> F> Race for Map<I, M> {
    type Output = F::Output;

    #[track_caller]
    fn race(self) -> impl Future<Output = F::Output> {
        race_all(self, Location::caller())
    }
}

macro_rules! tuples {
    ($(($($future:ident),+)),+ $(,)?) => {$(
        impl<Output, $($future: IntoFuture<Output = Output>),+> Race for ($($future,)+) {
            type Output = Output;

            #[track_caller]
            fn race(self) -> impl Future<Output = Output> {
                let options = TaskOptions::new();
                async move {
                    #[allow(non_snake_case, reason = "named as their types")]
                    let ($($future,)+) = self;
                    let raced = task_group(async move |group| {
                        $(
                            let racer = async move { Err::<(), _>($future.await) };
                            drop(group.create_task_with(racer, options.clone()));
                        )+
                        Ok(())
                    });
                    winner(raced.await).await
                }
            }
        }
    )+};
}

tuples! {
    (A), (A, B), (A, B, C), (A, B, C, D), (A, B, C, D, E), (A, B, C, D, E, F),
    (A, B, C, D, E, F, G), (A, B, C, D, E, F, G, H), (A, B, C, D, E, F, G, H, I),
    (A, B, C, D, E, F, G, H, I, J), (A, B, C, D, E, F, G, H, I, J, K),
    (A, B, C, D, E, F, G, H, I, J, K, L),
}
