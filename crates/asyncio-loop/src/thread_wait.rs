//! Announces threads that wait for a loop, for the simulation of a loop.
//!
//! A simulated loop stands still while one of its jobs runs on another thread. It has to go on when
//! the job waits for the loop.

use std::cell::RefCell;

thread_local! {
    static OBSERVER: RefCell<Option<Box<dyn Fn()>>> = const { RefCell::new(None) };
}

/// Takes the observer away again.
struct Observed;

impl Drop for Observed {
    fn drop(&mut self) {
        OBSERVER.take();
    }
}

/// Runs `f`, and calls `observer` whenever this thread is about to block until a loop does
/// something.
pub fn observe_waits<R>(observer: impl Fn() + 'static, f: impl FnOnce() -> R) -> R {
    OBSERVER.set(Some(Box::new(observer)));
    let _observed = Observed;
    f()
}

/// Calls the observer of this thread, if there is one: the thread is about to block until a loop
/// does something.
pub fn announce_wait() {
    OBSERVER.with_borrow(|observer| {
        if let Some(observer) = observer {
            observer();
        }
    });
}
