//! A run of the loop as a tokio future.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

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
    /// What the poller wakes; `None` before the first poll.
    edge: Option<(Arc<Edge>, Waker)>,
    guest: Guest,
    /// The timer for pollers that do not report timers.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Drive {
    fn new(guest: Guest) -> io::Result<Self> {
        Ok(Self { poller: sys::watch(guest.poller()?)?, edge: None, guest, timer: None })
    }

    /// Whether the loop's poller is readable. Later readiness events wake this future again. If
    /// none has come since the last call, the poller is not asked.
    fn take_readable(&mut self, cx: &Context<'_>) -> bool {
        let known = self.edge.take().filter(|(edge, _)| edge.drive.will_wake(cx.waker()));
        let (edge, waker) = self.edge.insert(known.unwrap_or_else(|| Edge::new(cx.waker())));
        if !edge.is_new.load(Ordering::Acquire) {
            return false;
        }
        edge.is_new.store(false, Ordering::Relaxed);
        let (mut readable, mut cx) = (false, Context::from_waker(waker));
        while let Poll::Ready(ready) = self.poller.poll_read_ready(&mut cx) {
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

/// Wakes the drive, and notes that it was the loop's poller that did.
struct Edge {
    is_new: AtomicBool,
    drive: Waker,
}

impl Edge {
    /// The poller counts as changed, because the drive has not asked it yet.
    fn new(drive: &Waker) -> (Arc<Self>, Waker) {
        let edge = Arc::new(Self { is_new: AtomicBool::new(true), drive: drive.clone() });
        (Arc::clone(&edge), Waker::from(edge))
    }
}

impl Wake for Edge {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_new.store(true, Ordering::Release);
        self.drive.wake_by_ref();
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
