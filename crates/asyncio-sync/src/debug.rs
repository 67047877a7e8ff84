//! Debug mode's data about locks: which task holds a lock, which task waits for it, and the faults
//! that follow.
//!
//! The data exists only while the running loop is in debug mode, and is kept with the loop, so
//! locks are not larger for it. A wait that closes a cycle is reported when it begins. It is a
//! report and not an error, because the waiting task may have another branch that goes on: of two
//! branches of one `join!`, one may wait for a lock that the other holds.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::panic::Location;
use std::rc::{Rc, Weak};

use asyncio_loop::machinery::{TaskControl, with_running};
use asyncio_loop::{ErrorContext, LoopRef, TaskRef};

/// The place in the program of an operation on a lock.
pub(crate) type Site = &'static Location<'static>;

/// Identifies a lock by its address, since a lock that is held or waited for cannot move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LockId(usize);

impl LockId {
    pub(crate) fn of<T>(lock: &T) -> Self {
        Self(std::ptr::from_ref(lock).addr())
    }
}

/// The locks of one loop.
#[derive(Debug, Default)]
struct Locks {
    held: RefCell<HashMap<LockId, Deed>>,
    /// The waits by waiting task. A task with several branches may wait for several locks.
    waits: RefCell<HashMap<u64, Vec<(LockId, Deed)>>>,
    /// Holders whose end is watched because tasks wait for their locks.
    watched: RefCell<HashSet<u64>>,
}

/// A record that a task took a lock, or began to wait for it.
#[derive(Clone, Debug)]
struct Deed {
    task: TaskRef,
    site: Site,
}

/// A wait that debug mode has recorded, until dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    locks: Weak<Locks>,
    task: u64,
    lock: LockId,
}

/// Whether debug mode records.
#[inline]
pub(crate) fn is_on() -> bool {
    with_running(LoopRef::is_debug).unwrap_or(false)
}

/// The number of the current task if debug mode records; zero if there is no task.
#[inline]
pub(crate) fn current() -> (bool, u64) {
    with_running(|event_loop| (event_loop.is_debug(), event_loop.current_task_number()))
        .unwrap_or((false, 0))
}

/// Notes that the current task has taken a lock.
#[cold]
pub(crate) fn took(lock: LockId, site: Site) {
    let _ = with_running(|event_loop| {
        if let Some(task) = event_loop.current_task() {
            let locks = event_loop.local::<Locks>();
            locks.held.borrow_mut().insert(lock, Deed { task, site });
        }
    });
}

/// Notes that a lock was released.
#[cold]
pub(crate) fn released(lock: LockId) {
    let _ = with_running(|event_loop| {
        let held = event_loop.local::<Locks>().held.borrow_mut().remove(&lock);
        drop(held);
    });
}

/// Notes that the current task waits for a lock, and reports faults that it finds.
#[cold]
pub(crate) fn waits(lock: LockId, site: Site) -> Option<Box<Waiting>> {
    with_running(|event_loop| {
        let task = event_loop.current_task()?;
        let locks = event_loop.local::<Locks>();
        let deed = Deed { task: task.clone(), site };
        locks.waits.borrow_mut().entry(task.id()).or_default().push((lock, deed));
        locks.examine(event_loop, &task, lock);
        Some(Box::new(Waiting { locks: Rc::downgrade(&locks), task: task.id(), lock }))
    })
    .ok()
    .flatten()
}

impl Locks {
    /// Looks for a cycle of waits behind this wait, and for a holder that will never release its
    /// lock.
    fn examine(self: &Rc<Self>, event_loop: &LoopRef, task: &TaskRef, lock: LockId) {
        if let Some(cycle) = self.cycle(task.id(), lock) {
            let message = match cycle.len() {
                1 => "a task waits for a lock that it holds itself",
                _ => "tasks wait for each other's locks",
            };
            let context = ErrorContext::new(message).with_task(task.clone());
            event_loop.report(&context.field("locks", describe(&cycle)));
            return;
        }
        if let Some(holder) = self.holder(lock) {
            self.watch_the_end(event_loop, holder.task);
        }
    }

    /// Registers the end of a task to be watched, once.
    fn watch_the_end(self: &Rc<Self>, event_loop: &LoopRef, task: TaskRef) {
        if !self.watched.borrow_mut().insert(task.id()) {
            return;
        }
        let (this, ended) = (Rc::downgrade(self), task.clone());
        task.on_done(event_loop.callback(move || {
            if let Some(this) = this.upgrade() {
                this.watched.borrow_mut().remove(&ended.id());
                this.report_orphans(&ended);
            }
        }));
    }

    /// The holders and waits that lead from this lock back to the task.
    fn cycle(&self, task: u64, lock: LockId) -> Option<Vec<(Deed, Deed)>> {
        let mut path = vec![];
        self.search(task, lock, &mut path).then_some(path)
    }

    fn search(&self, task: u64, lock: LockId, path: &mut Vec<(Deed, Deed)>) -> bool {
        let Some(holder) = self.holder(lock) else { return false };
        let waits = self.waits.borrow().get(&holder.task.id()).cloned().unwrap_or_default();
        if path.iter().any(|(seen, _)| seen.task == holder.task) {
            return false; // a cycle, but not through this task
        }
        for (next, wait) in waits {
            path.push((holder.clone(), wait));
            if holder.task.id() == task || self.search(task, next, path) {
                return true;
            }
            path.pop();
        }
        false
    }

    fn holder(&self, lock: LockId) -> Option<Deed> {
        self.held.borrow().get(&lock).cloned()
    }

    /// Called when a task has ended. Reports the locks that it still holds, if tasks wait for them.
    fn report_orphans(&self, ended: &TaskRef) {
        let mut orphans = vec![];
        for (lock, wait) in self.waits.borrow().values().flatten() {
            let holder = self.holder(*lock).filter(|holder| holder.task == *ended);
            orphans.extend(holder.map(|holder| (holder, wait.clone())));
        }
        for (holder, wait) in orphans {
            let message = "a task has ended, and a lock that it took is still held";
            let context = ErrorContext::new(message)
                .with_task(holder.task)
                .field("taken at", holder.site)
                .field("waiting", wait.task.name())
                .field("waiting at", wait.site);
            // A callback runs inside a run, so there is a loop.
            let _ = with_running(|event_loop| event_loop.report(&context));
        }
    }
}

fn describe(cycle: &[(Deed, Deed)]) -> String {
    let mut text = String::new();
    for (holder, wait) in cycle {
        let separator = if text.is_empty() { "" } else { "; " };
        let (name, took, waits) = (holder.task.name(), holder.site, wait.site);
        // Writing to a string does not fail.
        let _ =
            write!(text, "{separator}{name} took one at {took} and waits for the next at {waits}");
    }
    text
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(locks) = self.locks.upgrade() else { return };
        let mut waits = locks.waits.borrow_mut();
        let Some(mine) = waits.get_mut(&self.task) else { return };
        let ended = mine.iter().position(|(lock, _)| *lock == self.lock).map(|at| mine.remove(at));
        let idle = if mine.is_empty() { waits.remove(&self.task) } else { None };
        drop(waits);
        drop((ended, idle));
    }
}
