//! Runs that take too long, and steps that block their thread.
//!
//! One thread watches all runs of the process. It marks a run whose time has expired, and the run
//! checks the mark before each step. If the run makes no step for some seconds after that, its
//! current step does not end, and nothing can interrupt it: the thread reports that and aborts the
//! process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::trace::task_words;

/// How long after its limit a run may be in one step. A job of an executor takes half of it.
const GRACE: Duration = Duration::from_secs(10);

/// A run that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Progress>);

#[derive(Debug)]
struct Progress {
    seed: u64,
    test: String,
    started: Instant,
    limit: Duration,
    is_late: AtomicBool,
    step: AtomicU64,
    task: AtomicU64,
}

static RUNS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());
static NEWS: Condvar = Condvar::new();

struct Entry {
    progress: Arc<Progress>,
    /// When to check it, and the step that it was in at its limit.
    look: Instant,
    step_then: Option<u64>,
}

impl Watched {
    pub(crate) fn new(seed: u64, limit: Duration) -> Self {
        static WATCHER: Once = Once::new();
        WATCHER.call_once(|| {
            let watcher = thread::Builder::new().name("watch over simulations".to_owned());
            // Without the thread, the limit still applies between steps.
            let _ = watcher.spawn(watch);
        });
        let started = Instant::now();
        let progress = Arc::new(Progress {
            seed,
            test: thread::current().name().unwrap_or("main").to_owned(),
            started,
            limit,
            is_late: AtomicBool::new(false),
            step: AtomicU64::new(0),
            task: AtomicU64::new(0),
        });
        // A limit beyond the range of time is no limit.
        if let Some(look) = started.checked_add(limit) {
            let mut runs = runs();
            let is_first = runs.iter().all(|run| look < run.look);
            runs.push(Entry { progress: Arc::clone(&progress), look, step_then: None });
            if is_first {
                NEWS.notify_one();
            }
        }
        Self(progress)
    }

    /// Notes the step that begins.
    pub(crate) fn step(&self, number: u64, task: u64) {
        self.0.step.store(number, Ordering::Relaxed);
        self.0.task.store(task, Ordering::Relaxed);
    }

    /// Whether the watching thread has found that the time has expired.
    pub(crate) fn is_late(&self) -> bool {
        self.0.is_late.load(Ordering::Relaxed)
    }

    /// The remaining time.
    pub(crate) fn left(&self) -> Duration {
        self.0.limit.saturating_sub(self.0.started.elapsed())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut runs = runs();
        if let Some(place) = runs.iter().position(|run| Arc::ptr_eq(&run.progress, &self.0)) {
            runs.swap_remove(place);
        }
    }
}

fn runs() -> MutexGuard<'static, Vec<Entry>> {
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    let mut runs = runs();
    loop {
        let now = Instant::now();
        runs.iter_mut().filter(|run| run.look <= now).for_each(look);
        let next = runs.iter().map(|run| run.look).min();
        runs = match next {
            None => NEWS.wait(runs).unwrap_or_else(PoisonError::into_inner),
            Some(next) => {
                let waited = NEWS.wait_timeout(runs, next.saturating_duration_since(now));
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
    }
}

/// Checks a run whose time has expired.
fn look(run: &mut Entry) {
    let step = run.progress.step.load(Ordering::Relaxed);
    run.progress.is_late.store(true, Ordering::Relaxed);
    if run.step_then == Some(step) {
        run.progress.end_process(step);
    }
    run.step_then = Some(step);
    run.look = Instant::now() + GRACE;
}

impl Progress {
    fn end_process(&self, step: u64) -> ! {
        let Self { seed, test, limit, .. } = self;
        let task = task_words(self.task.load(Ordering::Relaxed));
        let took = self.started.elapsed();
        eprintln!(
            "\nseed {seed} of {test} fails: step {step} blocks the thread: {task}\n  the run took \
             {took:.1?}, and its limit is {limit:?}; nothing ends such a step but the end of the \
             process\nreplay: ASYNCIO_SEED='{seed}' cargo test {test}"
        );
        std::process::abort();
    }
}
