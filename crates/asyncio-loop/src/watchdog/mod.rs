//! The watchdog: one thread of the process that checks whether loops are stuck in a step.
//!
//! A loop does nothing for the watchdog. The number of its turn and the address of the running step
//! exist anyway; if both are the same as at an earlier check, the same step has been running since.
//!
//! The watchdog distinguishes a slow machine from a stuck loop. Only the time counts in which the
//! loop's thread has computed or was blocked (`usage`), not the time in which other threads had the
//! processor, or in which the process was stopped.
//!
//! The thread begins with the first watched loop and ends with the last one. While all of them wait
//! for events it checks once a second, and a loop that goes on wakes it up.

#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod modules;
mod place;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "elsewhere.rs"]
mod sys;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod unwind;
mod usage;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::place::StallHandler;
use self::place::{Place, Verdict};
use self::sys::ThreadId;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
use self::unwind::calls;
use crate::inspect::{Recorder, Stuck, StuckStep};
use crate::kernel::RemoteScheduler;
use crate::report;

/// The maximum time between two checks, while a loop is busy.
const LONGEST: Duration = Duration::from_millis(25);
const SHORTEST: Duration = Duration::from_millis(2);
/// After this time without work all loops are at rest, and the checks are `SELDOM`.
const REST: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(1);
/// The delay of a check, without a known cause, beyond which the rest of the delay does not count.
const LATE: Duration = Duration::from_millis(5);

/// The settings of a loop.
pub(crate) struct Watch {
    pub(crate) scheduler: RemoteScheduler,
    /// How long a step may take.
    pub(crate) limit: Duration,
    pub(crate) handler: Option<StallHandler>,
}

/// A loop is watched for as long as this lives.
#[derive(Debug)]
pub(crate) struct Watched {
    number: u64,
    limit: Duration,
}

#[derive(Default)]
struct Watchdog {
    places: Vec<(u64, Arc<Place>)>,
    /// Whether the thread is there.
    runs: bool,
    /// Whether the thread has set `RESTS`, which a loop that goes on clears.
    rests: bool,
}

static WATCHDOG: Mutex<Option<Watchdog>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();
/// Whether the checks are seldom.
static RESTS: AtomicBool = AtomicBool::new(false);

fn lock() -> MutexGuard<'static, Option<Watchdog>> {
    WATCHDOG.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Watches a loop of the calling thread. If no thread can be started, the loop is not watched.
    pub(crate) fn new(watch: Watch) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let limit = watch.limit;
        let place = Arc::new(Place::new(watch, ThreadId::current()));
        let mut watchdog = lock();
        let watchdog = watchdog.get_or_insert_default();
        watchdog.places.push((number, place));
        if !watchdog.runs {
            let thread = thread::Builder::new().name("asyncio-watchdog".to_owned());
            watchdog.runs = thread.spawn(run).is_ok();
        }
        CHANGED.notify_all();
        Self { number, limit }
    }

    /// How long a step may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(watchdog) = &mut *lock() {
            watchdog.places.retain(|(number, _)| *number != self.number);
        }
        CHANGED.notify_all();
    }
}

/// Called by a loop when it goes on after a wait.
#[inline]
pub(crate) fn wake() {
    if RESTS.load(Ordering::Relaxed) {
        end_rest();
    }
}

#[cold]
fn end_rest() {
    RESTS.store(false, Ordering::Relaxed);
    // The watchdog has read `RESTS` and waits, or will read it when it has the lock.
    drop(lock());
    CHANGED.notify_all();
}

/// The watchdog's thread.
fn run() {
    let own = ThreadId::current();
    let mut busy = Instant::now();
    let mut soonest = None;
    let mut waited = own.usage().waited;
    while let Some((places, pause)) = wait(&mut busy, soonest) {
        soonest = None;
        let now = Instant::now();
        // This thread may have waited for a processor as well. A process that is stopped waits for
        // none.
        let before = std::mem::replace(&mut waited, own.usage().waited);
        let late =
            waited.zip(before).map_or(Duration::ZERO, |(now, then)| now.saturating_sub(then));
        for place in places {
            match place.check(now, pause + LATE + late) {
                Verdict::Rests => continue,
                Verdict::Works | Verdict::GoesOn(None) => {}
                Verdict::GoesOn(Some(left)) => {
                    soonest = Some(soonest.map_or(left, |soonest: Duration| soonest.min(left)));
                }
                Verdict::Stuck(lasts) => report(&place, lasts),
            }
            busy = Instant::now();
        }
    }
}

