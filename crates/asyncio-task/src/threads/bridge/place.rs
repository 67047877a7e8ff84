//! The thread on which a thread-sensitive function runs.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use asyncio_loop::{Executor, Job, JobError, ThreadFuture, ThreadPoolExecutor, context_var};

use super::caller::Caller;

context_var! {
    /// The thread of the scope around this code.
    pub(super) static SCOPE: Option<Arc<SensitiveThread>> = None;
}

thread_local! {
    /// The sensitive thread that the current thread is, while it runs a job.
    static CURRENT: RefCell<Option<Arc<SensitiveThread>>> = const { RefCell::new(None) };
    /// Whether a thread-sensitive function runs on this thread.
    static SENSITIVE: Cell<bool> = const { Cell::new(false) };
}

/// Whether a thread-sensitive function runs on this thread.
pub(super) fn is_sensitive() -> bool {
    SENSITIVE.get()
}

/// A thread for thread-sensitive functions, started at the first of them.
#[derive(Default)]
pub(super) struct SensitiveThread(OnceLock<ThreadPoolExecutor>);

impl SensitiveThread {
    /// The thread for all functions outside scopes.
    fn global() -> Arc<Self> {
        static GLOBAL: OnceLock<Arc<SensitiveThread>> = OnceLock::new();
        Arc::clone(GLOBAL.get_or_init(Arc::default))
    }

    fn pool(&self) -> &ThreadPoolExecutor {
        self.0.get_or_init(|| {
            ThreadPoolExecutor::builder()
                .max_workers(1)
                // The thread never ends, so that all these functions run on the same one.
                .idle_timeout(Duration::MAX)
                .thread_name_prefix("asyncio_sensitive")
                .build()
        })
    }

    /// Ends the thread, if there is one.
    pub(super) fn shutdown(&self) -> Option<ThreadFuture<()>> {
        self.0.get().map(ThreadPoolExecutor::shutdown)
    }

    fn is_current(self: &Arc<Self>) -> bool {
        CURRENT.with_borrow(|current| {
            current.as_ref().is_some_and(|current| Arc::ptr_eq(current, self))
        })
    }

    /// Marks the calling thread as this sensitive thread while `function` runs.
    fn mark<T>(self: Arc<Self>, function: impl FnOnce() -> T) -> T {
        struct Restore(Option<Arc<SensitiveThread>>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self)));
        function()
    }
}

/// Runs a thread-sensitive function on its thread: the thread that waits in `async_to_sync`, else
/// the thread of the scope, else the thread that the whole program shares.
pub(super) fn run_sensitive<F, T>(make_job: impl FnOnce(Wrapped<F>) -> (Job, T), function: F) -> T {
    let thread = SCOPE.get().unwrap_or_else(SensitiveThread::global);
    if let Some(caller) = Caller::innermost() {
        let (job, future) = make_job(Wrapped { thread: None, function });
        if caller.is_blocked() {
            job.fail(stuck());
        } else if let Err(job) = caller.send(job) {
            // The thread's wait has just ended.
            thread.pool().execute(job);
        }
        return future;
    }
    let is_current = thread.is_current();
    let (job, future) = make_job(Wrapped { thread: Some(Arc::clone(&thread)), function });
    if is_current {
        job.fail(stuck());
    } else {
        thread.pool().execute(job);
    }
    future
}

fn stuck() -> JobError {
    JobError::WouldDeadlock(
        "the loop runs on the thread for thread-sensitive functions, and blocks it",
    )
}

/// A function with the thread that it will run on.
pub(super) struct Wrapped<F> {
    thread: Option<Arc<SensitiveThread>>,
    function: F,
}

impl<F> Wrapped<F> {
    pub(super) fn call<T>(self) -> T
    where
        F: FnOnce() -> T,
    {
        struct Restore(bool);
        impl Drop for Restore {
            fn drop(&mut self) {
                SENSITIVE.set(self.0);
            }
        }
        let _restore = Restore(SENSITIVE.replace(true));
        match self.thread {
            Some(thread) => thread.mark(self.function),
            None => (self.function)(),
        }
    }
}
