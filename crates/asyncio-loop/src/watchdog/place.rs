//! What the watchdog knows of one loop.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Watch;
use super::sys::ThreadId;
use super::usage::{Usage, counted};
use crate::inspect::StuckStep;
use crate::kernel::RemoteScheduler;

/// A function that is called on the watchdog's thread.
pub(crate) type StallHandler = Arc<dyn Fn(&StuckStep) + Send + Sync>;

/// A loop that is watched.
pub(super) struct Place {
    watch: Watch,
    thread: ThreadId,
    name: String,
    step: Mutex<Step>,
    /// The last report, and the position of its step.
    report: Mutex<Option<((u64, usize), StuckStep)>>,
}

/// The step that the last check has found.
struct Step {
    /// The turn and the address of what runs. The address is 0 between steps.
    position: (u64, usize),
    /// How long the thread has computed or was blocked since a check found it.
    lasts: Duration,
    /// The last check, and what the thread had used then.
    checked: Instant,
    usage: Usage,
    reported: bool,
}

/// What a check found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing runs, and has not since the last check.
    Rests,
    Works,
    /// The same step as at the last check, which is over its limit in so long, unless it was
    /// reported.
    GoesOn(Option<Duration>),
    /// The same step for this long, which was not reported yet.
    Stuck(Duration),
}

impl Place {
    pub(super) fn new(watch: Watch, thread: ThreadId) -> Self {
        let step = Step {
            position: (0, 0),
            lasts: Duration::ZERO,
            checked: Instant::now(),
            usage: Usage::default(),
            reported: false,
        };
        let name = thread::current().name().unwrap_or("unnamed").to_owned();
        Self { watch, thread, name, step: Mutex::new(step), report: Mutex::default() }
    }

    pub(super) fn scheduler(&self) -> &RemoteScheduler {
        &self.watch.scheduler
    }

    pub(super) fn limit(&self) -> Duration {
        self.watch.limit
    }

    pub(super) fn handler(&self) -> Option<StallHandler> {
        self.watch.handler.clone()
    }

    pub(super) fn thread(&self) -> ThreadId {
        self.thread
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// How long the step lasts that runs now, as far as the last check has seen it.
    pub(super) fn lasts(&self) -> Duration {
        let step = lock(&self.step);
        if step.position == self.watch.scheduler.position() { step.lasts } else { Duration::ZERO }
    }

    /// Keeps the report of the step that the last check has found.
    pub(super) fn keep(&self, report: StuckStep) {
        let position = lock(&self.step).position;
        *lock(&self.report) = Some((position, report));
    }

    /// The report of the step that still runs, if it was reported.
    pub(super) fn report(&self) -> Option<StuckStep> {
        let step = lock(&self.step);
        if !step.reported || step.position != self.watch.scheduler.position() {
            return None;
        }
        let (position, lasts) = (step.position, step.lasts);
        drop(step);
        let (of, report) = lock(&self.report).clone()?;
        (of == position).then_some(StuckStep { lasts, ..report })
    }

    /// Compares what runs with what ran at the last check, which was meant to be `at_most` ago.
    pub(super) fn check(&self, now: Instant, at_most: Duration) -> Verdict {
        let mut step = lock(&self.step);
        let position = self.watch.scheduler.position();
        if position != step.position {
            let rests = position.1 == 0 && position.0 == step.position.0;
            // What rests is not read.
            let usage = if position.1 == 0 { Usage::default() } else { self.thread.usage() };
            *step = Step { position, lasts: Duration::ZERO, checked: now, usage, reported: false };
            drop(step);
            drop(lock(&self.report).take());
            return if rests { Verdict::Rests } else { Verdict::Works };
        }
        if position.1 == 0 {
            return Verdict::Rests;
        }
        let (state, usage) = (self.thread.state(), self.thread.usage());
        let elapsed = now.duration_since(step.checked);
        let more = counted(step.usage, usage, state, elapsed, at_most);
        step.lasts += more;
        (step.checked, step.usage) = (now, usage);
        if step.reported {
            return Verdict::GoesOn(None);
        }
        if step.lasts < self.watch.limit {
            return Verdict::GoesOn(Some(self.watch.limit - step.lasts));
        }
        step.reported = true;
        Verdict::Stuck(step.lasts)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventLoop;

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// The checks are as far apart as the test says; the loop's thread waits for them all the time.
    #[test]
    fn time_in_which_nobody_checked_is_not_counted() {
        let event_loop = EventLoop::new().unwrap();
        let scheduler = event_loop.scheduler().remote();
        let watch = Watch { scheduler, limit: seconds(10), handler: None };
        let place = Place::new(watch, ThreadId::current());
        let start = Instant::now();
        let check = |at| place.check(start + seconds(at), seconds(5));
        assert_eq!(check(0), Verdict::Rests);
        let checks = || {
            assert_eq!(check(1), Verdict::Works, "a new step");
            // The process was stopped for a day.
            let Verdict::GoesOn(Some(left)) = check(86_400) else { panic!("within the limit") };
            assert!(left >= seconds(5), "{left:?}");
            // The loop's thread may be on its way to the wait for this one.
            let mut at = 86_400;
            let lasts = loop {
                at += 5;
                match check(at) {
                    Verdict::Stuck(lasts) => break lasts,
                    verdict => assert!(matches!(verdict, Verdict::GoesOn(Some(_)))),
                }
                thread::yield_now();
            };
            assert!((seconds(10)..=seconds(15)).contains(&lasts), "{lasts:?}");
            assert_eq!(check(at + 5), Verdict::GoesOn(None), "it was told about");
            at
        };
        let blocks = async { thread::scope(|scope| scope.spawn(checks).join().unwrap()) };
        let at = event_loop.run_until_complete(blocks).unwrap();
        check(at + 10);
        assert_eq!(check(at + 11), Verdict::Rests);
    }
}
