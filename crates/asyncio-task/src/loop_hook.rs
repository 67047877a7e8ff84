//! A function that is called with each loop that a runner makes. asyncio-monitor installs its
//! monitor by it; in a program without a monitor this is an empty cell.

use std::sync::OnceLock;

use asyncio_loop::LoopRef;

static HOOK: OnceLock<fn(&LoopRef)> = OnceLock::new();

/// From now on, calls `hook` with each loop that a [`Runner`](crate::Runner) makes, on the loop's
/// thread and before its first run. Later calls of `set_loop_hook` do nothing.
pub fn set_loop_hook(hook: fn(&LoopRef)) {
    let _ = HOOK.set(hook);
}

pub(crate) fn call(event_loop: &LoopRef) {
    if let Some(hook) = HOOK.get() {
        hook(event_loop);
    }
}
