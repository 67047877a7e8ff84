//! `staggered_race`: starts the next attempt when the previous one fails or takes too long.

use std::cell::RefCell;
use std::time::Duration;

use asyncio_loop::TaskOptions;
use asyncio_loop::machinery::at_await;

use crate::group::task_group;
use crate::promise::create_future;
use crate::timeout::wait_for;

/// Starts `attempts` one after the other, each when the previous one has failed or `delay` has
/// passed. The first attempt that succeeds cancels the others.
///
/// Without a delay, an attempt starts only when the previous one has failed. This is the core of
/// "happy eyeballs" (RFC 8305): connect to the addresses of a name, in order, without waiting for
/// addresses that do not answer.
///
/// # Panics
///
/// With the first panic of an attempt, and if no loop runs on this thread.
///
/// # Cancel safety
///
/// Cancelling it cancels every attempt that was started, and waits for their cleanup.
///
/// # From asyncio
///
/// `asyncio.staggered.staggered_race`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Loss, run, sleep, staggered_race};
///
/// run(async {
///     let connect = async |port: u16| match port {
///         1 => Err("refused"),
///         2 => {
///             sleep(Duration::from_secs(60)).await;
///             Err("no answer")
///         }
///         port => Ok(port),
///     };
///     let attempts = [1, 2, 3].map(|port| async move || connect(port).await);
///     let race = staggered_race(attempts, Some(Duration::from_millis(1))).await;
///     assert_eq!((race.value, race.winner), (Some(3), Some(2)));
///     assert_eq!(race.losses, [Some(Loss::Failed("refused")), Some(Loss::Cancelled), None]);
/// });
/// ```
#[track_caller]
pub fn staggered_race<T, E, A, I>(
    attempts: I,
    delay: Option<Duration>,
) -> impl Future<Output = Staggered<T, E>>
where
    I: IntoIterator<Item = A>,
    A: AsyncFnOnce() -> Result<T, E>,
{
    at_await(race_staggered(attempts, delay, TaskOptions::new()))
}

async fn race_staggered<T, E, A, I>(
    attempts: I,
    delay: Option<Duration>,
    options: TaskOptions,
) -> Staggered<T, E>
where
    I: IntoIterator<Item = A>,
    A: AsyncFnOnce() -> Result<T, E>,
{
    let attempts: Vec<A> = attempts.into_iter().collect();
    let losses = RefCell::new(Vec::new());
    let raced = run(attempts, delay, &losses, &options).await;
    let (value, winner) = raced.unzip();
    let mut losses = losses.into_inner();
    if let Some(winner) = winner {
        losses[winner] = None;
    }
    Staggered { value, winner, losses }
}

/// Returns the first value and the number of its attempt. Each attempt that was started has a place
/// in `losses`.
async fn run<T, E, A: AsyncFnOnce() -> Result<T, E>>(
    attempts: Vec<A>,
    delay: Option<Duration>,
    losses: &RefCell<Vec<Option<Loss<E>>>>,
    options: &TaskOptions,
) -> Option<(T, usize)> {
    let raced = task_group(async |group| {
        for (number, attempt) in attempts.into_iter().enumerate() {
            losses.borrow_mut().push(Some(Loss::Cancelled));
            let failed = create_future::<()>();
            let told = failed.clone();
            let racer = async move {
                match attempt().await {
                    // The winner ends the group, so its value is passed to the group as a failure.
                    Ok(value) => Err((value, number)),
                    Err(error) => {
                        losses.borrow_mut()[number] = Some(Loss::Failed(error));
                        let _ = told.set_result(());
                        Ok(())
                    }
                }
            };
            drop(group.create_task_with(racer, options.clone()));
            let _ = wait_for(failed, delay).await;
        }
        Ok(())
    });
    raced.await.err().and_then(|winners| winners.into_iter().next())
}

/// The outcome of a [`staggered_race`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staggered<T, E> {
    /// The value that the first successful attempt returned.
    pub value: Option<T>,
    /// The number of that attempt, counted from 0.
    pub winner: Option<usize>,
    /// Why each started attempt did not win; `None` for the winner.
    pub losses: Vec<Option<Loss<E>>>,
}

/// Why an attempt did not win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss<E> {
    /// The attempt failed.
    Failed(E),
    /// Another attempt was first.
    Cancelled,
}
