//! `staggered_race`: start the next one when the last takes too long.

use std::cell::RefCell;
use std::time::Duration;

use asyncio_loop::TaskOptions;
use asyncio_loop::machinery::at_await;

use crate::group::task_group;
use crate::promise::create_future;
use crate::timeout::wait_for;

/// Starts `attempts` one after the other, each when the one before has failed or `delay` has gone
/// by; the first that succeeds cancels the others.
///
/// Without a delay the next one starts only when the one before has failed. This is the heart of
/// "happy eyeballs": connect to the addresses of a name, in order, without waiting for those that
/// do not answer.
///
/// # Panics
///
/// With the first panic of an attempt. Where no loop runs.
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

/// Gives the first value and the number of its attempt. Those that were started have a place in
/// `losses`.
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
                    // To win ends the group, which is what a group calls a failure.
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

/// How a [`staggered_race`] went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staggered<T, E> {
    /// What the first success returned.
    pub value: Option<T>,
    /// Which attempt that was.
    pub winner: Option<usize>,
    /// What became of each attempt that was started; `None` for the winner.
    pub losses: Vec<Option<Loss<E>>>,
}

/// Why an attempt did not win.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss<E> {
    /// It failed by itself.
    Failed(E),
    /// Another one was first.
    Cancelled,
}
