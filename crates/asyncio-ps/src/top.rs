//! `top`: the tasks that run most often.

use std::collections::HashMap;
use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harmless;
use crate::socket::Monitor;

/// How many tasks are requested. Further ones have run rarely.
const TASKS: usize = 2000;
/// Clears the terminal and moves to its first line.
const CLEAR: &str = "\x1b[H\x1b[2J";

/// Shows the tasks `rounds` times, or until the program is ended.
pub(crate) fn run(
    monitor: &Monitor,
    rounds: Option<u64>,
    interval: Duration,
    rows: usize,
) -> io::Result<()> {
    let clear = if io::stdout().is_terminal() { CLEAR } else { "" };
    let mut before: Option<Sample> = None;
    let mut left = rounds;
    while left != Some(0) {
        let now = Sample::take(monitor)?;
        let text = now.show(before.as_ref(), rows);
        let mut out = io::stdout().lock();
        write!(out, "{clear}{text}")?;
        out.flush()?;
        before = Some(now);
        left = left.map(|left| left - 1);
        if left != Some(0) {
            thread::sleep(interval);
        }
    }
    Ok(())
}

/// The tasks at one moment.
struct Sample {
    at: Instant,
    overview: Value,
    listing: Value,
}

/// A displayed task.
struct Row<'a> {
    task: &'a Value,
    /// How often per second it ran since the previous round.
    rate: f64,
}

impl Sample {
    fn take(monitor: &Monitor) -> io::Result<Self> {
        let overview = monitor.get("/api/overview")?;
        let listing = monitor.get(&format!("/api/tasks?sort=polls&limit={TASKS}"))?;
        Ok(Self { at: Instant::now(), overview, listing })
    }

    fn tasks(&self) -> impl Iterator<Item = &Value> {
        self.listing["tasks"].as_array().into_iter().flatten()
    }

    fn rows(&self, before: Option<&Sample>) -> Vec<Row<'_>> {
        let polls = |task: &Value| task["polls"].as_u64().unwrap_or(0);
        let earlier: HashMap<Option<u64>, u64> = before
            .into_iter()
            .flat_map(Sample::tasks)
            .map(|task| (task["id"].as_u64(), polls(task)))
            .collect();
        let seconds = before.map(|before| (self.at - before.at).as_secs_f64());
        let rate = |task: &Value| {
            let since = earlier.get(&task["id"].as_u64()).copied().unwrap_or(0);
            let more = polls(task).saturating_sub(since);
            seconds
                .map_or(0.0, |seconds| f64::from(u32::try_from(more).unwrap_or(u32::MAX)) / seconds)
        };
        let mut rows: Vec<Row<'_>> =
            self.tasks().map(|task| Row { task, rate: rate(task) }).collect();
        rows.sort_by(|a, b| b.rate.total_cmp(&a.rate));
        rows
    }

    fn show(&self, before: Option<&Sample>, rows: usize) -> String {
        let (program, process) = (&self.overview["program"], &self.overview["process"]);
        let program = program.as_str().unwrap_or("?");
        let mut text = format!("{program} ({process}), {} tasks\n", self.listing["count"]);
        for one in self.overview["loops"].as_array().into_iter().flatten() {
            text.push_str(&loop_line(one));
        }
        text.push_str(&format!(
            "{:>8}  {:>9}  {:>10}  {:<10}  {:<20}  {}\n",
            "ID", "Polls/s", "Polls", "State", "Name", "Waits for"
        ));
        for Row { task, rate } in self.rows(before).into_iter().take(rows) {
            let word = |name: &str| task[name].as_str().unwrap_or("-").to_owned();
            text.push_str(&format!(
                "{:>8}  {rate:>9.1}  {:>10}  {:<10}  {:<20}  {}\n",
                task["id"].to_string(),
                task["polls"].to_string(),
                word("state"),
                harmless(&word("name")),
                harmless(&word("waits_for")),
            ));
        }
        text
    }
}

fn loop_line(one: &Value) -> String {
    if let Some(silence) = one["silence"].as_str() {
        return format!("{}\n", harmless(silence));
    }
    let figures = &one["figures"];
    let lag = one["lag"].as_f64().unwrap_or(0.0) * 1e3;
    format!(
        "loop {} (thread {}): lag {lag:.2} ms, {} timers, {} turns\n",
        one["number"],
        harmless(&one["thread"].to_string()),
        figures["timers"],
        figures["turns"],
    )
}
