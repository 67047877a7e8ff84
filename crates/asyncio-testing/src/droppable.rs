//! Futures that a simulation drops.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::conductor::Conductor;

/// Awaits `future`. The simulation may drop it at one of its awaits, as a timeout or a lost race
/// would; the result is `None` then.
///
/// [`Faults::drop`](crate::Faults::drop) sets the probability. Outside of a simulation the future
/// always runs to its end.
///
/// # Examples
///
/// ```
/// use std::cell::Cell;
/// use asyncio_task::yield_now;
/// use asyncio_testing::{Faults, Simulation, droppable};
///
/// let dropped = Cell::new(0);
/// Simulation::new().seeds(100).faults(Faults::new().drop(0.5)).run(async || {
///     match droppable(async { yield_now().await }).await {
///         Some(()) => {}
///         None => dropped.set(dropped.get() + 1),
///     }
/// });
/// assert!(dropped.get() > 20);
/// ```
#[track_caller]
pub fn droppable<F: IntoFuture>(future: F) -> impl Future<Output = Option<F::Output>> {
    let (future, site) = (future.into_future(), std::panic::Location::caller());
    async move {
        let Some(conductor) = Conductor::current() else { return Some(future.await) };
        let rate = conductor.faults().drop;
        let mut future = pin!(future);
        poll_fn(|cx| {
            let what = || format!("a fault drops the future of {}:{}", site.file(), site.line());
            if conductor.fault(rate, what) {
                return Poll::Ready(None);
            }
            future.as_mut().poll(cx).map(Some)
        })
        .await
    }
}
