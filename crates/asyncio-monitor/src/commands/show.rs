//! Commands that only read.

use std::cmp::Reverse;
use std::fmt::Write;
use std::rc::Rc;
use std::time::Duration;

use super::{Reply, task_id};
use crate::figures::Measured;
use crate::history::Ended;
use crate::snapshot::Snapshot;
use crate::state::State;
use crate::views::{
    self, Filter, Listed, Order, Table, Tree, Wanted, count, function, plain, write_number,
    write_place, write_short,
};

/// The answers of the loops.
pub(crate) struct Tasks {
    /// The numbers of loops, and their tasks.
    snapshots: Vec<(u64, Rc<Snapshot>)>,
    /// Descriptions of the loops that have not answered.
    pub(crate) silent: Vec<String>,
}

impl State {
    /// The tasks of all loops.
    pub(crate) async fn tasks(&self) -> Tasks {
        let mut all = Tasks { snapshots: Vec::new(), silent: Vec::new() };
        let answers = self.ask_each(|watched, limit| self.walks.join(&watched, limit));
        for (watched, answer) in answers.await {
            match answer {
                Ok(snapshot) => all.snapshots.push((watched.number, snapshot)),
                Err(silence) => all.silent.push(watched.why(&silence)),
            }
        }
        all
    }
}

impl Tasks {
    pub(crate) fn listed(&self) -> Vec<Listed<'_>> {
        let mut all = Vec::with_capacity(self.count());
        for (of_loop, snapshot) in &self.snapshots {
            all.extend(snapshot.tasks.iter().map(|info| Listed { of_loop: *of_loop, info }));
        }
        all
    }

    /// Whether this loop has answered.
    pub(super) fn has(&self, of_loop: u64) -> bool {
        self.snapshots.iter().any(|(number, _)| *number == of_loop)
    }

    pub(crate) fn count(&self) -> usize {
        self.snapshots.iter().map(|(_, snapshot)| snapshot.tasks.len()).sum()
    }

    /// The longest time for which a snapshot blocked a loop.
    pub(crate) fn longest_pause(&self) -> Duration {
        let pauses = self.snapshots.iter().map(|(_, snapshot)| snapshot.longest_pause);
        pauses.max().unwrap_or_default()
    }

    /// The text with a line for each loop that has not answered. The command fails if there is one.
    fn reply(&self, text: Result<String, String>) -> Reply {
        let is_ok = text.is_ok() && self.silent.is_empty();
        let text = text.unwrap_or_else(|text| text);
        if self.silent.is_empty() {
            return Reply { text, is_ok };
        }
        let mut all = self.silence();
        if self.count() > 0 {
            all.push_str(&text);
        }
        Reply { text: all, is_ok }
    }

    /// A line for each loop that has not answered.
    pub(super) fn silence(&self) -> String {
        self.silent.iter().map(|silent| format!("{silent}\n")).collect()
    }
}

/// The options of `ps`.
fn parse(words: &[String]) -> Result<Wanted, String> {
    let mut wanted = Wanted {
        filter: Filter::default(),
        order: Order::default(),
        is_reversed: false,
        offset: 0,
        limit: usize::MAX,
    };
    let mut words = words.iter();
    while let Some(option) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "-f" | "--filter" => wanted.filter.text.clone_from(value()?),
            "-n" | "--limit" => {
                wanted.limit = value()?.parse().map_err(|_| "-n needs a number".to_owned())?;
            }
            "-s" | "--sort" => {
                let name = value()?;
                wanted.order = Order::parse(name)
                    .ok_or_else(|| format!("there is no column {name}: {}", Order::NAMES))?;
            }
            "-r" | "--reverse" => wanted.is_reversed = true,
            other => return Err(format!("ps has no option {other}: see help")),
        }
    }
    Ok(wanted)
}

