//! The await graph as a tree.

use std::collections::HashMap;
use std::fmt::{self, Write};

use asyncio_loop::inspect::{WaitDetail, find_cycles};

use super::row::Listed;
use super::{function, place, plain};

/// The maximum depth and number of lines of a printed tree.
const DEEP: usize = 64;
const LINES: usize = 20_000;

/// Tasks below the tasks that await them.
pub(crate) struct Tree<'a> {
    tasks: HashMap<u64, Listed<'a>>,
    /// The tasks that no task awaits.
    pub(crate) roots: Vec<u64>,
    awaits: HashMap<u64, Vec<u64>>,
    cycles: Vec<Vec<u64>>,
}

/// Descriptions of tasks that wait for each other.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Cycle {
    pub(crate) tasks: Vec<u64>,
    /// `a (2) → b (3) → a (2)`.
    pub(crate) text: String,
    /// The reason for which each task waits for the next one.
    pub(crate) waits: Vec<String>,
}

impl<'a> Tree<'a> {
    pub(crate) fn new(listed: &[Listed<'a>]) -> Self {
        let tasks: HashMap<u64, Listed<'a>> =
            listed.iter().map(|task| (task.info.id, *task)).collect();
        let mut awaits: HashMap<u64, Vec<u64>> = HashMap::new();
        let mut roots = Vec::new();
        for task in listed {
            let mut is_root = true;
            for awaiter in task.info.awaited_by.iter().filter(|id| tasks.contains_key(id)) {
                awaits.entry(*awaiter).or_default().push(task.info.id);
                is_root = false;
            }
            if is_root {
                roots.push(task.info.id);
            }
        }
        roots.sort_unstable();
        awaits.values_mut().for_each(|tasks| tasks.sort_unstable());
        let infos: Vec<_> = listed.iter().map(|task| task.info).collect();
        Self { tasks, roots, awaits, cycles: find_cycles(&infos) }
    }

    pub(crate) fn cycles(&self) -> Vec<Cycle> {
        self.cycles.iter().map(|cycle| self.cycle(cycle)).collect()
    }

    fn cycle(&self, cycle: &[u64]) -> Cycle {
        let pairs = cycle.iter().zip(cycle.iter().cycle().skip(1));
        let names: Vec<String> =
            cycle.iter().chain(cycle.first()).map(|id| self.name(*id)).collect();
        Cycle {
            tasks: cycle.to_vec(),
            text: names.join(" → "),
            waits: pairs.map(|(task, next)| self.why(*task, *next)).collect(),
        }
    }

    fn name(&self, id: u64) -> String {
        let name = self.tasks.get(&id).map_or("?", |task| &task.info.name);
        format!("{} ({id})", plain(name))
    }

    /// The reason for which one task waits for another.
    fn why(&self, task: u64, next: u64) -> String {
        let wait = self.tasks.get(&task).and_then(|task| task.info.wait.as_ref());
        let at = wait.and_then(|wait| wait.at).map(|at| format!(", at {}", place(at)));
        let holds = wait.filter(|wait| match &wait.detail {
            WaitDetail::Resource(resource) => {
                resource.holder.is_some_and(|holder| holder.task == next)
            }
            _ => false,
        });
        let (task, at) = (self.name(task), at.unwrap_or_default());
        match holds {
            Some(wait) => format!("{task} waits for {wait}{at}"),
            None => format!("{task} awaits {}{at}", self.name(next)),
        }
    }

    pub(crate) fn awaited_by(&self, id: u64) -> &[u64] {
        self.awaits.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// A line to be written, below the lines of its parents.
struct Node {
    id: u64,
    /// For each level above, whether more siblings follow below this node.
    bars: Vec<bool>,
}

impl Tree<'_> {
    /// Writes a task with its frames. Returns the bars for the tasks that it awaits.
    fn write_task(&self, f: &mut impl Write, node: &Node) -> Result<Vec<bool>, fmt::Error> {
        let Some(task) = self.tasks.get(&node.id) else { return Ok(Vec::new()) };
        let info = &task.info;
        writeln!(
            f,
            "{}(T) {} ({}) {}",
            branch(&node.bars),
            plain(&info.name),
            info.id,
            info.state
        )?;
        let has_more = !self.awaited_by(node.id).is_empty();
        let mut bars = node.bars.clone();
        bars.push(false);
        let name = format!("{}()", function(info));
        writeln!(f, "{}{name} {}", branch(&bars), place(info.created_at))?;
        if let Some(wait) = &info.wait {
            // An awaited task with a number is shown below.
            let what = match &wait.detail {
                WaitDetail::Task { .. } if has_more => wait.what.to_string(),
                _ => wait.to_string(),
            };
            let at = wait.at.map_or_else(|| "-".to_owned(), |at| place(at));
            bars.push(false);
            writeln!(f, "{}wait for {what} {at}", branch(&bars))?;
        }
        Ok(bars)
    }
}

/// The characters before a line.
fn branch(bars: &[bool]) -> String {
    let Some((last, above)) = bars.split_last() else { return String::new() };
    let mut text = String::new();
    for bar in above {
        text.push_str(if *bar { "│   " } else { "    " });
    }
    text.push_str(if *last { "├── " } else { "└── " });
    text
}

impl fmt::Display for Tree<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // This does not recurse, since chains may be long. The last entry is written next.
        let mut left: Vec<Node> =
            self.roots.iter().rev().map(|id| Node { id: *id, bars: vec![false] }).collect();
        let mut lines = 0;
        while let Some(node) = left.pop() {
            if lines > LINES {
                return writeln!(f, "… and more");
            }
            let bars = self.write_task(f, &node)?;
            lines += 3;
            let awaited = self.awaited_by(node.id);
            if awaited.is_empty() {
                continue;
            }
            if bars.len() > 2 * DEEP {
                let mut bars = bars;
                bars.push(false);
                writeln!(f, "{}… and what it awaits", branch(&bars))?;
                continue;
            }
            for (number, id) in awaited.iter().enumerate().rev() {
                let mut bars = bars.clone();
                bars.push(number + 1 < awaited.len());
                left.push(Node { id: *id, bars });
            }
        }
        Ok(())
    }
}
