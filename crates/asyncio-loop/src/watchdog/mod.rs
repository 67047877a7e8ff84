//! The watchdog: one thread of the process that looks whether loops are stuck in a step.
//!
//! A loop does nothing for it. The number of its turn and the address of what it runs are there
//! anyway; if both are what they were at an earlier look, the same step has been running since.
//!
//! The watchdog does not take a machine that is slow for a loop that is stuck:
//!
//! * if it was late itself (the process was stopped, or the machine asleep), it begins anew;
//! * a thread that wants to run is stuck only if it has used processor time. One that was not
//!   given a processor is not.
//!
//! The thread begins with the first loop that is watched and ends with the last one. While all of
//! them wait for events it looks once a second, and a loop that goes on wakes it up.

#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
mod modules;
mod place;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sys;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
#[path = "elsewhere.rs"]
mod sys;
#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
mod unwind;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use self::place::StallHandler;
use self::place::{Place, Verdict};
use self::sys::{Seen, ThreadId};
use crate::inspect::{Recorder, StackFrame, Stuck, StuckStep};
use crate::kernel::RemoteScheduler;
use crate::report;

/// The time between two looks, at most, while a loop is busy.
const LONGEST: Duration = Duration::from_millis(25);
const SHORTEST: Duration = Duration::from_millis(2);
/// After so long without work all loops are at rest, and the looks are `SELDOM`.
const REST: Duration = Duration::from_secs(1);
const SELDOM: Duration = Duration::from_secs(1);
/// A look that comes later than this begins anew.
const LATE: Duration = Duration::from_millis(100);

/// What a loop asks for.
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
}

static WATCHDOG: Mutex<Option<Watchdog>> = Mutex::new(None);
static CHANGED: Condvar = Condvar::new();
/// Whether the looks are seldom.
static RESTS: AtomicBool = AtomicBool::new(false);

fn lock() -> MutexGuard<'static, Option<Watchdog>> {
    WATCHDOG.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watched {
    /// Watches a loop of the calling thread. Without a thread to be had, nobody watches.
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

/// Called by a loop that goes on after a wait.
#[inline]
pub(crate) fn wake() {
    if RESTS.load(Ordering::Relaxed) {
        end_rest();
    }
}

#[cold]
fn end_rest() {
    RESTS.store(false, Ordering::Relaxed);
    CHANGED.notify_all();
}

/// The watchdog's thread.
fn run() {
    let mut busy = Instant::now();
    let mut last = Instant::now();
    loop {
        let Some((places, pause)) = wait(busy) else { return };
        let now = Instant::now();
        let is_late = now.duration_since(last) > pause + LATE;
        last = now;
        for place in places {
            match place.look(now, is_late) {
                Verdict::Rests => {}
                Verdict::Works => busy = now,
                Verdict::Stuck(lasts) => {
                    busy = now;
                    report(&place, lasts);
                    // To look at a thread and to find names takes time.
                    last = Instant::now();
                }
            }
        }
    }
}

/// Waits for the next look. Returns what to look at, and how long the wait was meant to be; `None`
/// at the end of the thread.
fn wait(busy: Instant) -> Option<(Vec<Arc<Place>>, Duration)> {
    let mut guard = lock();
    let rests = busy.elapsed() > REST;
    RESTS.store(rests, Ordering::Relaxed);
    let places = |watchdog: &Watchdog| -> Vec<Arc<Place>> {
        watchdog.places.iter().map(|(_, place)| Arc::clone(place)).collect()
    };
    let limit = guard.as_ref()?.places.iter().map(|(_, place)| place.limit()).min();
    let pause = match limit {
        Some(_) if rests => SELDOM,
        Some(limit) => (limit / 4).clamp(SHORTEST, LONGEST),
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
    Some((places(watchdog), pause))
}

/// Looks at a loop that is stuck, and tells about it.
fn report(place: &Place, lasts: Duration) {
    let Some(step) = look(place, lasts) else { return };
    if let Some(ring) = place.scheduler().ring() {
        report::quietly(|| Recorder::of_ring(ring).keep(Some("stall")), || ());
    }
    match place.handler() {
        Some(handler) => report::caught("a handler of stuck steps", || handler(&step)),
        None => report::stuck(&step),
    }
}

/// `None` if the loop has gone on meanwhile.
fn look(place: &Place, lasts: Duration) -> Option<StuckStep> {
    let position = place.scheduler().position();
    let seen = place.thread().look(place.scheduler());
    if place.scheduler().position() != position {
        return None;
    }
    let step = seen.as_ref().and_then(|seen| seen.glimpse).map(|glimpse| Stuck {
        task: glimpse.task(),
        name: glimpse.name(),
        function: glimpse.function(),
        created_at: glimpse.created_at(),
    });
    let stack = seen.map_or(Vec::new(), |seen| frames(&seen));
    Some(StuckStep { lasts, thread: place.name().to_owned(), step, stack })
}

#[cfg(all(feature = "stacks", target_os = "linux", target_arch = "x86_64"))]
fn frames(seen: &Seen) -> Vec<StackFrame> {
    unwind::frames(seen)
}

#[cfg(not(all(feature = "stacks", target_os = "linux", target_arch = "x86_64")))]
fn frames(seen: &Seen) -> Vec<StackFrame> {
    // Only the walk along the stack reads these.
    let _ = (seen.registers, &seen.stack);
    Vec::new()
}
