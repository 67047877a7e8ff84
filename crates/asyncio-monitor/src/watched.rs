//! The loops that a monitor watches.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use asyncio_loop::{LoopHandle, LoopRef};

use crate::command::Command;
use crate::observer::{Observation, Observed};
use crate::snapshot::Snapshot;
use crate::views::{function_of, place};

/// A loop, as the monitor's thread sees it.
#[derive(Debug)]
pub(crate) struct Watched {
    /// 1 for the first loop of a monitor, and so on.
    pub(crate) number: u64,
    pub(crate) handle: LoopHandle,
    /// The name of its thread.
    pub(crate) thread: String,
    /// Names and help of the commands that the program has added.
    pub(crate) commands: Vec<(String, String)>,
    pub(crate) observed: Arc<Observed>,
    /// The names of the tasks that the last snapshot has seen, of those that were given one.
    names: Mutex<HashMap<u64, String>>,
}

/// The loops of one monitor.
#[derive(Debug, Default)]
pub(crate) struct Loops {
    list: Mutex<Vec<Arc<Watched>>>,
    last: AtomicU64,
}

impl Loops {
    /// Adds a loop, on its own thread.
    pub(crate) fn add(
        &self,
        event_loop: &LoopRef,
        history: usize,
        commands: Vec<Command>,
    ) -> (Arc<Watched>, Observation) {
        let thread = thread::current();
        let names = commands.iter().map(|command| (command.name.clone(), command.help.clone()));
        let watched = Arc::new(Watched {
            number: self.last.fetch_add(1, Ordering::Relaxed) + 1,
            handle: event_loop.handle(),
            thread: thread.name().unwrap_or("unnamed").to_owned(),
            commands: names.collect(),
            observed: Observed::new(history),
            names: Mutex::default(),
        });
        if !commands.is_empty() {
            let all = event_loop.local::<LocalCommands>();
            all.0.borrow_mut().insert(watched.key(), Rc::new(commands));
        }
        let observation = Observation::start(event_loop, &watched.observed);
        self.list().push(Arc::clone(&watched));
        (watched, observation)
    }

    /// Takes a loop out. Returns whether it was the last one.
    pub(crate) fn remove(&self, watched: &Arc<Watched>) -> bool {
        let mut list = self.list();
        list.retain(|other| !Arc::ptr_eq(other, watched));
        list.is_empty()
    }

    /// Those that are open.
    pub(crate) fn open(&self) -> Vec<Arc<Watched>> {
        self.list().iter().filter(|watched| !watched.handle.is_closed()).cloned().collect()
    }

    fn list(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Watched>>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    /// A number that no other watched loop of the process has.
    fn key(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// The command with this name; on the loop's thread.
    pub(crate) fn find_command(
        self: &Arc<Self>,
        event_loop: &LoopRef,
        name: &str,
    ) -> Option<Command> {
        let all = event_loop.local::<LocalCommands>();
        let commands = all.0.borrow().get(&self.key()).cloned()?;
        commands.iter().find(|command| command.name == name).cloned()
    }

    /// Keeps the names of a snapshot, for the time when the loop does not answer.
    pub(crate) fn keep_names(&self, snapshot: &Snapshot) {
        let is_given = |name: &str, id: u64| {
            name.strip_prefix("Task-").is_none_or(|number| number.parse() != Ok(id))
        };
        let given = snapshot.tasks.iter().filter(|task| is_given(&task.name, task.id));
        let names = given.map(|task| (task.id, task.name.clone())).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// What the loop does now, as far as other threads can see.
    pub(crate) fn doing(&self) -> String {
        let Some(step) = self.handle.statistics().running else {
            // A step is known by its beginning.
            return "it stands still between two runs, or in the step that made the monitor"
                .to_owned();
        };
        let lasts = step.lasts.as_millis();
        let Some(id) = step.task else {
            return format!("it has been in a callback for {lasts} ms");
        };
        // The children of a group are polled in the step of the task that has the group.
        let polled = self.observed.polled();
        let id = polled.map_or(id, |polled| polled.id);
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let name = names.get(&id).map(|name| format!(" {name:?}")).unwrap_or_default();
        let what = polled.map_or_else(String::new, |polled| {
            let (function, site) = (function_of(polled.future), place(polled.created_at));
            format!(", {function}(), created at {site}")
        });
        format!("it has been in task {id}{name} for {lasts} ms{what}")
    }

    /// Drops the commands; on the loop's thread.
    pub(crate) fn forget_commands(self: &Arc<Self>, event_loop: &LoopRef) {
        let all = event_loop.local::<LocalCommands>();
        let commands = all.0.borrow_mut().remove(&self.key());
        drop(commands);
    }
}

/// The commands that programs have added, by the keys of their watched loops. They stay on the
/// thread of their loop.
#[derive(Default)]
struct LocalCommands(RefCell<HashMap<usize, Rc<Vec<Command>>>>);

/// Why a loop has not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It was closed meanwhile.
    Closed,
    /// It has not answered for so long.
    Late(Duration),
}

impl Silence {
    pub(crate) fn text(&self, watched: &Watched) -> String {
        let (number, thread) = (watched.number, &watched.thread);
        match self {
            Self::Closed => format!("loop {number} (thread {thread:?}) has been closed"),
            Self::Late(limit) => format!(
                "loop {number} (thread {thread:?}) has not answered for {} ms: {}",
                limit.as_millis(),
                watched.doing()
            ),
        }
    }
}
