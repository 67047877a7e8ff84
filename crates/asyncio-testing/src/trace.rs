//! The steps of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use asyncio_loop::{LoopTime, TaskRef};

/// The record of a run: every step, every move of the clock, every fault, and the program's own
/// events.
///
/// Two runs of one program with one seed have equal traces, unless the program depends on something
/// that the seed does not decide. [`first_difference`](Self::first_difference) then returns where
/// they differ.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    entries: Vec<Entry>,
    /// The names of tasks by number, if they were noted.
    names: BTreeMap<u64, Rc<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    time: LoopTime,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A task ran; 0 is a callback.
    Ran(u64),
    PutOff(u64),
    Moved,
    Cancelled(u64),
    Job,
    JobFailed,
    Event(Rc<str>),
    /// An event of the network, not of the program.
    #[cfg_attr(not(feature = "net"), allow(dead_code, reason = "there is no network"))]
    Note(Rc<str>),
}

impl Trace {
    pub(crate) fn push(&mut self, time: LoopTime, what: What) {
        self.entries.push(Entry { time, what });
    }

    /// Notes the name of a task that is seen for the first time.
    pub(crate) fn name(&mut self, task: &TaskRef, place: Option<&str>) {
        let name = || match place {
            Some(place) => format!("{} on {place}", describe(task)).into(),
            None => describe(task).into(),
        };
        self.names.entry(task.id()).or_insert_with(name);
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The events that the program recorded with [`event`](crate::event()).
    pub fn events(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Event(text) | What::Note(text) => Some(&**text),
            _ => None,
        })
    }

    /// Where two runs differ: the number of equal entries, and a description of the next entry of
    /// each.
    #[must_use]
    pub fn first_difference(&self, other: &Self) -> Option<(usize, String, String)> {
        let equal = self.entries.iter().zip(&other.entries).take_while(|(a, b)| a == b).count();
        let words = |trace: &Self| {
            let entry = trace.entries.get(equal);
            entry.map_or("the end".to_owned(), |entry| trace.words(entry))
        };
        (self != other).then(|| (equal, words(self), words(other)))
    }

    fn words(&self, entry: &Entry) -> String {
        let task = |id: &u64| match self.names.get(id) {
            Some(name) => name.to_string(),
            None => task_words(*id),
        };
        let what = match &entry.what {
            What::Ran(id) => format!("{} runs", task(id)),
            What::PutOff(id) => format!("{} is put off", task(id)),
            What::Moved => "the clock moves".to_owned(),
            What::Cancelled(id) => format!("{} is cancelled by a fault", task(id)),
            What::Job => "a job runs".to_owned(),
            What::JobFailed => "a job fails by a fault".to_owned(),
            What::Event(text) => format!("event: {text}"),
            What::Note(text) => text.to_string(),
        };
        format!("{:.9}s {what}", entry.time.as_secs_f64())
    }

    /// What happened to the network.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let notes = self.entries.iter().filter(|entry| matches!(entry.what, What::Note(_)));
        notes.map(|entry| self.words(entry))
    }

    /// A description of the last entries.
    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let first = self.entries.len().saturating_sub(count);
        self.entries[first..].iter().map(|entry| self.words(entry)).collect()
    }
}

impl PartialEq for Trace {
    fn eq(&self, other: &Self) -> bool {
        self.entries == other.entries
    }
}

impl Eq for Trace {}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{}", self.words(entry)))
    }
}

/// The number of the main task: tasks are numbered from 1 in each run.
pub(crate) const MAIN: u64 = 1;
/// The first number of the runner's own tasks.
const HIDDEN: u64 = 1 << 63;

/// A task that is known only by its number.
pub(crate) fn task_words(id: u64) -> String {
    match id {
        0 => "a callback".to_owned(),
        MAIN => "the main task".to_owned(),
        HIDDEN.. => "a hidden task".to_owned(),
        _ => format!("Task-{id}"),
    }
}

/// The description of a task: its name, and where it was created.
pub(crate) fn describe(task: &TaskRef) -> String {
    let site = task.site();
    match task.id() {
        MAIN => "the main task".to_owned(),
        HIDDEN.. => format!("a hidden task ({}:{})", site.file(), site.line()),
        _ => format!("{:?} ({}:{})", task.name(), site.file(), site.line()),
    }
}
