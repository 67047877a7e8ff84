//! All details of one task.

use std::fmt::Write;

use asyncio_loop::inspect::{FullStack, TaskInfo, TaskState};

use super::row::Listed;
use super::{function, place, plain, short};

/// `once`, `2 times`.
fn times(number: u32) -> String {
    if number == 1 { "once".to_owned() } else { format!("{number} times") }
}

/// A task, its creators, the place where it waits, and its waiters. `tasks` is the list of all
/// tasks.
pub(crate) fn describe(id: u64, tasks: &[Listed<'_>]) -> Option<String> {
    let find = |id: u64| tasks.iter().map(|task| task.info).find(|task| task.id == id);
    let task = find(id)?;
    let mut text = String::new();
    let mut write = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let cancelling = if task.is_cancelling { ", asked to end" } else { "" };
    write(format!(
        "Task {id} {:?}: {}{cancelling}, {} old, polled {}",
        task.name,
        task.state,
        short(task.age()),
        times(task.polls)
    ));
    write("Created by (oldest first):".to_owned());
    for line in creators(task, find) {
        write(line);
    }
    write("Stack (most recent call last):".to_owned());
    for frame in task.stack() {
        write(format!("  {frame}"));
    }
    if let Some(wait) = &task.wait {
        let at = wait.at.map_or_else(|| "a line that is not known".to_owned(), |at| place(at));
        write(format!("Waits for {wait} at {at}, for {}", short(task.waited())));
    }
    for awaiter in &task.awaited_by {
        let name = find(*awaiter).map_or("?", |task| &task.name);
        write(format!("Awaited by task {awaiter} {name:?}"));
    }
    Some(text)
}

/// The calls that lead to each place at which a task waits.
pub(crate) fn full_stack(stack: &FullStack) -> String {
    let mut text =
        "Full stack (most recent call last), found by polling the task once:\n".to_owned();
    let instead = match stack.task.state {
        TaskState::Finished | TaskState::Cancelled | TaskState::Panicked => {
            Some("  The task has ended by this poll.")
        }
        _ if !stack.branches.is_empty() => None,
        _ if stack.task.is_cancelling => Some("  The task was asked to end, and has not answered."),
        _ => Some("  The task has not said where it waits."),
    };
    // The first line is the task.
    let all = stack.to_string();
    let lines = instead.into_iter().chain(all.lines().skip(1).take_while(|_| instead.is_none()));
    for line in lines {
        text.push_str(&plain(line));
        text.push('\n');
    }
    text
}

/// The chain of tasks that created it, from the first one to itself, each with the place of its
/// creation.
fn creators<'a>(task: &TaskInfo, find: impl Fn(u64) -> Option<&'a TaskInfo>) -> Vec<String> {
    let mut lines = vec![line_of(task)];
    let mut parent = task.parent;
    while let Some(id) = parent {
        match find(id) {
            Some(task) => {
                lines.push(line_of(task));
                parent = task.parent;
            }
            None => {
                lines.push(format!("  task {id}, which has ended"));
                parent = None;
            }
        }
    }
    lines.reverse();
    lines
}

fn line_of(task: &TaskInfo) -> String {
    let mut line = format!("  File '{}', line {}", task.created_at.file(), task.created_at.line());
    // Writing to a string cannot fail.
    let _ = write!(line, ", task {} {:?}, {}()", task.id, task.name, function(task));
    line
}
