//! The thread on which a thread-sensitive function runs.

use std::cell::{Cell, RefCell};
use std::sync::{Arc, OnceLock};
use std::thread::{self, ThreadId};
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
        let waits = Some(caller.thread());
        let (job, future) = make_job(Wrapped { thread: Arc::clone(&thread), waits, function });
        if caller.is_blocked() {
            job.fail(stuck());
        } else if let Err(job) = caller.send(job) {
            // The wait of that thread has just ended.
            thread.pool().execute(job);
        }
        return future;
    }
    let is_current = thread.is_current();
    let (job, future) = make_job(Wrapped { thread: Arc::clone(&thread), waits: None, function });
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

/// A function with the threads that it may run on.
pub(super) struct Wrapped<F> {
    /// The sensitive thread, which is marked while the function runs there.
    thread: Arc<SensitiveThread>,
    /// The thread that waits in `async_to_sync` and is asked first.
    waits: Option<ThreadId>,
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
        if self.waits == Some(thread::current().id()) {
            (self.function)()
        } else {
            self.thread.mark(self.function)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // A nested call on a thread that is not marked would wait for itself.
    #[test]
    fn a_job_that_the_waiting_thread_did_not_take_marks_the_sensitive_thread() {
        let sensitive = Arc::<SensitiveThread>::default();
        let here = thread::current().id();
        let elsewhere = thread::spawn(|| thread::current().id()).join().unwrap();
        for (waits, is_marked) in [(None, true), (Some(here), false), (Some(elsewhere), true)] {
            let this = Arc::clone(&sensitive);
            let function = move || this.is_current();
            let wrapped = Wrapped { thread: Arc::clone(&sensitive), waits, function };
            assert_eq!(wrapped.call(), is_marked);
        }
    }
}
