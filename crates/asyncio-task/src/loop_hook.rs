//! A function that is told of each loop that a runner makes. The monitor of asyncio-monitor comes
//! by it; a program without one has an empty cell here.

use std::sync::OnceLock;

use asyncio_loop::LoopRef;

static HOOK: OnceLock<fn(&LoopRef)> = OnceLock::new();

/// Has `hook` called with each loop that a [`Runner`](crate::Runner) makes from now on, on its
/// thread and before its first run. Later calls do nothing.
pub fn set_loop_hook(hook: fn(&LoopRef)) {
    let _ = HOOK.set(hook);
}

pub(crate) fn call(event_loop: &LoopRef) {
    if let Some(hook) = HOOK.get() {
        hook(event_loop);
    }
}
