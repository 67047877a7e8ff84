//! Commands that look and change nothing.

use std::cmp::Reverse;
use std::time::Duration;

use super::{Reply, task_id};
use crate::figures::Measured;
use crate::history::Ended;
use crate::state::State;
use crate::views::{
    self, Filter, Listed, Order, Table, Tree, count, function, place, plain, short,
};

/// What the loops had to say.
pub(crate) struct Tasks {
    pub(crate) tasks: Vec<Listed>,
    /// The loops that have not answered, in words.
    pub(crate) silent: Vec<String>,
    /// How long a loop was kept from its work at a time, at most.
    pub(crate) longest_pause: Duration,
}

impl State {
    /// The tasks of all loops.
    pub(crate) async fn tasks(&self) -> Tasks {
        let mut all =
            Tasks { tasks: Vec::new(), silent: Vec::new(), longest_pause: Duration::ZERO };
        let answers = self
            .ask_each(|watched, limit| async move { crate::snapshot::take(&watched, limit).await });
        for (watched, answer) in answers.await {
            match answer {
                Ok(snapshot) => {
                    let of_loop = watched.number;
                    let tasks = snapshot.tasks.into_iter().map(|info| Listed { of_loop, info });
                    all.tasks.extend(tasks);
                    all.longest_pause = all.longest_pause.max(snapshot.longest_pause);
                }
                Err(silence) => all.silent.push(silence.text(&watched)),
            }
        }
        all
    }
}

impl Tasks {
    /// The text with a line for each loop that has not answered; that is a failure.
    fn reply(&self, text: Result<String, String>) -> Reply {
        let is_ok = text.is_ok() && self.silent.is_empty();
        let mut all = String::new();
        for silent in &self.silent {
            all.push_str(silent);
            all.push('\n');
        }
        if !self.tasks.is_empty() || self.silent.is_empty() {
            all.push_str(&text.unwrap_or_else(|text| text));
        }
        Reply { text: all, is_ok }
    }
}

/// The options of `ps`.
struct Ps {
    filter: Filter,
    order: Order,
    is_reversed: bool,
    limit: usize,
}

impl Ps {
    fn parse(words: &[String]) -> Result<Self, String> {
        let order = Order::default();
        let mut ps =
            Self { filter: Filter::default(), order, is_reversed: false, limit: usize::MAX };
        let mut words = words.iter();
        while let Some(option) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "-f" | "--filter" => ps.filter.text.clone_from(value()?),
                "-n" | "--limit" => {
                    ps.limit = value()?.parse().map_err(|_| "-n needs a number".to_owned())?;
                }
                "-s" | "--sort" => {
                    let name = value()?;
                    ps.order = Order::parse(name)
                        .ok_or_else(|| format!("there is no column {name}: {}", Order::NAMES))?;
                }
                "-r" | "--reverse" => ps.is_reversed = true,
                other => return Err(format!("ps has no option {other}: see help")),
            }
        }
        Ok(ps)
    }
}

pub(super) async fn ps(state: &State, words: &[String]) -> Reply {
    let ps = match Ps::parse(words) {
        Ok(ps) => ps,
        Err(text) => return Reply::failed(text),
    };
    let all = state.tasks().await;
    let (shown, _) = views::list(&all.tasks, &ps.filter, ps.order, ps.is_reversed, ps.limit);
    let mut text = count(all.tasks.len(), "task");
    if shown.len() < all.tasks.len() {
        text.push_str(&format!(", {} shown", shown.len()));
    }
    let has_loops = all.tasks.iter().any(|task| task.of_loop != all.tasks[0].of_loop);
    text.push_str(&format!("\n{}", table(&shown, has_loops)));
    all.reply(Ok(text))
}

fn table(tasks: &[&Listed], has_loops: bool) -> Table {
    let mut header = vec!["ID", "State", "Name", "Function", "Created at", "Since", "Waits for"];
    if has_loops {
        header.insert(1, "Loop");
    }
    let mut table = Table::new(&header);
    for task in tasks {
        let info = &task.info;
        let cancelling = if info.is_cancelling { ", cancelling" } else { "" };
        let wait = info.wait.as_ref().map_or_else(
            || "-".to_owned(),
            |wait| match wait.at {
                Some(at) => format!("{wait} at {}", place(at)),
                None => wait.to_string(),
            },
        );
        let mut row = vec![
            info.id.to_string(),
            format!("{}{cancelling}", info.state),
            plain(&info.name).into_owned(),
            function(info).to_owned(),
            place(info.created_at),
            short(info.age()),
            wait,
        ];
        if has_loops {
            row.insert(1, task.of_loop.to_string());
        }
        table.push(row);
    }
    table
}

pub(super) async fn describe(state: &State, id: &str) -> Reply {
    let id = match task_id(id) {
        Ok(id) => id,
        Err(text) => return Reply::failed(text),
    };
    let all = state.tasks().await;
    all.reply(views::describe(id, &all.tasks).ok_or_else(|| format!("No task {id}\n")))
}

pub(super) async fn graph(state: &State) -> Reply {
    let all = state.tasks().await;
    let tree = Tree::new(&all.tasks);
    let circles = tree.circles();
    if circles.is_empty() {
        return all.reply(Ok(tree.to_string()));
    }
    let mut text = "ERROR: tasks wait for each other in a circle: there is no tree\n".to_owned();
    for circle in circles {
        text.push_str(&format!("\ncircle: {}\n", circle.text));
        circle.waits.iter().for_each(|wait| text.push_str(&format!("  {wait}\n")));
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
                text.push_str(&format!("{}\n", silence.text(&watched)));
                "does not answer".to_owned()
            }
        };
        let (number, thread) = (watched.number, &watched.thread);
        text.push_str(&format!("loop {number} (thread {thread:?}) {answer}\n{figures}"));
    }
    Reply { text, is_ok }
}

impl State {
    /// The tasks of all loops that have ended, the newest first.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        let loops = self.loops.open();
        let mut all: Vec<Ended> =
            loops.iter().flat_map(|watched| watched.observed.ended()).collect();
        all.sort_by_key(|ended| Reverse(ended.at));
        all
    }
}

/// What the monitor knows by itself: it needs no answer of the loop.
pub(super) fn ps_terminated(state: &State, words: &[String]) -> Reply {
    let ps = match Ps::parse(words) {
        Ok(ps) => ps,
        Err(text) => return Reply::failed(text),
    };
    let all = state.ended();
    let taken = all.iter().filter(|ended| ps.filter.takes(&ended.info)).take(ps.limit);
    let taken: Vec<&Ended> = taken.collect();
    let mut text = count(all.len(), "ended task");
    if taken.len() < all.len() {
        text.push_str(&format!(", {} shown", taken.len()));
    }
    text.push_str(&format!("\n{}", views::table_of_ended(taken.into_iter())));
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
