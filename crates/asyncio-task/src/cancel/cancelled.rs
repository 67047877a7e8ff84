//! A cancel request that was caught.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::TaskControl;
use asyncio_loop::{CancelReason, is_cancelling};

use super::scope::{Answer, Kind};
use super::slot::{Slot, enclosing};
use super::tasks::{Node, deliver, run};

/// The cancel request that [`catch_cancel`](crate::catch_cancel) caught.
///
/// Dropping it swallows the request, which is seldom right: [`resume`](Self::resume) passes it on.
///
/// # From asyncio
///
/// `CancelledError` in the hands of an `except` clause; `resume` is `raise`.
///
/// # Examples
///
/// ```
/// use asyncio_task::{catch_cancel, create_task, run, yield_now};
///
/// run(async {
///     let task = create_task(async {
///         match catch_cancel(yield_now()).await {
///             Ok(()) => None,
///             Err(cancelled) => Some(cancelled.to_string()), // swallowed
///         }
///     });
///     yield_now().await;
///     task.cancel_with("enough");
///     assert_eq!(task.await.unwrap().as_deref(), Some("cancelled: enough"));
/// });
/// ```
#[must_use = "a cancel request is swallowed by dropping this; pass it on with `resume`"]
#[doc(alias = "CancelledError")]
pub struct Cancelled {
    reason: CancelReason,
    /// The targets whose request this is.
    targets: Vec<Rc<Node>>,
}

impl Cancelled {
    pub(super) fn new(reason: CancelReason, targets: Vec<Rc<Node>>) -> Self {
        Self { reason, targets }
    }

    /// The origin of the request, and its message.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{catch_cancel, create_task, run, yield_now};
    ///
    /// run(async {
    ///     let task = create_task(async {
    ///         catch_cancel(std::future::pending::<()>()).await.unwrap_err().reason().clone()
    ///     });
    ///     yield_now().await;
    ///     task.cancel();
    ///     let reason = task.await.unwrap();
    ///     assert!(reason.site().unwrap().file().ends_with(".rs"));
    ///     assert!(reason.asked_by().unwrap().starts_with("Task-"));
    /// });
    /// ```
    #[must_use]
    pub fn reason(&self) -> &CancelReason {
        &self.reason
    }

    /// The message, if one was given.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{catch_cancel, create_task, run, yield_now};
    ///
    /// run(async {
    ///     let task = create_task(async {
    ///         let cancelled = catch_cancel(std::future::pending::<()>()).await.unwrap_err();
    ///         cancelled.message().map(str::to_owned)
    ///     });
    ///     yield_now().await;
    ///     task.cancel_with("enough");
    ///     assert_eq!(task.await.unwrap().as_deref(), Some("enough"));
    /// });
    /// ```
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.reason.message()
    }

    /// Passes the request on outwards, and never returns: the task or timeout that was asked to end
    /// does end, at this await, and cleanup further out runs. If that timeout is over already
    /// (because this value has outlived it), the enclosing task ends.
    ///
    /// Inside the cleanup of a [`finally`](crate::finally) the call ends that cleanup only.
    ///
    /// # Cancel safety
    ///
    /// The request is passed on by the call itself, before the returned future is polled.
    ///
    /// # Examples
    ///
    /// ```
    /// use asyncio_task::{catch_cancel, create_task, run, sleep, yield_now};
    /// use std::time::Duration;
    ///
    /// run(async {
    ///     let task = create_task(async {
    ///         match catch_cancel(sleep(Duration::from_secs(60))).await {
    ///             Ok(()) => "slept",
    ///             Err(cancelled) => {
    ///                 yield_now().await; // say goodbye
    ///                 cancelled.resume().await
    ///             }
    ///         }
    ///     });
    ///     yield_now().await;
    ///     task.cancel();
    ///     assert!(task.await.unwrap_err().is_cancelled());
    /// });
    /// ```
    pub fn resume<T>(mut self) -> impl Future<Output = T> {
        let targets = std::mem::take(&mut self.targets);
        if !rearm(targets) {
            end_enclosing(self.reason.clone());
        }
        ending(self.reason.clone())
    }
}

/// The remainder of a future that cannot go on: it waits to be dropped.
#[derive(Debug)]
pub(crate) struct Ending {
    /// A handler that has passed the request on, so that no other answer in its place counts.
    slot: Slot,
    reason: CancelReason,
}

impl Ending {
    pub(crate) fn new(reason: CancelReason) -> Self {
        Self { slot: Slot::new(Kind::Finally), reason }
    }

    pub(crate) fn poll(&self, cx: &Context<'_>) {
        self.slot.refresh(cx);
        let node = self.slot.suspended(cx);
        wait_to_be_dropped(node, &self.reason);
    }
}

/// Waits to be dropped.
pub(crate) async fn ending<T>(reason: CancelReason) -> T {
    let ending = Ending::new(reason);
    poll_fn(|cx| {
        ending.poll(cx);
        Poll::Pending
    })
    .await
}

/// To be called in each poll of a scope that has nothing left to do but to be dropped. If no target
/// around it has a request any more, since that was taken back or answered elsewhere, the enclosing
/// task, child or region is ended.
pub(crate) fn wait_to_be_dropped(node: &Rc<Node>, reason: &CancelReason) {
    if node.answer.get() != Answer::Passed {
        node.answer.set(Answer::Passed);
        node.mark_askers();
    }
    if node.ending_target().is_none() {
        end_enclosing(reason.clone());
    }
}

/// Ends the targets that still exist; false if none does.
fn rearm(targets: Vec<Rc<Node>>) -> bool {
    let targets: Vec<_> = targets.into_iter().filter(|target| !target.is_gone()).collect();
    for target in &targets {
        ask_again(target, target.reason());
    }
    !targets.is_empty()
}

/// Ends `target`, or without one the task, child or shielded region that is being polled.
pub(crate) fn end_as_by_resume(target: Option<Rc<Node>>, reason: CancelReason) {
    match target {
        Some(target) => ask_again(&target, reason),
        None => end_enclosing(reason),
    }
}

/// Ends the task, child or shielded region that is being polled.
pub(super) fn end_enclosing(reason: CancelReason) {
    let region = enclosing(None).and_then(|node| node.region());
    if let Some(region) = region {
        if let (Kind::Root, Some(task)) = (region.kind, &region.task) {
            if task.cancel_reason().is_none() {
                task.set_cancel_reason(reason.clone());
            }
        }
        ask_again(&region, reason);
    }
}

/// Asks a target that may have been asked before, without counting the request again.
fn ask_again(target: &Rc<Node>, reason: CancelReason) {
    let sleeping = target.task.as_ref().filter(|task| !task.is_running());
    if target.is_asking() {
        if !target.deliver_again() {
            // Waking the target again would keep its task from sleeping.
            return;
        }
    } else if let Some(task) = sleeping {
        return run(|work| deliver(task, reason, work));
    } else {
        target.begin(reason);
    }
    target.wake();
}

impl Drop for Cancelled {
    fn drop(&mut self) {
        // The code that held this value was cancelled before it could answer.
        if is_cancelling() {
            rearm(std::mem::take(&mut self.targets));
        }
    }
}

impl fmt::Debug for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancelled").field(&self.reason).finish()
    }
}

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Cancelled {}
