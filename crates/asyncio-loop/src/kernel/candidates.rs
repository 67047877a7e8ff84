//! The ready callbacks and tasks from which a director chooses the next one to run.

use std::collections::VecDeque;
use std::fmt;

use super::header::{DONE, Runnable, RunnableRef, SCHEDULED, TASK};
use super::local_scheduler::LocalScheduler;
use super::scheduler::SchedulerPtr;
use super::task::{TaskPtr, TaskRef};
use super::waker::LoopWaker;

/// The ready callbacks and tasks that a director may choose from: every ready task, and the first
/// of the ready callbacks, since callbacks run in the order in which they were scheduled.
///
/// Index 0 is the entry that the ready queue would run next. Entries are `SCHEDULED`, as in the
/// ready queue.
pub struct Candidates {
    /// Kept alive by a share.
    scheduler: SchedulerPtr,
    tasks: Vec<Entry>,
    callbacks: VecDeque<Entry>,
    /// Entries so far.
    arrivals: u64,
    /// Entries before this arrival were ready when the turn began.
    turn: u64,
}

#[derive(Clone, Copy)]
struct Entry {
    arrival: u64,
    /// The task's number; 0 for a callback.
    task: u64,
    runnable: Runnable,
}

/// The place of a candidate.
enum Place {
    Task(usize),
    Callback,
}

impl Candidates {
    /// Candidates of `scheduler`, none so far.
    pub(crate) fn new(scheduler: &LocalScheduler) -> Self {
        let scheduler = scheduler.ptr();
        scheduler.share();
        Self { scheduler, tasks: Vec::new(), callbacks: VecDeque::new(), arrivals: 0, turn: 0 }
    }

    /// Takes over the entries of the ready queue.
    pub(crate) fn absorb(&mut self) {
        while let Some(runnable) = self.scheduler.with(|local| local.ready.pop()) {
            let task = if runnable.has(TASK) { TaskPtr::of(runnable) } else { None };
            let entry = Entry { arrival: self.arrivals, task: 0, runnable };
            self.arrivals += 1;
            match task {
                Some(task) => self.tasks.push(Entry { task: task.number(), ..entry }),
                None => self.callbacks.push_back(entry),
            }
        }
    }

    /// Notes that a turn begins; returns how many entries belong to it.
    pub(crate) fn begin_turn(&mut self) -> usize {
        self.turn = self.arrivals;
        self.total()
    }

    /// How many callbacks and tasks there are.
    pub(crate) fn total(&self) -> usize {
        self.tasks.len() + self.callbacks.len()
    }

    /// Puts everything back into the ready queue, before its entries.
    pub(crate) fn restore(&mut self) {
        self.absorb();
        let mut entries: Vec<Entry> =
            self.tasks.drain(..).chain(self.callbacks.drain(..)).collect();
        entries.sort_unstable_by_key(|entry| entry.arrival);
        for entry in entries {
            if !self.scheduler.push_ready(entry.runnable) {
                entry.runnable.clear(SCHEDULED);
                // SAFETY: SCHEDULED kept it alive up to here; not used afterwards.
                unsafe { entry.runnable.end_if_unused() };
            }
        }
    }

    /// Takes the candidate at `index` out, for [`LocalScheduler::run_candidate`].
    pub(crate) fn take(&mut self, index: usize) -> Candidate {
        let entry = match self.place(index) {
            Place::Task(at) => self.tasks.remove(at),
            Place::Callback => self.callbacks.pop_front().expect("`place` found it"),
        };
        Candidate(entry.runnable)
    }

    /// The number of candidates.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tasks.len() + usize::from(!self.callbacks.is_empty())
    }

    /// Whether nothing is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many of the first candidates were ready when this turn began.
    #[must_use]
    pub fn of_this_turn(&self) -> usize {
        let tasks = self.before(self.turn);
        tasks + usize::from(self.callbacks.front().is_some_and(|entry| entry.arrival < self.turn))
    }

    /// How many callbacks and tasks became ready since the candidate at `index` did.
    #[must_use]
    pub fn age(&self, index: usize) -> u64 {
        self.arrivals - self.entry(index).arrival
    }

    /// The number of the task at `index`; 0 for a callback.
    #[must_use]
    pub fn task_id(&self, index: usize) -> u64 {
        self.entry(index).task
    }

    /// The number of each task, 0 for the callback, in the order of their indices.
    pub fn task_ids(&self) -> impl Iterator<Item = u64> {
        let callback = self.callbacks.front().map(|entry| entry.arrival);
        let before = callback.map_or(self.tasks.len(), |callback| self.before(callback));
        let (first, last) = self.tasks.split_at(before);
        let id = |entry: &Entry| entry.task;
        first.iter().map(id).chain(callback.map(|_| 0)).chain(last.iter().map(id))
    }

    /// How many tasks came before an arrival.
    fn before(&self, arrival: u64) -> usize {
        self.tasks.partition_point(|entry| entry.arrival < arrival)
    }

    /// The task at `index`; `None` for a callback.
    #[must_use]
    pub fn task(&self, index: usize) -> Option<TaskRef> {
        TaskPtr::of(self.entry(index).runnable).map(TaskRef::share)
    }

    /// The Rust type of the callback or future at `index`.
    #[must_use]
    pub fn type_name(&self, index: usize) -> &'static str {
        self.entry(index).runnable.type_name()
    }

    fn entry(&self, index: usize) -> Entry {
        match self.place(index) {
            Place::Task(at) => self.tasks[at],
            Place::Callback => self.callbacks[0],
        }
    }

    fn place(&self, index: usize) -> Place {
        let Some(callback) = self.callbacks.front() else { return Place::Task(index) };
        let before = self.before(callback.arrival);
        match index {
            _ if index < before => Place::Task(index),
            _ if index == before => Place::Callback,
            _ => Place::Task(index - 1),
        }
    }
}

impl Drop for Candidates {
    fn drop(&mut self) {
        self.restore();
        // SAFETY: the share that `new` took; not used afterwards.
        unsafe { self.scheduler.forget() };
    }
}

impl fmt::Debug for Candidates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = (0..self.len()).map(|index| match self.task(index) {
            Some(task) => format!("{task:?}"),
            None => self.type_name(index).to_owned(),
        });
        f.debug_list().entries(names).finish()
    }
}

/// A ready callback or task that was chosen. It has to be run or put off.
#[must_use = "an entry that is neither run nor put off leaks"]
pub(crate) struct Candidate(Runnable);

impl Candidate {
    /// The task, if it is one.
    pub(crate) fn task(&self) -> Option<TaskRef> {
        TaskPtr::of(self.0).map(TaskRef::share)
    }

    /// Runs or polls it.
    pub(crate) fn run(self) {
        LocalScheduler::run_one(self.0);
    }

    /// Does not run it, and returns a reference that schedules it again.
    pub(crate) fn put_off(self) -> Option<LoopWaker> {
        let kept = RunnableRef::share(self.0);
        self.0.clear(SCHEDULED);
        (!self.0.has(DONE)).then(|| LoopWaker::from_runnable(kept))
    }
}
