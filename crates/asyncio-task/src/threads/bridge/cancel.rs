//! A cancellation on its way inwards: from a task that waits in `sync_to_async`, through the function
//! that it waits for, to the task that this function waits for in `async_to_sync`.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use asyncio_loop::ThreadFuture;

thread_local! {
    /// That of the function which runs on this thread.
    static CURRENT: RefCell<Option<Chain>> = const { RefCell::new(None) };
}

type Cancel = Box<dyn FnOnce() + Send>;

/// Ties a function to what it waits for.
#[derive(Clone, Default)]
pub(super) struct Chain(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    waits_for: Option<Cancel>,
}

impl Chain {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `function` as the one that is cancelled by this chain.
    pub(super) fn call<T>(&self, function: impl FnOnce() -> T) -> T {
        struct Restore(Option<Chain>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        function()
    }

    /// Cancels what the function waits for, now or as soon as it does.
    pub(super) fn cancel(&self) {
        let cancel = {
            let mut state = self.lock();
            state.cancelled = true;
            state.waits_for.take()
        };
        if let Some(cancel) = cancel {
            cancel();
        }
    }
}

/// Says that the function on this thread waits for `future`, until the guard is dropped.
pub(super) fn waits_for<T: Send + 'static>(future: &ThreadFuture<T>) -> Waits {
    let chain = CURRENT.with_borrow(Clone::clone);
    if let Some(chain) = &chain {
        let future = future.clone();
        let cancel: Cancel = Box::new(move || {
            future.cancel();
        });
        let mut state = chain.lock();
        if state.cancelled {
            drop(state);
            cancel();
        } else {
            state.waits_for = Some(cancel);
        }
    }
    Waits(chain)
}

/// See [`waits_for`].
pub(super) struct Waits(Option<Chain>);

impl Drop for Waits {
    fn drop(&mut self) {
        if let Some(chain) = &self.0 {
            let done = chain.lock().waits_for.take();
            drop(done);
        }
    }
}

/// Cancels a chain when it is dropped unless it was disarmed.
pub(super) struct CancelOnDrop(pub(super) Option<Chain>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(chain) = self.0.take() {
            chain.cancel();
        }
    }
}
