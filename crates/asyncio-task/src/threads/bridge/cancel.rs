//! Carries a cancellation inwards: from a task that waits in `sync_to_async`, through the function
//! that it waits for, to the task that this function waits for in `async_to_sync`.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use asyncio_loop::{ThreadFuture, ThreadPromise};

use crate::threads::submit::RemoteTask;

thread_local! {
    /// The chain of the function that runs on this thread.
    static CURRENT: RefCell<Option<Chain>> = const { RefCell::new(None) };
}

/// Connects a function with the task that it waits for.
#[derive(Clone, Default)]
pub(super) struct Chain(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    cancelled: bool,
    inner: Option<Inner>,
}

/// The task, and whether it finished: false if it was cancelled.
#[derive(Clone)]
struct Inner {
    task: RemoteTask,
    finished: ThreadFuture<bool>,
}

impl Chain {
    /// The chain of the function that runs on this thread, if `sync_to_async` called it.
    pub(super) fn current() -> Option<Chain> {
        CURRENT.with_borrow(Clone::clone)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `function`, which this chain cancels.
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

    /// Asks the task that the function waits for to end. From now on the function waits for no
    /// task.
    pub(super) fn cancel(&self) {
        self.ask();
    }

    /// Asks the task that the function waits for to end, and waits until it has ended. True if the
    /// task finished all the same, which means that it has absorbed the request.
    pub(super) async fn cancel_and_wait(&self) -> bool {
        match self.ask() {
            Some(inner) => inner.finished.await.unwrap_or(false),
            None => false,
        }
    }

    fn ask(&self) -> Option<Inner> {
        let inner = {
            let mut state = self.lock();
            state.cancelled = state.inner.is_none();
            state.inner.clone()
        };
        if let Some(inner) = &inner {
            inner.task.cancel();
        }
        inner
    }

    /// Records that the function waits for this task until the guard is dropped. `None` if the
    /// chain was cancelled, so the function has to cancel the task instead.
    pub(super) fn waits_for(&self, task: RemoteTask) -> Option<Waits> {
        let mut state = self.lock();
        if state.cancelled {
            return None;
        }
        let (promise, finished) = ThreadPromise::new();
        state.inner = Some(Inner { task, finished });
        Some(Waits { chain: self.clone(), promise: Some(promise) })
    }
}

/// See [`Chain::waits_for`].
pub(super) struct Waits {
    chain: Chain,
    promise: Option<ThreadPromise<bool>>,
}

impl Waits {
    /// The task has ended.
    pub(super) fn ended(mut self, finished: bool) {
        let inner = self.chain.lock().inner.take();
        drop(inner);
        if let Some(promise) = self.promise.take() {
            promise.set_result(finished);
        }
    }
}

/// Cancels a chain when it is dropped, unless it was disarmed.
pub(super) struct CancelOnDrop(pub(super) Option<Chain>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        if let Some(chain) = self.0.take() {
            chain.cancel();
        }
    }
}
