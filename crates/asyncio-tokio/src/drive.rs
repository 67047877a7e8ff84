//! A run of the loop as a future of tokio.

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

/// Makes the turns of a guest until its run is over. Inside a runtime of tokio with I/O enabled.
pub(crate) async fn drive(guest: Guest) -> Result<(), RunError> {
    let drive = Drive::new(guest).expect("a descriptor for the loop in tokio's poller");
    // tokio's budget is for one task. A burst has many, and would share it.
    unconstrained(drive).await
}

struct Drive {
    poller: AsyncFd<OwnedFd>,
    guest: Guest,
    /// Where the poller does not tell of timers.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drive {
    fn new(guest: Guest) -> io::Result<Self> {
        Ok(Self { poller: sys::watch(guest.poller()?)?, guest, timer: None })
    }

    /// Whether the loop's poller is readable. Later edges wake this future again.
    fn take_readable(&self, cx: &mut Context<'_>) -> bool {
        let mut readable = false;
        while let Poll::Ready(ready) = self.poller.poll_read_ready(cx) {
            readable = true;
            match ready {
                Ok(mut ready) => ready.clear_ready(),
                // The runtime shuts down.
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
            // It wakes this future when tokio has polled its own driver, not only its other tasks.
            Burst::Busy => _ = pin!(yield_now()).poll(cx),
            Burst::Idle if cfg!(all(target_os = "linux", not(portable))) => {}
            Burst::Idle => self.wait_for_timer(cx),
        }
        Poll::Pending
    }
}
