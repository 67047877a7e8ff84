//! `critical`: code that is run to its end before a request takes effect.

use std::fmt;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};

use asyncio_loop::machinery::{move_wait_out_of, while_cancelling};
use pin_project_lite::pin_project;

use super::cancelled::Ending;
use super::scope::Kind;
use super::slot::Slot;

/// Runs `body` to its end: a cancel request waits for `body`, and takes effect at the next await
/// after it.
///
/// Meant for the few lines between which a program must not stop: *debit and credit*, *write and
/// rename*. The code that asked for the end waits meanwhile, so keep `body` short.
///
/// # Cancel safety
///
/// Dropping the future drops `body`.
///
/// # From asyncio
///
/// asyncio has no equivalent; its `shield` is often mistaken for one. [`shield`](crate::shield)
/// here does what asyncio's does.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use asyncio_task::{catch_cancel, create_task, critical, run, yield_now};
///
/// run(async {
///     let task = create_task(async {
///         let (from, to) = (Cell::new(10), Cell::new(0));
///         let transfer = async {
///             from.set(from.get() - 5);
///             yield_now().await; // a cancel here would lose 5
///             to.set(to.get() + 5);
///         };
///         critical(transfer).await;
///         assert!(catch_cancel(yield_now()).await.is_err());
///         from.get() + to.get()
///     });
///     yield_now().await;
///     task.cancel();
///     assert_eq!(task.await.unwrap(), 10);
/// });
/// ```
#[track_caller]
pub fn critical<F: IntoFuture>(body: F) -> Critical<F::IntoFuture> {
    Critical { body: Some(body.into_future()), slot: Slot::new(Kind::Region), ending: None }
}

pin_project! {
    /// The future of [`critical`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Critical<F> {
        #[pin]
        body: Option<F>,
        slot: Slot,
        // Set after a `resume` inside it.
        ending: Option<Ending>,
    }
}

impl<F: Future> Future for Critical<F> {
    type Output = F::Output;

    #[track_caller]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        if let Some(ending) = this.ending {
            ending.poll(cx);
            return Poll::Pending;
        }
        this.slot.refresh(cx);
        let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Pending };
        let polled = this.slot.run(|| body.poll(cx));
        match polled {
            Poll::Ready(_) => {
                this.slot.run(|| this.body.set(None));
                this.slot.leave();
            }
            Poll::Pending => {
                move_wait_out_of(file!(), cx, Location::caller());
                let node = this.slot.suspended(cx);
                // A `resume` inside it ends it.
                if node.must_end() {
                    let reason = node.reason();
                    this.slot.run(|| while_cancelling(|| this.body.set(None)));
                    this.slot.leave();
                    this.ending.insert(Ending::new(reason)).poll(cx);
                }
            }
        }
        polled
    }
}

impl<F> fmt::Debug for Critical<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Critical").finish_non_exhaustive()
    }
}
