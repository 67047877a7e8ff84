//! The running loop of a thread.

use std::fmt;
use std::panic::Location;

use super::LoopRef;
use crate::error::{NoRunningLoop, RunError};
use crate::kernel::Lent;

thread_local! {
    static RUNNING: Lent<Running> = const { Lent::new() };
}

struct Running {
    event_loop: LoopRef,
    site: &'static Location<'static>,
}

/// The loop that runs on this thread.
///
/// # Panics
///
/// If no loop runs on this thread: outside [`run_until_complete`](LoopRef::run_until_complete) and
/// similar functions. See [`try_running_loop`].
///
/// # From asyncio
///
/// `get_running_loop`. There is no `get_event_loop` that makes one.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, running_loop, try_running_loop};
///
/// assert!(try_running_loop().is_err());
/// let time = EventLoop::new()?.run_until_complete(async { running_loop().time() })?;
/// assert!(time.as_nanos() > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias = "get_running_loop")]
#[doc(alias = "get_event_loop")]
#[must_use]
#[track_caller]
pub fn running_loop() -> LoopRef {
    try_running_loop().unwrap_or_else(|error| panic!("{error}"))
}

/// The loop that runs on this thread, if one does.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, try_running_loop};
///
/// assert!(try_running_loop().is_err());
/// assert!(EventLoop::new()?.run_until_complete(async { try_running_loop().is_ok() })?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn try_running_loop() -> Result<LoopRef, NoRunningLoop> {
    with_running(LoopRef::clone)
}

/// Calls `f` with the loop that runs on this thread, without the reference count that
/// [`try_running_loop`] takes.
///
/// # Errors
///
/// [`NoRunningLoop`] if no loop runs on this thread.
///
/// # Examples
///
/// ```
/// use asyncio_loop::{EventLoop, LoopRef};
/// use asyncio_loop::machinery::with_running;
///
/// assert!(with_running(LoopRef::time).is_err());
/// assert!(EventLoop::new()?.run_until_complete(async { with_running(LoopRef::time) })?.is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[inline]
pub fn with_running<R>(f: impl FnOnce(&LoopRef) -> R) -> Result<R, NoRunningLoop> {
    Lent::with(&RUNNING, |running| match running {
        Some(running) => Ok(f(&running.event_loop)),
        None => Err(NoRunningLoop),
    })
}

/// Makes `event_loop` the running one while `f` runs.
pub(crate) fn run_within<R>(
    event_loop: &LoopRef,
    site: &'static Location<'static>,
    f: impl FnOnce() -> R,
) -> Result<R, RunError> {
    if let Some(outer) = Lent::with(&RUNNING, |running| running.map(|r| r.site)) {
        return Err(RunError::AlreadyRunning { outer });
    }
    let running = Running { event_loop: event_loop.clone(), site };
    Ok(RUNNING.with(|lent| lent.lend(&running, f)))
}

/// Runs `f` with `event_loop` as the running loop, between two steps of the loop that runs now, if
/// there is one.
///
/// # Panics
///
/// If called in the step of a task.
pub(crate) fn run_driven<R>(
    event_loop: &LoopRef,
    site: &'static Location<'static>,
    f: impl FnOnce() -> R,
) -> R {
    let in_step = with_running(|outer| outer.scheduler().polled().is_some()).unwrap_or(false);
    assert!(!in_step, "a task of another loop is being polled");
    let running = Running { event_loop: event_loop.clone(), site };
    RUNNING.with(|lent| lent.lend(&running, f))
}

/// Where the run of this loop, if it is the one that runs here, was started.
pub(crate) fn running_site(event_loop: &LoopRef) -> Option<&'static Location<'static>> {
    Lent::with(&RUNNING, |r| r.filter(|r| r.event_loop == *event_loop).map(|r| r.site))
}

impl fmt::Debug for LoopRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match running_site(self) {
            Some(site) => write!(f, "<EventLoop running, started at {site}>"),
            None if self.is_closed() => f.write_str("<EventLoop closed>"),
            None => f.write_str("<EventLoop not running>"),
        }
    }
}
