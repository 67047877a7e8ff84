//! Cancelling a task.

use std::cell::Cell;
use std::time::Duration;

use asyncio_loop::running_loop;
use asyncio_task::TaskRefExt;

use super::{Reply, task_id};
use crate::call::{Question, ask};
use crate::server::State;

/// How long the end of a task is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What became of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    Ended,
    /// It caught the request, or takes its time over its cleanup.
    GoesOn,
}

pub(super) async fn run(state: &State, id: &str) -> Reply {
    let id = match task_id(id) {
        Ok(id) => id,
        Err(text) => return Reply::failed(text),
    };
    let answers = state
        .ask_each(|watched, limit| async move {
            ask(&watched, limit, move |question| cancel(id, question)).await
        })
        .await;
    let mut silent = String::new();
    for (watched, answer) in answers {
        match answer {
            Ok(Fate::Unknown) => {}
            Ok(Fate::Ended) => return Reply::ok(format!("Cancelled task {id}\n")),
            Ok(Fate::GoesOn) => {
                let text = format!("Asked task {id} to end; it goes on\n");
                return Reply::failed(text);
            }
            Err(silence) => silent = format!("{}\n", silence.text(&watched)),
        }
    }
    Reply::failed(format!("{silent}{id}: invalid or non-existent task ID\n"))
}

/// Asks the task to end, on its loop, and answers when it has.
fn cancel(id: u64, question: Question<Fate>) {
    let task = running_loop().all_tasks().into_iter().find(|task| task.id() == id);
    let Some(task) = task else {
        question.answer(Fate::Unknown);
        return;
    };
    task.cancel_with("by the monitor");
    // Whichever comes first takes it.
    let question = std::rc::Rc::new(Cell::new(Some(question)));
    let late = std::rc::Rc::clone(&question);
    let timer = running_loop().call_later(PATIENCE, move || {
        late.take().into_iter().for_each(|question| question.answer(Fate::GoesOn));
    });
    task.add_done_callback(move |_| {
        timer.cancel();
        question.take().into_iter().for_each(|question| question.answer(Fate::Ended));
    });
}
