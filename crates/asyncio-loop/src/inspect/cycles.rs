//! Cycles of tasks that wait for each other.

use std::borrow::Borrow;
use std::collections::HashMap;

use super::task_info::TaskInfo;
use super::wait_info::WaitDetail;

/// Finds cycles of tasks in which each waits for the next one, and the last for the first: because
/// it awaits that task, or because that task holds the lock for which it waits. Such tasks never go
/// on by themselves. Each cycle is a list of numbers of tasks, and begins with the smallest.
///
/// # Examples
///
/// ```
/// use asyncio_loop::EventLoop;
/// use asyncio_loop::inspect::find_cycles;
///
/// let event_loop = EventLoop::new()?;
/// let tasks: Vec<_> = event_loop.all_tasks().iter().map(|task| task.info()).collect();
/// assert!(find_cycles(&tasks).is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn find_cycles<T: Borrow<TaskInfo>>(tasks: &[T]) -> Vec<Vec<u64>> {
    let mut cycles = Search { waits: waits(tasks), marks: HashMap::new(), found: Vec::new() };
    for task in tasks {
        cycles.visit(task.borrow().id);
    }
    cycles.found.sort_unstable();
    cycles.found.dedup();
    cycles.found
}

/// The tasks for which each task waits.
fn waits<T: Borrow<TaskInfo>>(tasks: &[T]) -> HashMap<u64, Vec<u64>> {
    let mut waits: HashMap<u64, Vec<u64>> = HashMap::new();
    for task in tasks.iter().map(Borrow::borrow) {
        for awaiter in &task.awaited_by {
            waits.entry(*awaiter).or_default().push(task.id);
        }
        let holder = match task.wait.as_ref().map(|wait| &wait.detail) {
            Some(WaitDetail::Resource(resource)) => resource.holder,
            _ => None,
        };
        waits.entry(task.id).or_default().extend(holder.map(|holder| holder.task));
    }
    waits
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// On the path that is being followed.
    OnPath,
    Done,
}

struct Search {
    waits: HashMap<u64, Vec<u64>>,
    marks: HashMap<u64, Mark>,
    found: Vec<Vec<u64>>,
}

impl Search {
    /// Follows the waits from `start`, without recursion: chains may be long.
    fn visit(&mut self, start: u64) {
        if self.marks.contains_key(&start) {
            return;
        }
        // Each with the number of its waits that have been followed.
        let mut path = vec![(start, 0)];
        self.marks.insert(start, Mark::OnPath);
        while let Some((task, followed)) = path.last_mut() {
            let task = *task;
            let next = self.waits.get(&task).and_then(|waits| waits.get(*followed)).copied();
            *followed += 1;
            match next {
                None => {
                    self.marks.insert(task, Mark::Done);
                    path.pop();
                }
                Some(next) => match self.marks.get(&next) {
                    Some(Mark::Done) => {}
                    Some(Mark::OnPath) => self.found.push(cycle(&path, next)),
                    None => {
                        self.marks.insert(next, Mark::OnPath);
                        path.push((next, 0));
                    }
                },
            }
        }
    }
}

/// The end of the path, from `first` on.
fn cycle(path: &[(u64, usize)], first: u64) -> Vec<u64> {
    let begin = path.iter().rposition(|(task, _)| *task == first).unwrap_or(0);
    let mut cycle: Vec<u64> = path[begin..].iter().map(|(task, _)| *task).collect();
    let smallest = cycle.iter().enumerate().min_by_key(|(_, task)| **task).map_or(0, |(at, _)| at);
    cycle.rotate_left(smallest);
    cycle
}
