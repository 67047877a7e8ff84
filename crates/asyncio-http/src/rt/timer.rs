//! [`LoopTimer`]: hyper's timers on the loop's clock.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use asyncio_task::{running_loop, sleep};
use hyper::rt::{Sleep, Timer};
use send_wrapper::SendWrapper;

/// Timers of the running loop, for crates that take a [`hyper::rt::Timer`]. They also follow a
/// virtual clock.
///
/// # Panics
///
/// If no loop runs on this thread. A timer that is polled on another thread panics.
///
/// # Examples
///
/// See [`LoopExecutor`](super::LoopExecutor).
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopTimer;

impl Timer for LoopTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(LoopSleep(SendWrapper::new(Box::pin(sleep(duration)))))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    /// A virtual clock stands still while `Instant::now` goes on.
    fn now(&self) -> Instant {
        origin() + Duration::from_nanos(running_loop().time().as_nanos())
    }
}

/// The `Instant` that stands for the start of this thread's clock. Only differences count.
fn origin() -> Instant {
    thread_local!(static ORIGIN: Instant = Instant::now());
    ORIGIN.with(|origin| *origin)
}

struct LoopSleep(SendWrapper<Pin<Box<asyncio_task::Sleep>>>);

impl Future for LoopSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }
}

impl Sleep for LoopSleep {}
