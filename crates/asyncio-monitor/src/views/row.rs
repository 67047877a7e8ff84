//! Tasks as rows: filtered, ordered, and ready to be shown.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use asyncio_loop::LoopTime;
use asyncio_loop::inspect::{TaskInfo, TaskState};
use serde::Serialize;

use super::{function, place};

/// A task of one of the loops.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listed<'a> {
    /// The number of its loop.
    pub(crate) of_loop: u64,
    pub(crate) info: &'a TaskInfo,
}

/// The requested rows.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    pub(crate) order: Order,
    pub(crate) is_reversed: bool,
    /// How many rows are skipped, and how many follow.
    pub(crate) offset: usize,
    pub(crate) limit: usize,
}

/// Which tasks are shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    /// A text that the name, the function or the awaited object must contain.
    pub(crate) text: String,
    pub(crate) state: Option<String>,
}

impl Filter {
    pub(crate) fn takes(&self, task: &TaskInfo) -> bool {
        self.takes_state(task.state) && (self.text.is_empty() || self.takes_text(task))
    }

    fn takes_state(&self, state: TaskState) -> bool {
        self.state.as_ref().is_none_or(|wanted| wanted == state.as_str())
    }

    fn takes_text(&self, task: &TaskInfo) -> bool {
        task.name.contains(&self.text)
            || function(task).contains(&self.text)
            || task.wait.as_ref().is_some_and(|wait| wait.to_string().contains(&self.text))
    }
}

/// The order of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Id,
    Name,
    State,
    Function,
    /// The oldest first.
    Age,
    /// The most often polled first.
    Polls,
    /// The longest waiting first.
    Waited,
}

impl Order {
    pub(crate) const NAMES: &str = "id, name, state, function, age, polls, waited";

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "id" => Self::Id,
            "name" => Self::Name,
            "state" => Self::State,
            "function" => Self::Function,
            "age" => Self::Age,
            "polls" => Self::Polls,
            "waited" => Self::Waited,
            _ => return None,
        })
    }

    fn sort(self, tasks: &mut [Listed<'_>]) {
        match self {
            Self::Id => tasks.sort_by_key(|task| task.info.id),
            Self::Name => tasks.sort_by(|a, b| a.info.name.cmp(&b.info.name)),
            Self::State => tasks.sort_by_key(|task| task.info.state.as_str()),
            Self::Function => tasks.sort_by_key(|task| function(task.info)),
            // This compares times, since the ages refer to different times.
            Self::Age => tasks.sort_by_key(|task| task.info.created),
            Self::Polls => tasks.sort_by_key(|task| Reverse(task.info.polls)),
            Self::Waited => tasks.sort_by_key(|task| {
                task.info.wait.as_ref().map_or(LoopTime::MAX, |wait| wait.since)
            }),
        }
    }
}

/// The requested tasks in order, and how many tasks match the filter.
pub(crate) fn list<'a>(tasks: &[Listed<'a>], wanted: &Wanted) -> (Vec<Listed<'a>>, usize) {
    let is_taken = |task: &&Listed<'_>| wanted.filter.takes(task.info);
    let mut taken: Vec<Listed<'_>> = tasks.iter().filter(is_taken).copied().collect();
    let count = taken.len();
    // First by number: the sort is stable and keeps this order for equal tasks.
    Order::Id.sort(&mut taken);
    if wanted.order != Order::Id {
        wanted.order.sort(&mut taken);
    }
    if wanted.is_reversed {
        taken.reverse();
    }
    taken.drain(..wanted.offset.min(count));
    taken.truncate(wanted.limit);
    (taken, count)
}

/// The number of tasks in each state.
pub(crate) fn states(tasks: &[Listed<'_>]) -> BTreeMap<String, usize> {
    let mut states: HashMap<TaskState, usize> = HashMap::new();
    for task in tasks {
        *states.entry(task.info.state).or_default() += 1;
    }
    states.into_iter().map(|(state, count)| (state.to_string(), count)).collect()
}

/// A task in the format for the page and asyncio-ps. Times are in seconds.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    id: u64,
    #[serde(rename = "loop")]
    of_loop: u64,
    name: String,
    state: &'static str,
    is_cancelling: bool,
    function: &'static str,
    created_at: String,
    age: f64,
    polls: u32,
    parent: Option<u64>,
    /// The object that the task waits for, the place of the wait, and its duration.
    waits_for: Option<String>,
    waits_at: Option<String>,
    waited: f64,
    awaited_by: Vec<u64>,
}

impl Row {
    pub(crate) fn new(task: Listed<'_>) -> Self {
        let Listed { of_loop, info } = task;
        Self {
            id: info.id,
            of_loop,
            name: info.name.clone(),
            state: info.state.as_str(),
            is_cancelling: info.is_cancelling,
            function: function(info),
            created_at: place(info.created_at),
            age: info.age().as_secs_f64(),
            polls: info.polls,
            parent: info.parent,
            waits_for: info.wait.as_ref().map(|wait| wait.to_string()),
            waits_at: info.wait.as_ref().and_then(|wait| wait.at).map(|at| place(at)),
            waited: info.waited().as_secs_f64(),
            awaited_by: info.awaited_by.clone(),
        }
    }
}
