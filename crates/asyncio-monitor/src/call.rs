//! Questions to a loop, from the monitor's thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use asyncio_loop::{ThreadFuture, ThreadPromise};
use asyncio_task::timeout;

use crate::watched::{Silence, Watched};

/// Where a loop puts its answer. A question that takes several turns counts its steps, so that the
/// monitor does not take it for a loop that is stuck.
pub(crate) struct Question<T: Send + 'static> {
    promise: ThreadPromise<T>,
    steps: Arc<AtomicUsize>,
}

impl<T: Send + 'static> Question<T> {
    /// Whether the monitor has given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.promise.is_cancelled()
    }

    pub(crate) fn count_step(&self) {
        self.steps.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answer(self, value: T) {
        self.promise.set_result(value);
    }
}

/// Has `f` run on the loop, and waits for its answer: at most `limit` without a sign of life.
pub(crate) async fn ask<T: Send + 'static>(
    watched: &Watched,
    limit: Duration,
    f: impl FnOnce(Question<T>) + Send + 'static,
) -> Result<T, Silence> {
    let (promise, mut future) = ThreadPromise::new();
    let steps = Arc::new(AtomicUsize::new(0));
    let question = Question { promise, steps: Arc::clone(&steps) };
    let begin = move || {
        if !question.is_given_up() {
            f(question);
        }
    };
    if watched.handle.call_soon_threadsafe(begin).is_err() {
        return Err(Silence::Closed);
    }
    let mut seen = 0;
    loop {
        match timeout(limit, &mut future).await {
            Ok(answer) => return answer.map_err(|_| Silence::Closed),
            Err(_) => {
                let steps = steps.load(Ordering::Relaxed);
                if steps == seen {
                    return Err(give_up(&future, watched, limit));
                }
                seen = steps;
            }
        }
    }
}

/// The loop will not begin with what nobody waits for.
fn give_up<T: Send + 'static>(
    future: &ThreadFuture<T>,
    watched: &Watched,
    limit: Duration,
) -> Silence {
    future.cancel();
    if watched.handle.is_closed() { Silence::Closed } else { Silence::Late(limit) }
}
