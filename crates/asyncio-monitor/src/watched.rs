//! The loops that a monitor watches.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use asyncio_loop::{LoopHandle, LoopRef};

use crate::command::Command;
use crate::mailbox::Mailbox;
use crate::observer::{Observation, Observed};
use crate::silence::Silence;
use crate::views::{function_of, place};

/// The monitor thread's view of a loop.
#[derive(Debug)]
pub(crate) struct Watched {
    /// The number of the loop in its monitor, from 1.
    pub(crate) number: u64,
    pub(crate) handle: LoopHandle,
    /// The name of its thread.
    pub(crate) thread: String,
    /// The names and help texts of the program's commands.
    pub(crate) commands: Vec<(String, String)>,
    pub(crate) observed: Arc<Observed>,
    /// The monitor's questions to the loop.
    pub(crate) mailbox: Arc<Mailbox>,
    /// The numbers and names of the named tasks in the last snapshot.
    names: Mutex<Vec<(u64, Box<str>)>>,
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
            mailbox: Arc::default(),
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

    /// Removes a loop. Returns whether it was the last one.
    pub(crate) fn remove(&self, watched: &Arc<Watched>) -> bool {
        let mut list = self.list();
        list.retain(|other| !Arc::ptr_eq(other, watched));
        list.is_empty()
    }

    /// The open loops.
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

    /// Keeps the names of tasks by their numbers, for times when the loop does not answer.
    pub(crate) fn keep_names<'a>(&self, tasks: impl Iterator<Item = (u64, &'a str)>) {
        let is_given = |name: &str, id: u64| {
            name.strip_prefix("Task-").is_none_or(|number| number.parse() != Ok(id))
        };
        let given = tasks.filter(|(id, name)| is_given(name, *id));
        let names = given.map(|(id, name)| (id, name.into())).collect();
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    /// The current activity of the loop, as far as other threads can see it.
    pub(crate) fn doing(&self) -> String {
        let Some(step) = self.handle.statistics().running else {
            // The start time identifies a step.
            return "it stands still between two runs, or in the step that made the monitor"
                .to_owned();
        };
        let lasts = step.lasts.as_millis();
        let Some(id) = step.task else {
            return format!("it has been in a callback for {lasts} ms");
        };
        // The children of a group are polled in the step of the task that owns the group.
        let polled = self.observed.polled();
        let id = polled.map_or(id, |polled| polled.id);
        let name = self.name(id).map(|name| format!(" {name:?}")).unwrap_or_default();
        let what = polled.map_or_else(String::new, |polled| {
            let (function, site) = (function_of(polled.future), place(polled.created_at));
            format!(", {function}(), created at {site}")
        });
        format!("it has been in task {id}{name} for {lasts} ms{what}")
    }

    /// Whether the loop is in this task now, as far as other threads can see.
    pub(crate) fn is_in(&self, id: u64) -> bool {
        let step = self.handle.statistics().running;
        let polled = self.observed.polled().map(|polled| polled.id);
        step.is_some_and(|step| {
            step.task == Some(id) || (step.task.is_some() && polled == Some(id))
        })
    }

    /// The name of a task, if it has one and a snapshot has seen it.
    fn name(&self, id: u64) -> Option<String> {
        let stuck = self.handle.stuck_step().and_then(|step| step.step);
        if let Some(name) = stuck.filter(|stuck| stuck.task == Some(id)).and_then(|s| s.name) {
            return Some(name);
        }
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().find(|(other, _)| *other == id).map(|(_, name)| name.to_string())
    }

    /// A description of why the loop has not answered.
    pub(crate) fn why(&self, silence: &Silence) -> String {
        let (number, thread) = (self.number, &self.thread);
        match silence {
            Silence::Closed => format!("loop {number} (thread {thread:?}) has been closed"),
            Silence::Late(limit) => format!(
                "loop {number} (thread {thread:?}) has not answered for {} ms: {}",
                limit.as_millis(),
                self.doing()
            ),
        }
    }

    /// Drops the commands; on the loop's thread.
    pub(crate) fn forget_commands(self: &Arc<Self>, event_loop: &LoopRef) {
        let all = event_loop.local::<LocalCommands>();
        let commands = all.0.borrow_mut().remove(&self.key());
        drop(commands);
    }
}

/// The program's commands, by the keys of their watched loops. They stay on the thread of their
/// loop.
#[derive(Default)]
struct LocalCommands(RefCell<HashMap<usize, Rc<Vec<Command>>>>);
