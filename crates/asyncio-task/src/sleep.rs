//! Waiting for a moment, and for one turn.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use asyncio_loop::machinery::{Wait, with_running};
use asyncio_loop::{Deadline, LoopTime, LoopWaker, WaitsFor};

/// Waits for `duration`, counted from the first poll. A zero duration takes one turn of the loop.
///
/// The wait never ends early. On an idle loop it ends some tens of microseconds late.
///
/// The future belongs to the loop, so it is not `Send`. Where `Send` is required, such as in a
/// handler of axum, put it into `local(async { … })` (feature `send`).
///
/// # Panics
///
/// When polled if no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping it takes its timer out at once.
///
/// # From asyncio
///
/// There is no `result` argument that comes back as the value, and a `Duration` cannot be negative.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
/// use asyncio_task::{run, sleep};
///
/// let start = Instant::now();
/// run(sleep(Duration::from_millis(2)));
/// assert!(start.elapsed() >= Duration::from_millis(2));
/// ```
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { state: State::New(duration) }
}

/// Waits until `when` on the loop's clock, or for one turn if `when` is in the past.
///
/// To do something at regular moments, use [`interval`](fn@crate::interval).
///
/// # Panics
///
/// When polled if no loop runs on this thread.
///
/// # Cancel safety
///
/// Dropping it takes its timer out at once.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, running_loop, sleep_until};
///
/// Runner::builder().virtual_time(true).run(async {
///     let start = running_loop().time();
///     let mut next = start;
///     for _ in 0..3 {
///         // No drift: each moment is counted from the one before, however long the work took.
///         next += Duration::from_secs(1);
///         sleep_until(next).await;
///     }
///     assert_eq!(running_loop().time() - start, Duration::from_secs(3));
/// });
/// ```
///
/// A moment is a time of the loop's clock, `running_loop().time() + duration`. To wait for a
/// duration, use [`sleep`](fn@sleep):
///
/// ```compile_fail,E0308
/// # asyncio_task::run(async {
/// asyncio_task::sleep_until(std::time::Duration::from_secs(3)).await;
/// # });
/// ```
pub fn sleep_until(when: LoopTime) -> Sleep {
    Sleep { state: State::Until(when) }
}

/// The future of [`sleep`] and [`sleep_until`].
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{Runner, Sleep, running_loop, sleep};
///
/// /// A pause that can be kept in a struct.
/// struct Backoff {
///     pause: Sleep,
/// }
///
/// Runner::builder().virtual_time(true).run(async {
///     let backoff = Backoff { pause: sleep(Duration::from_secs(2)) };
///     backoff.pause.await;
///     assert_eq!(running_loop().time().as_secs_f64(), 2.0);
/// });
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct Sleep {
    state: State,
}

enum State {
    New(Duration),
    Until(LoopTime),
    Waiting(Deadline),
    Yielded,
}

impl Future for Sleep {
    type Output = ();

    #[track_caller]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let next = match &self.state {
            State::Waiting(deadline) if deadline.set_waker(cx) => {
                deadline.when().map_or(Wait::new(WaitsFor::Time), Wait::until).note(cx);
                return Poll::Pending;
            }
            State::Waiting(_) | State::Yielded => return Poll::Ready(()),
            State::New(Duration::ZERO) => {
                cx.waker().wake_by_ref();
                State::Yielded
            }
            State::New(duration) => wait(cx, |now| now + *duration),
            State::Until(when) => wait(cx, |_| *when),
        };
        self.state = next;
        Poll::Pending
    }
}

#[track_caller]
fn wait(cx: &Context<'_>, when: impl FnOnce(LoopTime) -> LoopTime) -> State {
    let site = Location::caller();
    let deadline = with_running(|event_loop| {
        let when = when(event_loop.time());
        event_loop.wake_at(when, LoopWaker::waiting_at(cx, Wait::until(when), site))
    });
    State::Waiting(deadline.unwrap_or_else(|error| panic!("cannot sleep: {error}")))
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sleep").finish_non_exhaustive()
    }
}

/// Suspends the task for exactly one turn, in which everything else that is ready runs once.
///
/// # Cancel safety
///
/// Dropping it has no effect.
///
/// # From asyncio
///
/// `sleep(0)`.
///
/// # Examples
///
/// ```
/// use asyncio_task::{create_task, run, yield_now};
///
/// run(async {
///     let task = create_task(async {});
///     assert!(!task.is_done());
///     yield_now().await;
///     assert!(task.is_done());
/// });
/// ```
pub fn yield_now() -> YieldNow {
    YieldNow { yielded: false }
}

/// The future of [`yield_now`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct YieldNow {
    yielded: bool,
}

impl Future for YieldNow {
    type Output = ();

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
