//! The full stack of a task, taken while the loop polls the task.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::inspect::{FullStack, Trace};
use asyncio_loop::{TaskOptions, TaskRef, ThreadFuture, ThreadPromise, running_loop};
use asyncio_task::{TimeoutError, create_task_with, timeout, to_thread};

use crate::call::{Question, ask};
use crate::silence::Silence;
use crate::watched::Watched;

/// The time limit for resolving names. The symbols of a large program take long to read.
const NAMES: Duration = Duration::from_secs(30);

/// The reason for which there is no full stack.
#[derive(Debug)]
pub(crate) enum NoStack {
    /// The task has ended.
    Ended,
    /// The loop runs, but the task was not polled for this long.
    NotPolled(Duration),
    /// The names of the calls were not resolved in time.
    NoNames,
    Silent(Silence),
}

/// Takes the full stack of a task of this loop. Names are resolved on another thread than the
/// loop's.
pub(crate) async fn take(
    watched: &Watched,
    limit: Duration,
    id: u64,
) -> Result<FullStack, NoStack> {
    let (promise, answer) = ThreadPromise::new();
    // Dropping this tells the loop that the monitor no longer waits.
    let (_waits, gone) = ThreadPromise::new();
    let begin = move |question: Question<bool>| question.answer(begin(id, promise, gone));
    if !ask(watched, limit, begin).await.map_err(NoStack::Silent)? {
        return Err(NoStack::Ended);
    }
    let trace = match timeout(limit, answer).await {
        Ok(Ok(trace)) => trace,
        Ok(Err(_)) => return Err(NoStack::Silent(Silence::Closed)),
        Err(TimeoutError) => return Err(why_not_polled(watched, limit).await),
    };
    match timeout(NAMES, to_thread(move || trace.resolve())).await {
        Ok(Ok(stack)) => Ok(stack),
        Ok(Err(_)) | Err(TimeoutError) => Err(NoStack::NoNames),
    }
}

/// The poll itself may block the loop.
async fn why_not_polled(watched: &Watched, limit: Duration) -> NoStack {
    match ask(watched, limit, |question| question.answer(())).await {
        Ok(()) => NoStack::NotPolled(limit),
        Err(silence) => NoStack::Silent(silence),
    }
}

/// Runs on the loop: requests a poll of the task if it exists and has not ended.
fn begin(id: u64, promise: ThreadPromise<Trace>, gone: ThreadFuture<()>) -> bool {
    let task = running_loop().all_tasks().into_iter().find(|task| task.id() == id);
    let Some(task) = task.filter(|task| !task.is_done()) else { return false };
    // A closed loop drops the promise, which notifies the monitor.
    drop(create_task_with(trace(task, promise, gone), TaskOptions::new().hidden()));
    true
}

/// The task that waits for the poll, until the monitor is `gone`. A thread future wakes one task:
/// the monitor awaits the promise's, so `gone` is another one.
async fn trace(task: TaskRef, promise: ThreadPromise<Trace>, mut gone: ThreadFuture<()>) {
    let mut trace = task.trace();
    let found = poll_fn(|cx| match Pin::new(&mut trace).poll(cx) {
        Poll::Ready(trace) => Poll::Ready(Some(trace)),
        Poll::Pending => Pin::new(&mut gone).poll(cx).map(|_| None),
    });
    if let Some(trace) = found.await {
        promise.set_result(trace);
    }
}
