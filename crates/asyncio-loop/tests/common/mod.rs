//! Helpers for several tests: a log of events, loops, and sleep.
#![allow(dead_code, reason = "each test binary uses a part")]

use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::{EventLoop, LoopRef, LoopWaker, running_loop};

/// Events, in order.
#[derive(Clone, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<&'static str>>>);

impl Log {
    pub(crate) fn push(&self, entry: &'static str) {
        self.0.borrow_mut().push(entry);
    }

    /// A callback that logs `entry`.
    pub(crate) fn entry(&self, entry: &'static str) -> impl FnOnce() + use<> {
        let log = self.clone();
        move || log.push(entry)
    }

    /// Removes and returns the entries logged so far.
    pub(crate) fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

/// Counts the drops of its guards.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<AtomicU32>);

impl Drops {
    /// A value that counts when it is dropped.
    pub(crate) fn guard(&self) -> DropGuard {
        DropGuard(self.clone())
    }

    pub(crate) fn count(&self) -> u32 {
        self.0.load(Relaxed)
    }
}

pub(crate) struct DropGuard(Drops);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Relaxed);
    }
}

impl fmt::Debug for DropGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DropGuard")
    }
}

pub(crate) fn real_loop() -> EventLoop {
    EventLoop::new().unwrap()
}

pub(crate) fn virtual_loop() -> EventLoop {
    EventLoop::builder().virtual_time(true).build().unwrap()
}

/// Runs until nothing is ready any more.
pub(crate) fn run_ready(event_loop: &LoopRef) {
    event_loop.run_until_complete(yield_now()).unwrap();
}

/// Returns in the next turn.
pub(crate) async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        LoopWaker::from_context(cx).wake();
        Poll::Pending
    })
    .await;
}

pub(crate) async fn sleep(duration: Duration) {
    let event_loop = running_loop();
    let when = event_loop.time() + duration;
    let mut deadline = None;
    poll_fn(|cx| {
        if event_loop.time() >= when {
            return Poll::Ready(());
        }
        deadline = Some(event_loop.wake_at(when, LoopWaker::from_context(cx)));
        Poll::Pending
    })
    .await;
}
