//! Traced polls, which record where in the program the futures of a task wait.
//!
//! A trace is a poll like any other, which every future has to expect: the task is polled as if it
//! had been woken, in its turn. Only its waker differs. The futures of this project do not find the
//! usual waker, and take a slow path, on which the active calls are recorded. A future of another
//! crate that keeps the waker clones it, since it differs from the one that it has; the clone
//! records the calls, and is a usual waker.
//!
//! Every future can make progress, and gets the same results as in any other poll.

use std::cell::RefCell;
use std::panic::Location;
use std::rc::Weak;

use super::header::{DONE, ENDING, RUNNING, SCHEDULED, TRACED};
use super::place::Place;
use super::scheduler::Request;
use super::task::{TaskPtr, TaskRef};
use super::waits_for::Wait;

/// The maximum number of calls that are recorded.
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
const DEPTH: usize = 256;

/// A traced poll.
struct Watched {
    task: u64,
    places: Vec<Place>,
}

thread_local! {
    /// A child may be polled inside of a poll of its parent.
    static WATCHED: RefCell<Vec<Watched>> = const { RefCell::new(Vec::new()) };
}

/// Calls `f` with the places of the poll that is watched, if `task` is the one that is polled.
fn with_places<R>(task: TaskPtr, f: impl FnOnce(&mut Vec<Place>) -> R) -> Option<R> {
    WATCHED.with_borrow_mut(|watched| {
        let last = watched.last_mut().filter(|last| last.task == task.number())?;
        Some(f(&mut last.places))
    })
}

impl TaskRef {
    /// Schedules a traced poll of the task, and calls `tell` with the places at which the task
    /// waits, when that poll or the task has ended, unless `tell` has been dropped by then. `tell`
    /// must not unwind (promise 7).
    pub(crate) fn trace_next_poll(&self, tell: Weak<dyn Fn(Vec<Place>)>) {
        let task = self.ptr();
        let is_blocked = task.flags.get() & (DONE | RUNNING | SCHEDULED) == 0;
        let before = is_blocked.then(|| (task.noted(), task.since.get()));
        let request = Request { task: self.runnable().clone(), tell, before };
        let given_up: Vec<Request> = task.get().scheduler().with(|local| {
            let is_wanted = |request: &Request| request.tell.strong_count() > 0;
            let (wanted, given_up) =
                std::mem::take(&mut local.traced).into_iter().partition(is_wanted);
            local.traced = wanted;
            local.traced.push(request);
            given_up
        });
        drop(given_up);
        task.set(TRACED);
        self.runnable().schedule();
    }
}

impl Request {
    /// Marks its task, so that the kernel looks for this.
    pub(super) fn mark(&self) {
        self.task.get().set(TRACED);
    }
}

/// Begins to trace a poll, if a trace was requested. A task that was asked to end is not traced,
/// because its futures find that request by the usual waker.
pub(super) fn begin(task: TaskPtr) -> bool {
    let asked = |request: &Request| request.task.get() == task.get();
    let is_asked = task.get().scheduler().with(|local| local.traced.iter().any(asked));
    let watches = is_asked && !task.has(ENDING);
    if watches {
        let watched = Watched { task: task.number(), places: Vec::new() };
        WATCHED.with_borrow_mut(|all| all.push(watched));
    }
    watches
}

/// The end of a poll, or of the task if it `is_over`.
pub(super) fn end(task: TaskPtr, is_over: bool) {
    if task.get().scheduler().with(|local| local.traced.is_empty()) {
        // The task keeps the flag for hooks.
        return;
    }
    let watched = WATCHED.with_borrow_mut(|watched| {
        let is_last = watched.last().is_some_and(|last| last.task == task.number());
        if is_last { watched.pop() } else { None }
    });
    if watched.is_none() && !is_over {
        return;
    }
    let places = watched.map_or(Vec::new(), |watched| watched.places);
    let asked = |request: &Request| request.task.get() == task.get();
    let told: Vec<Request> = task.get().scheduler().with(|local| {
        if local.new_flags & TRACED == 0 {
            task.clear(TRACED);
        }
        let (told, left) = std::mem::take(&mut local.traced).into_iter().partition(asked);
        local.traced = left;
        told
    });
    // If the task still waits for the same thing, the traced poll does not count as progress.
    let before = told.iter().find_map(|request| request.before);
    if let Some((_, since)) = before.filter(|(noted, _)| !is_over && *noted == task.noted()) {
        task.since.set(since);
    }
    for tell in told.iter().filter_map(|request| request.tell.upgrade()) {
        tell(places.clone());
    }
}

/// Writes down where `task` waits, if this poll of it is watched.
pub(super) fn note(task: TaskPtr, wait: Option<(Wait, &'static Location<'static>)>) {
    with_places(task, |places| places.push(Place { calls: calls(), wait }));
}

/// The number of places, if this poll of `task` is watched.
pub(super) fn count(task: TaskPtr) -> Option<usize> {
    with_places(task, |places| places.len())
}

/// Replaces the place in the source of the wait that was noted last.
pub(super) fn moved(task: TaskPtr, site: &'static Location<'static>) {
    with_places(task, |places| {
        if let Some((_, at)) = places.last_mut().and_then(|place| place.wait.as_mut()) {
            *at = site;
        }
    });
}

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
fn calls() -> Vec<usize> {
    let mut calls = Vec::new();
    backtrace::trace(|frame| {
        calls.push(frame.ip().addr());
        calls.len() < DEPTH
    });
    calls
}

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn calls() -> Vec<usize> {
    Vec::new()
}
