//! Walks over the tasks of loops. Clients share walks.
//!
//! A client gets the result of a walk that began after its request. So it joins a walk that has not
//! begun, and clients that arrive during a walk share the next one. No loop has two walks at the
//! same time.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use asyncio_task::{Promise, Task, create_future, create_task};

use crate::silence::Silence;
use crate::snapshot::{self, Snapshot};
use crate::watched::Watched;

pub(crate) type Answer = Result<Rc<Snapshot>, Silence>;

/// The tasks of a loop are remembered for the time when it does not answer, if there are not more.
const REMEMBERED: usize = 10_000;

/// The walks over the tasks of all loops, by the loops' numbers.
#[derive(Default)]
pub(crate) struct Walks {
    /// The last walk of each loop, while a client waits for it.
    under_way: RefCell<HashMap<u64, Weak<Walk>>>,
    /// What the last walk that came to its end has seen.
    seen: Rc<RefCell<HashMap<u64, Seen>>>,
}

/// The tasks of a loop at an earlier moment.
#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) snapshot: Rc<Snapshot>,
}

/// A walk that clients wait for. When the last client is gone, the walk is cancelled.
struct Walk {
    has_begun: Arc<AtomicBool>,
    answer: Promise<Answer>,
    task: Task<()>,
}

impl Drop for Walk {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

impl Walks {
    /// The tasks of a loop, by a walk that begins after this call.
    pub(crate) fn join(
        &self,
        watched: &Arc<Watched>,
        limit: Duration,
    ) -> impl Future<Output = Answer> + use<> {
        let last = self.under_way.borrow().get(&watched.number).and_then(Weak::upgrade);
        let walk = match last {
            Some(walk) if !walk.has_begun.load(Ordering::Acquire) => walk,
            last => {
                let seen = Rc::clone(&self.seen);
                let walk = Rc::new(Walk::start(watched, limit, last.as_deref(), seen));
                let mut walks = self.under_way.borrow_mut();
                walks.retain(|_, walk| walk.strong_count() > 0);
                walks.insert(watched.number, Rc::downgrade(&walk));
                walk
            }
        };
        async move { end_of(&walk.answer).await.unwrap_or(Err(Silence::Closed)) }
    }

    /// The tasks of a loop as they were seen last, if they are remembered.
    pub(crate) fn last_seen(&self, of_loop: u64) -> Option<Seen> {
        self.seen.borrow().get(&of_loop).cloned()
    }
}

impl Walk {
    fn start(
        watched: &Arc<Watched>,
        limit: Duration,
        before: Option<&Self>,
        seen: Rc<RefCell<HashMap<u64, Seen>>>,
    ) -> Self {
        let (has_begun, answer) = (Arc::<AtomicBool>::default(), create_future());
        let (watched, begins) = (Arc::clone(watched), Arc::clone(&has_begun));
        let sets = Sets(answer.clone());
        let before = before.map(|walk| walk.answer.clone());
        let task = create_task(async move {
            if let Some(before) = before {
                end_of(&before).await;
            }
            let snapshot = snapshot::take(&watched, limit, begins).await.map(Rc::new);
            if let Ok(snapshot) = &snapshot {
                remember(&mut seen.borrow_mut(), watched.number, snapshot);
            }
            let _ = sets.0.set_result(snapshot);
        });
        Self { has_begun, answer, task }
    }
}

fn remember(seen: &mut HashMap<u64, Seen>, of_loop: u64, snapshot: &Rc<Snapshot>) {
    if snapshot.tasks.len() <= REMEMBERED {
        let snapshot = Rc::clone(snapshot);
        seen.insert(of_loop, Seen { at: Instant::now(), snapshot });
    } else {
        seen.remove(&of_loop);
    }
}

/// The sender's side of a promise. Dropping this breaks the promise.
struct Sets(Promise<Answer>);

impl Drop for Sets {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Waits for the value of a promise; `None` if it is broken. Awaiting the promise itself would
/// break it if the waiting task is cancelled.
async fn end_of(promise: &Promise<Answer>) -> Option<Answer> {
    let own = create_future();
    let mine = own.clone();
    promise.add_done_callback(move |promise| {
        let _ = mine.set_result(promise.result().ok());
    });
    own.await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use asyncio_loop::{EventLoop, running_loop};
    use asyncio_task::{create_task_with, gather, run, yield_now};

    use super::*;
    use crate::watched::Loops;

    const LIMIT: Duration = Duration::from_secs(60);

    fn names(answer: &Answer) -> Vec<String> {
        answer.as_ref().unwrap().tasks.iter().map(|task| task.name.clone()).collect()
    }

    /// A loop that watches itself, so that its walks begin in later turns.
    #[test]
    fn clients_share_a_walk_that_began_after_they_asked() {
        run(async {
            let loops = Loops::default();
            let (watched, _observation) = loops.add(&running_loop(), 0, Vec::new());
            let walks = Walks::default();
            let (one, two) = (walks.join(&watched, LIMIT), walks.join(&watched, LIMIT));
            let one = create_task(one);
            let begun = |walks: &Walks| {
                let walk = walks.under_way.borrow().get(&watched.number).and_then(Weak::upgrade);
                walk.is_some_and(|walk| walk.has_begun.load(Ordering::Acquire))
            };
            while !begun(&walks) {
                yield_now().await;
            }
            let late = asyncio_loop::TaskOptions::new().name("late");
            let late = create_task_with(std::future::pending::<()>(), late);
            let (three, four) = (walks.join(&watched, LIMIT), walks.join(&watched, LIMIT));
            let (one, two) = (one.await.unwrap(), two.await);
            assert!(Rc::ptr_eq(one.as_ref().unwrap(), two.as_ref().unwrap()));
            assert!(!names(&one).contains(&"late".to_owned()));

            let [three, four] = gather([create_task(three), create_task(four)]).await;
            let (three, four) = (three.unwrap(), four.unwrap());
            assert!(Rc::ptr_eq(three.as_ref().unwrap(), four.as_ref().unwrap()));
            assert!(names(&three).contains(&"late".to_owned()));
            late.cancel();
        });
    }

    #[test]
    fn a_walk_goes_on_for_those_who_wait_and_is_given_up_after_the_last() {
        run(async {
            let loops = Loops::default();
            let (watched, _observation) = loops.add(&running_loop(), 0, Vec::new());
            let walks = Walks::default();
            let (gone, stays) = (walks.join(&watched, LIMIT), walks.join(&watched, LIMIT));
            let gone = create_task(gone);
            yield_now().await;
            gone.cancel();
            assert!(stays.await.is_ok(), "it is not cancelled with another client");

            drop(walks.join(&watched, LIMIT));
            assert!(walks.under_way.borrow()[&watched.number].upgrade().is_none());
            assert!(walks.join(&watched, LIMIT).await.is_ok(), "a new one");
        });
    }

    #[test]
    fn a_closed_loop_has_no_tasks_to_walk_over() {
        let other = EventLoop::new().unwrap();
        let loops = Loops::default();
        let (watched, _observation) = loops.add(&other, 0, Vec::new());
        drop(other);
        run(async move {
            let walks = Walks::default();
            assert_eq!(walks.join(&watched, LIMIT).await.unwrap_err(), Silence::Closed);
        });
    }
}