pub(super) async fn ps(state: &State, words: &[String]) -> Reply {
    let wanted = match parse(words) {
        Ok(wanted) => wanted,
        Err(text) => return Reply::failed(text),
    };
    let all = state.tasks().await;
    let listed = all.listed();
    let (shown, _) = views::list(&listed, &wanted);
    let mut text = count(listed.len(), "task");
    if shown.len() < listed.len() {
        text.push_str(&format!(", {} shown", shown.len()));
    }
    let has_loops = listed.iter().any(|task| task.of_loop != listed[0].of_loop);
    text.push('\n');
    text.push_str(&table(&shown, has_loops));
    all.reply(Ok(text))
}

fn table(tasks: &[Listed<'_>], has_loops: bool) -> String {
    let mut header = vec!["ID", "State", "Name", "Function", "Created at", "Since", "Waits for"];
    if has_loops {
        header.insert(1, "Loop");
    }
    let mut table = Table::new(&header, tasks.len());
    for Listed { of_loop, info } in tasks {
        table.cell(|text| write_number(text, info.id));
        if has_loops {
            table.cell(|text| write_number(text, *of_loop));
        }
        table.cell(|text| {
            text.push_str(info.state.as_str());
            if info.is_cancelling {
                text.push_str(", cancelling");
            }
        });
        table.cell(|text| text.push_str(&plain(&info.name)));
        table.cell(|text| text.push_str(function(info)));
        table.cell(|text| write_place(text, info.created_at));
        table.cell(|text| write_short(text, info.age()));
        table.cell(|text| {
            let Some(wait) = &info.wait else { return text.push('-') };
            let _ = write!(text, "{wait}");
            if let Some(at) = wait.at {
                text.push_str(" at ");
                write_place(text, at);
            }
        });
    }
    table.finish()
}

pub(super) async fn graph(state: &State) -> Reply {
    let all = state.tasks().await;
    let tree = Tree::new(&all.listed());
    let cycles = tree.cycles();
    if cycles.is_empty() {
        return all.reply(Ok(tree.to_string()));
    }
    let mut text = "ERROR: tasks wait for each other in a cycle: there is no tree\n".to_owned();
    for cycle in cycles {
        text.push_str(&format!("\ncycle: {}\n", cycle.text));
        cycle.waits.iter().for_each(|wait| text.push_str(&format!("  {wait}\n")));
    }
    all.reply(Err(text))
}

pub(super) async fn stats(state: &State) -> Reply {
    let mut text = String::new();
    let mut is_ok = true;
    for Measured { watched, figures, answer } in state.figures().await {
        let answer = match answer {
            Ok(lag) => format!("answers in {:.3} ms", lag.as_secs_f64() * 1e3),
            Err(silence) => {
                is_ok = false;
                text.push_str(&format!("{}\n", watched.why(&silence)));
                "does not answer".to_owned()
            }
        };
        let (number, thread) = (watched.number, &watched.thread);
        text.push_str(&format!("loop {number} (thread {thread:?}) {answer}\n{figures}"));
    }
    Reply { text, is_ok }
}

impl State {
    /// The ended tasks of all loops, the newest first.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        let loops = self.loops.open();
        let mut all: Vec<Ended> =
            loops.iter().flat_map(|watched| watched.observed.ended()).collect();
        all.sort_by_key(|ended| Reverse(ended.at));
        all
    }
}

/// This uses only the monitor's own data and needs no answer of the loop.
pub(super) fn ps_terminated(state: &State, words: &[String]) -> Reply {
    let wanted = match parse(words) {
        Ok(wanted) => wanted,
        Err(text) => return Reply::failed(text),
    };
    let all = state.ended();
    let taken = all.iter().filter(|ended| wanted.filter.takes(&ended.info)).take(wanted.limit);
    let taken: Vec<&Ended> = taken.collect();
    let mut text = count(all.len(), "ended task");
    if taken.len() < all.len() {
        text.push_str(&format!(", {} shown", taken.len()));
    }
    text.push_str(&format!("\n{}", views::table_of_ended(&taken)));
    Reply::ok(text)
}

pub(super) fn describe_ended(state: &State, id: &str) -> Reply {
    let id = match task_id(id) {
        Ok(id) => id,
        Err(text) => return Reply::failed(text),
    };
    let text = views::describe_ended(id, &state.ended());
    text.ok_or_else(|| format!("No ended task {id} is remembered\n")).into()
}
