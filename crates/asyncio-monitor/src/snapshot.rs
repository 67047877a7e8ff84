//! A snapshot of a loop's tasks, taken in slices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use asyncio_loop::inspect::TaskInfo;
use asyncio_loop::{TaskRef, running_loop};

use crate::call::{Question, ask};
use crate::silence::Silence;
use crate::watched::Watched;

/// The approximate duration of a slice. The loop continues between slices.
const SLICE: Duration = Duration::from_millis(4);
/// How many tasks are recorded between two reads of the clock.
const AT_ONCE: usize = 16;

/// The tasks of a loop.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) tasks: Vec<TaskInfo>,
    /// The longest time for which the snapshot blocked the loop.
    pub(crate) longest_pause: Duration,
}

/// Makes the loop record its tasks. `begins` is set just before.
pub(crate) async fn take(
    watched: &Watched,
    limit: Duration,
    begins: Arc<AtomicBool>,
) -> Result<Snapshot, Silence> {
    let begin = move |question| {
        begins.store(true, Ordering::Release);
        Slices::begin(question);
    };
    let snapshot = ask(watched, limit, begin).await?;
    watched.keep_names(snapshot.tasks.iter().map(|task| (task.id, task.name.as_str())));
    Ok(snapshot)
}

/// A snapshot in progress, on the loop's thread.
struct Slices {
    left: std::vec::IntoIter<TaskRef>,
    snapshot: Snapshot,
    question: Question<Snapshot>,
}

impl Slices {
    fn begin(question: Question<Snapshot>) {
        let start = Instant::now();
        let left = running_loop().all_tasks().into_iter();
        let mut snapshot = Snapshot::default();
        snapshot.tasks.reserve_exact(left.len());
        Box::new(Self { left, snapshot, question }).go_on(start);
    }

    /// Records one slice, and schedules the next one for the next turn.
    fn go_on(mut self: Box<Self>, start: Instant) {
        let event_loop = running_loop();
        // The clock is read once for a slice.
        let now = event_loop.time();
        let info = |task: TaskRef| task.info_at(Some(&event_loop), now);
        while self.left.len() > 0 && start.elapsed() < SLICE {
            let some = self.left.by_ref().take(AT_ONCE);
            self.snapshot.tasks.extend(some.filter(|task| !task.is_done()).map(info));
        }
        self.snapshot.longest_pause = self.snapshot.longest_pause.max(start.elapsed());
        self.question.count_step();
        if self.left.len() == 0 {
            let Self { snapshot, question, .. } = *self;
            question.answer(snapshot);
        } else if !self.question.is_given_up() {
            event_loop.call_soon(move || self.go_on(Instant::now()));
        }
    }
}
