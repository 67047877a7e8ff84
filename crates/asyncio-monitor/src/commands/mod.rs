//! The commands of the console, which asyncio-ps and the page also use.

mod cancel;
mod custom;
mod one_task;
mod process;
mod record;
mod show;

use crate::state::State;

/// The answer of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) text: String,
    pub(crate) is_ok: bool,
}

impl Reply {
    pub(crate) fn ok(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_ok: true }
    }

    pub(crate) fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), is_ok: false }
    }
}

impl From<Result<String, String>> for Reply {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(text) => Self::ok(text),
            Err(text) => Self::failed(text),
        }
    }
}

/// A built-in command.
struct Builtin {
    names: &'static [&'static str],
    usage: &'static str,
    help: &'static str,
}

#[rustfmt::skip]
static BUILTINS: [Builtin; 12] = [
    Builtin { names: &["help", "?", "h"], usage: "help", help: "shows the commands" },
    Builtin { names: &["ps", "p"], usage: "ps [-f TEXT] [-s COLUMN] [-r] [-n COUNT]",
        help: "lists tasks: those that contain TEXT, sorted by COLUMN, reversed, COUNT of them" },
    Builtin { names: &["where", "w"], usage: "where ID",
        help: "shows who made a task, where it waits, who awaits it, and its full stack, for which \
               it is polled once" },
    Builtin { names: &["ps-terminated", "pt", "pst"], usage: "ps-terminated [-f TEXT] [-n COUNT]",
        help: "lists the tasks that have ended, the newest first" },
    Builtin { names: &["where-terminated", "wt"], usage: "where-terminated ID",
        help: "shows how a task has ended, and who cancelled it" },
    Builtin { names: &["graph", "pstree"], usage: "graph",
        help: "shows who awaits whom; fails if tasks wait for each other in a cycle" },
    Builtin { names: &["cancel", "ca"], usage: "cancel ID", help: "cancels a task" },
    Builtin { names: &["record"], usage: "record [on [EVENTS] | off]",
        help: "shows whether the loops are recorded, and switches their flight recorders" },
    Builtin { names: &["stats"], usage: "stats", help: "shows figures of the loops" },
    Builtin { names: &["stacktrace", "st", "stack"], usage: "stacktrace",
        help: "shows the stacks of the loops' threads" },
    Builtin { names: &["signal"], usage: "signal NAME", help: "sends the process a signal" },
    Builtin { names: &["quit", "q", "exit"], usage: "quit", help: "ends the session" },
];

pub(crate) fn is_builtin(name: &str) -> bool {
    BUILTINS.iter().any(|builtin| builtin.names.contains(&name))
}

/// Runs one command line.
pub(crate) async fn run(state: &State, line: &str) -> Reply {
    let Some(words) = shlex::split(line) else {
        return Reply::failed("a quotation mark has no partner");
    };
    let Some((name, words)) = words.split_first() else { return Reply::ok("") };
    let builtin = BUILTINS.iter().find(|builtin| builtin.names.contains(&name.as_str()));
    let Some(builtin) = builtin else { return custom::run(state, name, words).await };
    match (builtin.names[0], words) {
        ("help", []) => Reply::ok(help(state)),
        ("ps", words) => show::ps(state, words).await,
        ("where", [id]) => one_task::describe(state, id).await,
        ("ps-terminated", words) => show::ps_terminated(state, words),
        ("where-terminated", [id]) => show::describe_ended(state, id),
        ("graph", []) => show::graph(state).await,
        ("record", words) => record::run(state, words).await,
        ("stats", []) => show::stats(state).await,
        ("cancel", [id]) => cancel::run(state, id).await,
        ("stacktrace", []) => process::stacktrace(state).await,
        ("signal", [name]) => process::signal(name),
        ("quit", []) => Reply::ok(""),
        _ => Reply::failed(format!("usage: {}", builtin.usage)),
    }
}

fn help(state: &State) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for builtin in &BUILTINS {
        let mut usage = builtin.usage.to_owned();
        for other in &builtin.names[1..] {
            usage.push_str(", ");
            usage.push_str(other);
        }
        lines.push((usage, builtin.help.to_owned()));
    }
    for watched in state.loops.open() {
        lines.extend(watched.commands.iter().cloned());
    }
    let width = lines.iter().map(|(usage, _)| usage.chars().count()).max().unwrap_or(0);
    lines.iter().map(|(usage, help)| format!("{usage:width$}  {help}\n")).collect()
}

/// The number of a task, with or without a `#` before it.
fn task_id(word: &str) -> Result<u64, String> {
    let number = word.strip_prefix('#').unwrap_or(word);
    number.parse().map_err(|_| format!("{word:?} is not the number of a task"))
}
