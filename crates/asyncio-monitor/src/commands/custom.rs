//! Commands that the program has added.

use std::sync::Arc;

use asyncio_loop::{running_loop, wrap_future};
use asyncio_task::{TaskHandleExt, current_task};

use super::Reply;
use crate::call::ask;
use crate::state::State;
use crate::watched::Watched;

/// Runs a command as a task of the first loop that has it. Dropping the future cancels the task.
pub(super) async fn run(state: &State, name: &str, words: &[String]) -> Reply {
    let has_it = |watched: &Arc<Watched>| watched.commands.iter().any(|(other, _)| other == name);
    let Some(watched) = state.loops.open().into_iter().find(has_it) else {
        return Reply::failed(format!("there is no command {name}: see help"));
    };
    // A blocked loop is reported at once; the command itself has no time limit.
    let ping = ask(&watched, state.answer_timeout, |question| question.answer(()));
    if let Err(silence) = ping.await {
        return Reply::failed(watched.why(&silence));
    }
    let (name, words, there) = (name.to_owned(), words.to_vec(), Arc::clone(&watched));
    let task = watched.handle.run_coroutine_threadsafe(move || call(there, name, words));
    match wrap_future(task).await {
        Ok(result) => result.into(),
        Err(error) => Reply::failed(error.to_string()),
    }
}

/// The command's task, on the loop.
async fn call(watched: Arc<Watched>, name: String, words: Vec<String>) -> Result<String, String> {
    if let Some(task) = current_task() {
        task.set_name(format!("monitor: {name}"));
    }
    let command = watched.find_command(&running_loop(), &name);
    let command = command.ok_or_else(|| format!("{name} is gone"))?;
    command.call(&words)?.await
}
