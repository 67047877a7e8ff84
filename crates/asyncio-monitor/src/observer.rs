//! Observing the tasks of a loop as they run.

use std::cell::Cell;
use std::panic::Location;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use asyncio_loop::{LoopRef, TaskHooks, TaskRef};

use crate::history::{Ended, History};

/// The data that the loop's thread writes and the monitor's thread reads. The locks are held only
/// briefly, never while a task is polled.
#[derive(Debug)]
pub(crate) struct Observed {
    /// The tasks that are being polled: a task, a child of its group, a child of that child's
    /// group.
    polled: Mutex<Vec<Polled>>,
    history: Mutex<History>,
}

/// A task that is being polled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Polled {
    pub(crate) id: u64,
    /// The type of its future.
    pub(crate) future: &'static str,
    pub(crate) created_at: &'static Location<'static>,
}

impl Observed {
    pub(crate) fn new(history: usize) -> Arc<Self> {
        let (polled, history) = (Mutex::default(), Mutex::new(History::new(history)));
        Arc::new(Self { polled, history })
    }

    /// The innermost task that is being polled.
    pub(crate) fn polled(&self) -> Option<Polled> {
        lock(&self.polled).last().copied()
    }

    /// The tasks that have ended, the newest first.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        lock(&self.history).newest().cloned().collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The loop's side.
struct Observer(Arc<Observed>);

impl TaskHooks for Observer {
    fn poll_begins(&self, task: &TaskRef) {
        let (future, created_at) = (task.type_name(), task.site());
        lock(&self.0.polled).push(Polled { id: task.id(), future, created_at });
    }

    fn poll_ends(&self, task: &TaskRef) {
        // The hooks may have been added in the middle of this poll.
        let mut polled = lock(&self.0.polled);
        if polled.last().is_some_and(|polled| polled.id == task.id()) {
            polled.pop();
        }
    }

    fn ended(&self, task: &TaskRef) {
        let ended = Ended::new(task);
        let gone = lock(&self.0.history).push(ended);
        drop(gone);
    }
}

/// Makes a loop report its tasks and measure its steps, until [`stop`](Self::stop) or the end of
/// the loop.
pub(crate) struct Observation {
    hooks: Rc<dyn TaskHooks>,
}

impl Observation {
    pub(crate) fn start(event_loop: &LoopRef, observed: &Arc<Observed>) -> Self {
        let hooks: Rc<dyn TaskHooks> = Rc::new(Observer(Arc::clone(observed)));
        event_loop.add_task_hooks(Rc::clone(&hooks));
        event_loop.local::<Measuring>().begin(event_loop);
        Self { hooks }
    }

    pub(crate) fn stop(self, event_loop: &LoopRef) {
        if event_loop.is_closed() {
            // A closed loop has dropped the hooks and all other data.
            return;
        }
        event_loop.remove_task_hooks(&self.hooks);
        event_loop.local::<Measuring>().end(event_loop);
    }
}

/// How many monitors need the loop's measurement, and whether the program had switched it on
/// before.
#[derive(Default)]
struct Measuring {
    monitors: Cell<usize>,
    was_on: Cell<bool>,
}

impl Measuring {
    fn begin(&self, event_loop: &LoopRef) {
        if self.monitors.get() == 0 {
            self.was_on.set(event_loop.is_measured());
        }
        self.monitors.set(self.monitors.get() + 1);
        event_loop.measure(true);
    }

    fn end(&self, event_loop: &LoopRef) {
        self.monitors.set(self.monitors.get().saturating_sub(1));
        if self.monitors.get() == 0 && !self.was_on.get() {
            event_loop.measure(false);
        }
    }
}
