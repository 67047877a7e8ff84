//! Questions to a loop, from the monitor's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use asyncio_loop::ThreadPromise;
use asyncio_task::timeout;

use crate::silence::Silence;
use crate::watched::Watched;

/// Receives the answer of a loop. A question that takes several turns counts its steps, so that the
/// monitor does not report the loop as blocked.
pub(crate) struct Question<T: Send + 'static> {
    promise: ThreadPromise<T>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    steps: AtomicUsize,
    is_given_up: AtomicBool,
}

impl<T: Send + 'static> Question<T> {
    /// Whether the monitor has given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.progress.is_given_up.load(Ordering::Relaxed)
    }

    pub(crate) fn count_step(&self) {
        self.progress.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(self, value: T) {
        self.promise.set_result(value);
    }
}

/// Tells the loop when the monitor no longer waits for the answer.
struct Asker(Arc<Progress>);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.is_given_up.store(true, Ordering::Relaxed);
    }
}

/// Runs `f` on the loop and waits for its answer, at most `limit` without progress. If this ends or
/// is dropped before the loop has begun, the question is removed.
pub(crate) async fn ask<T: Send + 'static>(
    watched: &Watched,
    limit: Duration,
    f: impl FnOnce(Question<T>) + Send + 'static,
) -> Result<T, Silence> {
    let (promise, mut future) = ThreadPromise::new();
    let progress = Arc::<Progress>::default();
    let _asker = Asker(Arc::clone(&progress));
    let question = Question { promise, progress: Arc::clone(&progress) };
    let _pending = watched.mailbox.post(&watched.handle, move || f(question))?;
    let mut seen = 0;
    loop {
        match timeout(limit, &mut future).await {
            Ok(answer) => return answer.map_err(|_| Silence::Closed),
            Err(_) => {
                let steps = progress.steps.load(Ordering::Relaxed);
                if steps == seen {
                    let is_closed = watched.handle.is_closed();
                    return Err(if is_closed { Silence::Closed } else { Silence::Late(limit) });
                }
                seen = steps;
            }
        }
    }
}
