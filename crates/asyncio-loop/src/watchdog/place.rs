//! What the watchdog knows of one loop.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Watch;
use super::sys::ThreadId;
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
}

/// The step that the last look has found.
struct Step {
    /// The turn and the address of what runs. The address is 0 between steps.
    position: (u64, usize),
    /// When a look has found it for the first time.
    since: Instant,
    /// The thread's processor time then.
    cpu: Option<Duration>,
    reported: bool,
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing runs, and has not since the last look.
    Rests,
    Works,
    /// The same step for this long, which was not reported yet.
    Stuck(Duration),
}

impl Place {
    pub(super) fn new(watch: Watch, thread: ThreadId) -> Self {
        let step = Step { position: (0, 0), since: Instant::now(), cpu: None, reported: false };
        let name = thread::current().name().unwrap_or("unnamed").to_owned();
        Self { watch, thread, name, step: Mutex::new(step) }
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

    /// Compares what runs with what ran at the last look.
    pub(super) fn look(&self, now: Instant, begin_anew: bool) -> Verdict {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        let position = self.watch.scheduler.position();
        if position != step.position || begin_anew && !step.reported {
            let rests = position.1 == 0 && position.0 == step.position.0;
            *step = Step { position, since: now, cpu: self.thread.cpu_time(), reported: false };
            return if rests { Verdict::Rests } else { Verdict::Works };
        }
        if position.1 == 0 {
            return Verdict::Rests;
        }
        let lasts = now.duration_since(step.since);
        if !step.reported && lasts >= self.watch.limit && self.has_run(&step, lasts) {
            step.reported = true;
            return Verdict::Stuck(lasts);
        }
        Verdict::Works
    }

    /// Whether the thread is blocked, or has had a processor for most of the time.
    fn has_run(&self, step: &Step, lasts: Duration) -> bool {
        if !self.thread.wants_to_run() {
            return true;
        }
        let used = self.thread.cpu_time().zip(step.cpu).map(|(now, then)| now.saturating_sub(then));
        used.is_none_or(|used| used >= lasts.min(self.watch.limit * 4) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EventLoop;

    #[test]
    fn a_look_that_comes_late_begins_anew() {
        let event_loop = EventLoop::new().unwrap();
        let scheduler = event_loop.scheduler().remote();
        let limit = Duration::from_secs(10);
        let place = Place::new(Watch { scheduler, limit, handler: None }, ThreadId::current());
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(place.look(at(0), false), Verdict::Rests);
        let looks = || {
            assert_eq!(place.look(at(1), false), Verdict::Works, "a new step");
            // The process was stopped for a day.
            assert_eq!(place.look(at(86_400), true), Verdict::Works);
            assert_eq!(place.look(at(86_409), false), Verdict::Works, "within the limit");
            // The loop's thread may be on its way to the wait for this one.
            while place.look(at(86_411), false) == Verdict::Works {
                thread::yield_now();
            }
            assert_eq!(place.look(at(86_500), false), Verdict::Works, "it was told about");
        };
        let blocks = async { thread::scope(|scope| scope.spawn(looks).join().unwrap()) };
        event_loop.run_until_complete(blocks).unwrap();
        place.look(at(86_501), false);
        assert_eq!(place.look(at(86_502), false), Verdict::Rests);
    }
}