/// Waits for the next check, which is early if a step may be over its limit soon. Returns what to
/// look at, and how long the wait was meant to be; `None` at the end of the thread.
fn wait(busy: &mut Instant, soonest: Option<Duration>) -> Option<(Vec<Arc<Place>>, Duration)> {
    let mut guard = lock();
    let watchdog = guard.as_mut()?;
    if watchdog.rests && !RESTS.load(Ordering::Relaxed) {
        // A loop goes on, perhaps since it was checked.
        *busy = Instant::now();
    }
    let rests = busy.elapsed() > REST;
    watchdog.rests = rests;
    RESTS.store(rests, Ordering::Relaxed);
    let limit = watchdog.places.iter().map(|(_, place)| place.limit()).min();
    let pause = match limit {
        Some(_) if rests => SELDOM,
        Some(limit) => {
            let pause = (limit / 4).clamp(SHORTEST, LONGEST);
            soonest.map_or(pause, |soonest| soonest.clamp(SHORTEST, pause))
        }
        None => Duration::ZERO,
    };
    if limit.is_some() {
        let waited = CHANGED.wait_timeout(guard, pause).unwrap_or_else(PoisonError::into_inner);
        guard = waited.0;
    }
    let watchdog = guard.as_mut()?;
    if watchdog.places.is_empty() {
        watchdog.runs = false;
        return None;
    }
    let places = watchdog.places.iter().map(|(_, place)| Arc::clone(place));
    Some((places.collect(), pause))
}

/// Examines a stuck loop, and reports it.
fn report(place: &Place, lasts: Duration) {
    let Some(step) = sample_place(place, lasts) else { return };
    place.keep(step.clone());
    if let Some(ring) = place.scheduler().ring() {
        report::quietly(|| Recorder::of_ring(ring).keep(Some("stall")), || ());
    }
    match place.handler() {
        Some(handler) => report::caught("a handler of stuck steps", || handler(&step)),
        None => report::stuck(&step),
    }
}

/// The present step of a watched loop's thread; `None` if the loop is not watched, or went on
/// meanwhile.
pub(crate) fn sample(scheduler: &RemoteScheduler) -> Option<StuckStep> {
    let place = place_of(scheduler)?;
    sample_place(&place, place.lasts())
}

/// The report of the step that this loop is stuck in.
pub(crate) fn report_of(scheduler: &RemoteScheduler) -> Option<StuckStep> {
    place_of(scheduler)?.report()
}

fn place_of(scheduler: &RemoteScheduler) -> Option<Arc<Place>> {
    let watchdog = lock();
    let mut places = watchdog.as_ref()?.places.iter().map(|(_, place)| place);
    places.find(|place| place.scheduler().is_same(scheduler)).cloned()
}

/// `None` if the loop has gone on meanwhile.
fn sample_place(place: &Place, lasts: Duration) -> Option<StuckStep> {
    let position = place.scheduler().position();
    let seen = place.thread().sample(place.scheduler());
    if place.scheduler().position() != position {
        return None;
    }
    let step = seen.as_ref().and_then(|seen| seen.glimpse).map(|glimpse| Stuck {
        task: glimpse.task(),
        name: glimpse.name(),
        function: glimpse.function(),
        created_at: glimpse.created_at(),
    });
    let calls = seen.map_or(Vec::new(), |seen| calls(&seen));
    Some(StuckStep { lasts, thread: place.name().to_owned(), step, calls })
}

#[cfg(not(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
)))]
fn calls(seen: &self::sys::Seen) -> Vec<usize> {
    // Only the walk along the stack reads these.
    let _ = (seen.registers, &seen.stack);
    Vec::new()
}
