//! The full stack of a task: the task is polled for it, in its turn.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use asyncio_loop::inspect::{FullStack, Trace};
use asyncio_loop::{TaskOptions, TaskRef, ThreadPromise, running_loop, wrap_future};
use asyncio_task::{TimeoutError, create_task_with, timeout, to_thread};

use crate::call::{Question, ask};
use crate::silence::Silence;
use crate::watched::Watched;

/// How long names may take: those of a large program have to be read.
const NAMES: Duration = Duration::from_secs(30);

/// Why there is no full stack.
#[derive(Debug)]
pub(crate) enum NoStack {
    /// The task has ended.
    Ended,
    /// The loop goes on, but nobody has polled the task for so long.
    NotPolled(Duration),
    /// The names of the calls were not found in time.
    NoNames,
    Silent(Silence),
}

/// Finds the full stack of a task of this loop. Names are looked up away from the loop's thread.
pub(crate) async fn take(
    watched: &Watched,
    limit: Duration,
    id: u64,
) -> Result<FullStack, NoStack> {
    let (promise, answer) = ThreadPromise::new();
    let begin = move |question: Question<bool>| question.answer(begin(id, promise));
    // Dropping it tells the loop that nobody waits.
    let answer = wrap_future(answer);
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

/// The poll itself may be what blocks the loop.
async fn why_not_polled(watched: &Watched, limit: Duration) -> NoStack {
    match ask(watched, limit, |question| question.answer(())).await {
        Ok(()) => NoStack::NotPolled(limit),
        Err(silence) => NoStack::Silent(silence),
    }
}

/// On the loop: has the task polled, if it is there and has not ended.
fn begin(id: u64, promise: ThreadPromise<Trace>) -> bool {
    let task = running_loop().all_tasks().into_iter().find(|task| task.id() == id);
    let Some(task) = task.filter(|task| !task.is_done()) else { return false };
    // A closed loop drops the promise, which tells the monitor.
    drop(create_task_with(look(task, promise), TaskOptions::new().hidden()));
    true
}

/// The task that waits for the poll, until nobody waits for its answer any more.
async fn look(task: TaskRef, promise: ThreadPromise<Trace>) {
    let (mut trace, mut answer) = (task.trace(), promise.future());
    let found = poll_fn(|cx| match Pin::new(&mut trace).poll(cx) {
        Poll::Ready(trace) => Poll::Ready(Some(trace)),
        Poll::Pending => Pin::new(&mut answer).poll(cx).map(|_| None),
    });
    if let Some(trace) = found.await {
        promise.set_result(trace);
    }
}
