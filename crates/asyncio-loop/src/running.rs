//! Which loop runs on this thread.

use std::cell::RefCell;
use std::panic::Location;

use crate::error::{NoRunningLoop, RunError};
use crate::event_loop::LoopRef;

thread_local! {
    static RUNNING: RefCell<Option<Running>> = const { RefCell::new(None) };
}

struct Running {
    event_loop: LoopRef,
    site: &'static Location<'static>,
}

/// The loop that runs on this thread.
///
/// # Panics
///
/// Where none runs: outside [`run_until_complete`](LoopRef::run_until_complete) and its kin. See
/// [`try_running_loop`].
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
/// [`NoRunningLoop`] where none runs.
pub fn try_running_loop() -> Result<LoopRef, NoRunningLoop> {
    with_running(LoopRef::clone)
}

/// Calls `f` with the loop that runs on this thread, without the reference count that
/// [`try_running_loop`] takes.
///
/// # Errors
///
/// [`NoRunningLoop`] where none runs.
#[inline]
pub fn with_running<R>(f: impl FnOnce(&LoopRef) -> R) -> Result<R, NoRunningLoop> {
    // Absent too while the thread is torn down.
    let running =
        RUNNING.try_with(|running| running.borrow().as_ref().map(|running| f(&running.event_loop)));
    running.ok().flatten().ok_or(NoRunningLoop)
}

/// Makes a loop the running one until dropped.
#[derive(Debug)]
pub(crate) struct RunGuard(());

impl RunGuard {
    pub(crate) fn new(
        event_loop: &LoopRef,
        site: &'static Location<'static>,
    ) -> Result<Self, RunError> {
        RUNNING.with(|running| {
            let mut running = running.borrow_mut();
            if let Some(outer) = &*running {
                return Err(RunError::AlreadyRunning { outer: outer.site });
            }
            *running = Some(Running { event_loop: event_loop.clone(), site });
            Ok(Self(()))
        })
    }
}

impl Drop for RunGuard {
    fn drop(&mut self) {
        let running = RUNNING.with(RefCell::take);
        drop(running);
    }
}

/// Where the run of this loop, if it is the one that runs here, was started.
pub(crate) fn running_site(event_loop: &LoopRef) -> Option<&'static Location<'static>> {
    RUNNING.with(|running| {
        running
            .borrow()
            .as_ref()
            .filter(|running| running.event_loop == *event_loop)
            .map(|r| r.site)
    })
}
