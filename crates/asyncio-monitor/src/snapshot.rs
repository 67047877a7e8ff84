//! The tasks of a loop at one moment, written down in slices.

use std::time::{Duration, Instant};

use asyncio_loop::inspect::TaskInfo;
use asyncio_loop::{TaskRef, running_loop};

use crate::call::{Question, ask};
use crate::watched::{Silence, Watched};

/// How long a slice takes, about: the loop goes on in between.
const SLICE: Duration = Duration::from_millis(4);
/// How many tasks are written down between two looks at the clock.
const AT_ONCE: usize = 64;

/// The tasks of a loop.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) tasks: Vec<TaskInfo>,
    /// How long the loop was kept from its work at a time, at most.
    pub(crate) longest_pause: Duration,
    /// How long it was kept from its work in all.
    pub(crate) paused: Duration,
}

/// Has the loop write down its tasks.
pub(crate) async fn take(watched: &Watched, limit: Duration) -> Result<Snapshot, Silence> {
    let snapshot = ask(watched, limit, Walk::begin).await?;
    watched.keep_names(&snapshot);
    Ok(snapshot)
}

/// A snapshot that is being taken. It is on the loop's thread.
struct Walk {
    left: std::vec::IntoIter<TaskRef>,
    snapshot: Snapshot,
    question: Question<Snapshot>,
}

impl Walk {
    fn begin(question: Question<Snapshot>) {
        let start = Instant::now();
        let left = running_loop().all_tasks().into_iter();
        let mut snapshot = Snapshot::default();
        snapshot.tasks.reserve_exact(left.len());
        Box::new(Self { left, snapshot, question }).go_on(start);
    }

    /// Goes on for a slice, and then in the next turn.
    fn go_on(mut self: Box<Self>, start: Instant) {
        while self.left.len() > 0 && start.elapsed() < SLICE {
            let some = self.left.by_ref().take(AT_ONCE);
            self.snapshot.tasks.extend(some.filter(|task| !task.is_done()).map(|task| task.info()));
        }
        let pause = start.elapsed();
        self.snapshot.paused += pause;
        self.snapshot.longest_pause = self.snapshot.longest_pause.max(pause);
        self.question.count_step();
        if self.left.len() == 0 {
            let Self { snapshot, question, .. } = *self;
            question.answer(snapshot);
        } else if !self.question.is_given_up() {
            running_loop().call_soon(move || self.go_on(Instant::now()));
        }
    }
}
