//! Cancelling a task.

use std::sync::Arc;
use std::time::Duration;

use asyncio_loop::{ThreadPromise, running_loop};
use asyncio_task::{TaskRefExt, TimeoutError, timeout};

use super::{Reply, task_id};
use crate::call::{Question, ask};
use crate::silence::Silence;
use crate::state::State;
use crate::watched::Watched;

/// How long to wait for the end of a task.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// The result of cancelling a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CancelOutcome {
    Unknown,
    Ended,
    /// The task has not ended: it has caught the cancellation or is still in its cleanup.
    StillRuns,
}

pub(super) async fn run(state: &State, id: &str) -> Reply {
    let id = match task_id(id) {
        Ok(id) => id,
        Err(text) => return Reply::failed(text),
    };
    let answers = state.ask_each(move |watched, limit| cancel_on(watched, limit, id)).await;
    let mut silent = String::new();
    for (watched, answer) in answers {
        match answer {
            Ok(CancelOutcome::Unknown) => {}
            Ok(CancelOutcome::Ended) => return Reply::ok(format!("Cancelled task {id}\n")),
            Ok(CancelOutcome::StillRuns) => {
                let text = format!("Asked task {id} to end; it goes on\n");
                return Reply::failed(text);
            }
            Err(silence) => silent = format!("{}\n", watched.why(&silence)),
        }
    }
    Reply::failed(format!("{silent}{id}: invalid or non-existent task ID\n"))
}

/// Cancels the task if it belongs to this loop, and waits for its end.
async fn cancel_on(
    watched: Arc<Watched>,
    limit: Duration,
    id: u64,
) -> Result<CancelOutcome, Silence> {
    let (ended, end) = ThreadPromise::new();
    let cancel = move |question: Question<bool>| question.answer(cancel(id, ended));
    if !ask(&watched, limit, cancel).await? {
        return Ok(CancelOutcome::Unknown);
    }
    // A long cleanup does not mean that the loop is blocked. If the loop is closed meanwhile, the
    // promise and the task are dropped.
    match timeout(CANCEL_TIMEOUT, end).await {
        Ok(_) => Ok(CancelOutcome::Ended),
        Err(TimeoutError) => Ok(CancelOutcome::StillRuns),
    }
}

/// Cancels the task, on its loop. Returns whether the task exists.
fn cancel(id: u64, ended: ThreadPromise<()>) -> bool {
    let task = running_loop().all_tasks().into_iter().find(|task| task.id() == id);
    let Some(task) = task else { return false };
    task.cancel_with("by the monitor");
    task.add_done_callback(move |_| ended.set_result(()));
    true
}
