//! A run of the loop as a tokio future.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use asyncio_loop::{Burst, Guest, RunError};
use tokio::io::unix::AsyncFd;
use tokio::task::coop::unconstrained;
use tokio::task::yield_now;
use tokio::time::{Sleep, sleep};

use crate::sys;

/// Makes the turns of an embedded loop until its run is over. It must be polled inside a tokio
/// runtime with I/O enabled.
pub(crate) async fn drive(guest: Guest) -> Result<(), RunError> {
    let drive = Drive::new(guest).expect("a descriptor for the loop in tokio's poller");
    // tokio's budget is for one task. A burst polls many tasks, which would share it.
    unconstrained(drive).await
}

struct Drive {
    poller: AsyncFd<OwnedFd>,
    guest: Guest,
    /// The timer for pollers that do not report timers.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drive {
    fn new(guest: Guest) -> io::Result<Self> {
        Ok(Self { poller: sys::watch(guest.poller()?)?, guest, timer: None })
    }

    /// Whether the loop's poller is readable. Later readiness events wake this future again.
    fn take_readable(&self, cx: &mut Context<'_>) -> bool {
        let mut readable = false;
        while let Poll::Ready(ready) = self.poller.poll_read_ready(cx) {
            readable = true;
            match ready {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime is shutting down.
                Err(_) => break,
            }
        }
        readable
    }

    fn wait_for_timer(&mut self, cx: &mut Context<'_>) {
        self.timer = self.guest.timeout().map(|timeout| Box::pin(sleep(timeout)));
        if let Some(timer) = &mut self.timer {
            if timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
    }
}

impl Future for Drive {
    type Output = Result<(), RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let readable = self.take_readable(cx);
        match self.guest.burst(cx.waker(), readable)? {
            Burst::Over => return Poll::Ready(Ok(())),
            // This wakes the future after tokio has polled its driver, and not only after its other
            // tasks.
            Burst::Busy => _ = pin!(yield_now()).poll(cx),
            Burst::Idle if cfg!(all(target_os = "linux", not(portable))) => {}
            Burst::Idle => self.wait_for_timer(cx),
        }
        Poll::Pending
    }
}
