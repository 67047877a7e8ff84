//! `finally`.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use asyncio_loop::machinery::{around_user, while_cancelling};
use pin_project_lite::pin_project;

use super::cancelled::wait_to_be_dropped;
use super::scope::{Answer, Kind};
use super::slot::Slot;
use super::tasks::run;

/// How the body of a [`finally`] ended.
///
/// # Examples
///
/// ```
/// use asyncio_task::{Outcome, finally, run};
///
/// run(async {
///     let value = finally(async { 7 }, async |outcome| {
///         assert_eq!(outcome, Outcome::Finished(&7));
///         assert!(outcome.is_finished() && !outcome.is_cancelled());
///     });
///     assert_eq!(value.await, 7);
/// });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a, T> {
    /// The body returned this value.
    Finished(&'a T),
    /// The body was asked to end, and has been dropped.
    Cancelled,
    /// The body panicked. The panic goes on after the cleanup.
    Panicked,
}

impl<T> Outcome<'_, T> {
    /// Whether the body returned a value.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self, Self::Finished(_))
    }

    /// Whether the body was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled)
    }
}

/// Runs `body`, then `cleanup`, which may await. The cleanup runs whether the body finished,
/// panicked, or was asked to end.
///
/// The cleanup is shielded from cancel requests; they wait until it is done. When `finally` calls
/// are nested, the inner cleanup runs first. After the cleanup the value is returned, the panic
/// goes on, or the cancel request is passed on outwards. A body that was never polled has nothing
/// to clean up.
///
/// # Panics
///
/// With the panic of `body` or of `cleanup`.
///
/// # Cancel safety
///
/// *Cancelling* runs the cleanup: [`Task::cancel`](crate::Task::cancel),
/// [`timeout`](crate::timeout()), groups, `gather` and `race`. *Dropping* the future, as `select!`
/// does with the branches that lost, drops everything at once, and no cleanup runs.
///
/// # From asyncio
///
/// `try: … finally: …`, where a second `cancel()` interrupts the cleanup; here it does not. The
/// runner's grace period bounds it.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use std::time::Duration;
/// use asyncio_task::{create_task, finally, run, sleep, yield_now};
///
/// run(async {
///     let released = Rc::new(Cell::new(false));
///     let task = create_task(finally(sleep(Duration::from_secs(60)), {
///         let released = released.clone();
///         async move |outcome| {
///             assert!(outcome.is_cancelled());
///             sleep(Duration::from_millis(1)).await;
///             released.set(true);
///         }
///     }));
///     yield_now().await;
///     task.cancel();
///     assert!(task.await.unwrap_err().is_cancelled());
///     assert!(released.get());
/// });
/// ```
pub fn finally<F, C>(body: F, cleanup: C) -> impl Future<Output = F::Output>
where
    F: IntoFuture,
    C: AsyncFnOnce(Outcome<'_, F::Output>),
{
    around_user(run_finally(body, cleanup), &file!())
}

async fn run_finally<F, C>(body: F, cleanup: C) -> F::Output
where
    F: IntoFuture,
    C: AsyncFnOnce(Outcome<'_, F::Output>),
{
    let slot = Slot::new(Kind::Finally);
    let ended = Body { body: Some(body.into_future()), slot: &slot }.await;
    match ended {
        Ended::Finished(value) => {
            shielded(&slot, cleanup(Outcome::Finished(&value))).await;
            value
        }
        Ended::Panicked(payload) => {
            shielded(&slot, cleanup(Outcome::Panicked)).await;
            resume_unwind(payload)
        }
        Ended::Cancelled => {
            shielded(&slot, cleanup(Outcome::Cancelled)).await;
            pass_on(&slot).await
        }
    }
}

enum Ended<T> {
    Finished(T),
    Cancelled,
    Panicked(Box<dyn Any + Send>),
}

pin_project! {
    struct Body<'a, F> {
        #[pin]
        body: Option<F>,
        slot: &'a Slot,
    }
}

impl<F: Future> Future for Body<'_, F> {
    type Output = Ended<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let slot = *this.slot;
        if slot.refresh(cx).is_some_and(|node| node.must_act()) {
            return Poll::Ready(cancelled(slot, this.body));
        }
        let body = this.body.as_mut().as_pin_mut().expect("polled after it was done");
        let polled = catch_unwind(AssertUnwindSafe(|| slot.run(|| body.poll(cx))));
        let ended = match polled {
            Ok(Poll::Pending) => {
                if slot.suspended(cx).must_act() {
                    return Poll::Ready(cancelled(slot, this.body));
                }
                return Poll::Pending;
            }
            Ok(Poll::Ready(value)) => Ended::Finished(value),
            Err(payload) => Ended::Panicked(payload),
        };
        let dropped = catch_unwind(AssertUnwindSafe(|| slot.run(|| this.body.set(None))));
        if let Some(node) = slot.node() {
            node.see();
            node.answer.set(Answer::Busy);
        }
        Poll::Ready(match dropped {
            Ok(()) => ended,
            Err(payload) => Ended::Panicked(payload),
        })
    }
}

/// Drops a body that was asked to end.
fn cancelled<F: Future>(slot: &Slot, mut body: Pin<&mut Option<F>>) -> Ended<F::Output> {
    if let Some(node) = slot.node() {
        node.see();
        node.answer.set(Answer::Busy);
    }
    let drop_body = || slot.run(|| while_cancelling(|| body.set(None)));
    match catch_unwind(AssertUnwindSafe(drop_body)) {
        Ok(()) => Ended::Cancelled,
        Err(payload) => Ended::Panicked(payload),
    }
}

/// Runs a cleanup as a region of its own, where no request comes through.
async fn shielded(slot: &Slot, cleanup: impl Future<Output = ()>) {
    let region = Slot::new(Kind::Region);
    let mut cleanup = pin!(Some(cleanup));
    poll_fn(|cx| {
        slot.refresh(cx);
        slot.run(|| region.refresh(cx).is_some());
        let Some(body) = cleanup.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let polled = slot.run(|| region.run(|| body.poll(cx)));
        if polled.is_ready() {
            return polled;
        }
        slot.suspended(cx).answer.set(Answer::Busy);
        if region.node().is_some_and(|node| node.must_end()) {
            // The cleanup was ended by `resume`, which ends the cleanup and nothing else.
            slot.run(|| region.run(|| while_cancelling(|| cleanup.set(None))));
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
    region.leave();
}

/// Passes a request on, and waits to be dropped.
async fn pass_on<T>(slot: &Slot) -> T {
    poll_fn(|cx| {
        let node = slot.suspended(cx);
        slot.refresh(cx);
        if node.answer.get() != Answer::Passed && node.ending_target().is_some() {
            run(|work| node.pass(work));
        }
        wait_to_be_dropped(node, &node.reason());
        Poll::Pending
    })
    .await
}
