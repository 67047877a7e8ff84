//! `where`: one task in all detail.

use std::sync::Arc;
use std::time::Instant;

use super::process::stack_of_blocked;
use super::show::Tasks;
use super::{Reply, task_id};
use crate::silence::Silence;
use crate::stack::{self, NoStack};
use crate::state::State;
use crate::views::{self, Listed, short};
use crate::walks::Seen;
use crate::watched::Watched;

/// Who made a task, where it waits, and its full stack, for which it is polled once.
pub(super) async fn describe(state: &State, id: &str) -> Reply {
    let id = match task_id(id) {
        Ok(id) => id,
        Err(text) => return Reply::failed(text),
    };
    let all = state.tasks().await;
    let listed = all.listed();
    let Some(mut text) = views::describe(id, &listed) else {
        let known = what_is_known(state, &all, id).await;
        return Reply::failed(all.silence() + &known.unwrap_or_else(|| format!("No task {id}\n")));
    };
    let of_loop = listed.iter().find(|task| task.info.id == id).map(|task| task.of_loop);
    let loops = state.loops.open();
    if let Some(watched) = loops.iter().find(|watched| Some(watched.number) == of_loop) {
        text.push_str(&full_stack(state, watched, id).await);
    }
    Reply { text: all.silence() + &text, is_ok: all.silent.is_empty() }
}

async fn full_stack(state: &State, watched: &Arc<Watched>, id: u64) -> String {
    let limit = state.answer_timeout;
    let why = match stack::take(watched, limit, id).await {
        Ok(stack) => return views::full_stack(&stack),
        Err(why) => why,
    };
    match why {
        NoStack::Ended => "The task has ended meanwhile\n".to_owned(),
        NoStack::NotPolled(limit) => format!(
            "No full stack: the task was not polled for {} ms, although it was woken\n",
            limit.as_millis()
        ),
        NoStack::NoNames => "No full stack: the names of the calls were not found\n".to_owned(),
        NoStack::Silent(Silence::Closed) => "Its loop has been closed meanwhile\n".to_owned(),
        NoStack::Silent(silence) => format!("No full stack: {}\n", watched.why(&silence)),
    }
}

/// What is known of a task whose loop does not answer: the stack of the thread, if the task is what
/// blocks the loop, or what was seen of it before.
async fn what_is_known(state: &State, all: &Tasks, id: u64) -> Option<String> {
    for watched in state.loops.open() {
        if all.has(watched.number) {
            continue;
        }
        if watched.is_in(id) {
            let stack = stack_of_blocked(watched.handle.clone()).await;
            return Some(format!("Stack of the loop's thread (most recent call first):\n{stack}"));
        }
        let seen = state.walks.last_seen(watched.number);
        if let Some(text) = seen.and_then(|seen| earlier(watched.number, &seen, id)) {
            return Some(text);
        }
    }
    None
}

fn earlier(of_loop: u64, seen: &Seen, id: u64) -> Option<String> {
    let listed: Vec<Listed<'_>> =
        seen.snapshot.tasks.iter().map(|info| Listed { of_loop, info }).collect();
    let text = views::describe(id, &listed)?;
    let ago = short(Instant::now() - seen.at);
    Some(format!("As it was {ago} ago:\n{text}"))
}
