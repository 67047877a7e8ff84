//! `catch_cancel`.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{move_wait_out_of, while_cancelling};
use pin_project_lite::pin_project;

use super::cancelled::Cancelled;
use super::scope::Kind;
use super::slot::Slot;
use super::tasks::{Node, run};

/// Runs `body`. If `body` is asked to end while it waits, it is dropped,
/// [`Err(Cancelled)`](Cancelled) is returned, and the caller goes on.
///
/// The code that made the request expects the end: call [`Cancelled::resume`] when the remaining
/// work is done, to pass the request on. For cleanup use [`finally`](crate::finally), which always
/// passes it on.
///
/// A request is delivered once: a `catch_cancel` that is entered after the delivery does not get
/// it.
///
/// # Cancel safety
///
/// Dropping the future drops `body`. A request that this future had not answered yet is then
/// delivered to another handler.
///
/// # From asyncio
///
/// `try: await … except CancelledError`.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use asyncio_task::{catch_cancel, create_task, run, sleep, yield_now};
///
/// run(async {
///     let task = create_task(async {
///         match catch_cancel(sleep(Duration::from_secs(60))).await {
///             Ok(()) => String::from("slept"),
///             Err(cancelled) => format!("{cancelled}"),
///         }
///     });
///     yield_now().await;
///     assert!(task.cancel_with("no time"));
///     assert_eq!(task.await.unwrap(), "cancelled: no time");
/// });
/// ```
#[track_caller]
pub fn catch_cancel<F: IntoFuture>(body: F) -> CatchCancel<F::IntoFuture> {
    CatchCancel { body: Some(body.into_future()), slot: Slot::new(Kind::Catch) }
}

pin_project! {
    /// The future of [`catch_cancel`].
    #[must_use = "futures do nothing unless polled"]
    pub struct CatchCancel<F> {
        #[pin]
        body: Option<F>,
        slot: Slot,
    }
}

impl<F: Future> Future for CatchCancel<F> {
    type Output = Result<F::Output, Cancelled>;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(node) = this.slot.refresh(cx) {
            if node.must_act() {
                return Poll::Ready(Err(catch(this.slot, node, this.body)));
            }
        }
        let body = this.body.as_mut().as_pin_mut().expect("polled after it was done");
        match this.slot.run(|| body.poll(cx)) {
            Poll::Ready(value) => {
                this.slot.run(|| this.body.set(None));
                this.slot.leave();
                Poll::Ready(Ok(value))
            }
            Poll::Pending => {
                let node = this.slot.suspended(cx);
                if node.must_act() {
                    return Poll::Ready(Err(catch(this.slot, node, this.body)));
                }
                move_wait_out_of(file!(), cx, Location::caller());
                Poll::Pending
            }
        }
    }
}

fn catch<F>(slot: &Slot, node: &Rc<Node>, mut body: Pin<&mut Option<F>>) -> Cancelled {
    slot.run(|| while_cancelling(|| body.set(None)));
    node.detach();
    let targets = run(|work| node.absorb(work));
    let cancelled = Cancelled::new(node.reason(), targets);
    node.leave();
    cancelled
}

impl<F> fmt::Debug for CatchCancel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CatchCancel").finish_non_exhaustive()
    }
}
