//! Scopes that limit the life of helper threads.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use asyncio_loop::{LoopHandle, context_var};

use super::place::{SCOPE, SensitiveThread};
use crate::threads::LoopThread;

context_var! {
    /// The slot in which calls of `async_to_sync` in this scope find their helper.
    static SINGLE: Option<Arc<Slot>> = None;
}

/// The helper of a scope, started at the first call.
#[derive(Default)]
struct Slot(Mutex<Option<Arc<LoopThread>>>);

/// A loop in a thread, for one call or for a scope.
pub(super) struct Helper(Arc<LoopThread>);

impl Helper {
    /// The helper of the scope, or a new one.
    pub(super) fn get() -> io::Result<Self> {
        let Some(slot) = SINGLE.get() else {
            return LoopThread::start().map(|thread| Helper(Arc::new(thread)));
        };
        let mut place = slot.0.lock().unwrap_or_else(PoisonError::into_inner);
        let thread = match &*place {
            Some(thread) => Arc::clone(thread),
            None => Arc::clone(place.insert(Arc::new(LoopThread::start()?))),
        };
        Ok(Helper(thread))
    }

    pub(super) fn handle(&self) -> &LoopHandle {
        self.0.handle()
    }
}

/// Makes all calls of [`async_to_sync`](crate::async_to_sync) in `function` share one helper thread
/// and its loop, instead of starting one for each call. The thread ends with the scope. A nested
/// scope shares the thread of the outer one.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use asyncio_task::{async_to_sync, single_thread_scope};
///
/// single_thread_scope(|| {
///     let first = async_to_sync(|| async { thread::current().id() }).unwrap();
///     let second = async_to_sync(|| async { thread::current().id() }).unwrap();
///     assert_eq!(first, second);
/// });
/// ```
pub fn single_thread_scope<T>(function: impl FnOnce() -> T) -> T {
    if SINGLE.get().is_some() {
        return function();
    }
    let slot = Arc::<Slot>::default();
    let _stop = StopAtEnd(Arc::clone(&slot));
    let _inside = SINGLE.set(Some(slot)).scope();
    function()
}

/// Stops the helper, even if remaining tasks there keep its slot alive.
struct StopAtEnd(Arc<Slot>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        let thread = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(thread);
    }
}

/// Makes all thread-sensitive calls of [`sync_to_async`](crate::sync_to_async) in `body` use a
/// thread of this scope, instead of the thread that the whole program shares. So two scopes do not
/// wait for each other.
///
/// The thread is started at the first call, and the scope waits for the thread's end without
/// blocking the loop. A nested scope shares the thread of the outer one.
///
/// # Cancel safety
///
/// Dropping the future drops the body; the thread ends by itself.
///
/// # Examples
///
/// ```
/// use std::thread;
/// use asyncio_task::{run, sync_to_async, thread_sensitive_scope};
///
/// run(async {
///     let outside = sync_to_async(|| thread::current().id()).await.unwrap();
///     let inside = thread_sensitive_scope(async || {
///         sync_to_async(|| thread::current().id()).await.unwrap()
///     });
///     assert_ne!(inside.await, outside);
/// });
/// ```
pub async fn thread_sensitive_scope<T>(body: impl AsyncFnOnce() -> T) -> T {
    if SCOPE.get().is_some() {
        return body().await;
    }
    let thread = Arc::<SensitiveThread>::default();
    let inside = SCOPE.set(Some(Arc::clone(&thread))).scope();
    let value = body().await;
    drop(inside);
    if let Some(ended) = thread.shutdown() {
        // Nothing else ends the thread.
        let _ = ended.await;
    }
    value
}
