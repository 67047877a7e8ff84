//! The functions of the loop that the kernel calls: one small table.

use std::sync::OnceLock;

use super::header::RunnableRef;
use super::panics::{Payload, catch};

/// A failure that only the exception handler can get.
pub(crate) enum Failure<'a> {
    /// A callback, a destructor or a waker panicked. `name` is its Rust type, or a description.
    Callback { name: &'static str, payload: Payload },
    /// A task panicked and has no handle.
    Task { task: &'a RunnableRef, payload: Payload },
    /// A task returned an error, which was not retrieved.
    Error { task: &'a RunnableRef, text: String },
    /// The loop was closed before the task had ended.
    Destroyed { task: &'a RunnableRef },
}

/// An event of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Created,
    /// A poll begins. `Pends` or `Ends` is its end.
    Begins,
    Pends,
    Ends,
}

/// The functions of the loop that the kernel calls. The kernel knows nothing else of the layers
/// above it.
pub(crate) struct Host {
    /// Reports a failure. It must not unwind (promise 7).
    pub(crate) report: fn(Failure<'_>),
    /// Called for each panic of a task, whichever code gets the panic in the end. It must not
    /// unwind (promise 7).
    pub(crate) notice_panic: fn(&RunnableRef, &Payload),
    /// Panics if this waiter (`None` for a foreign waker) must not await a task, because another
    /// loop than the task's is running.
    pub(crate) check_await: fn(&RunnableRef, waiter: Option<&RunnableRef>),
    /// The task that is being polled on this thread, including hidden tasks.
    pub(crate) polled: fn() -> Option<RunnableRef>,
    /// Called with the events of a task, if the loop has asked for them. It must not unwind
    /// (promise 7).
    pub(crate) traced: fn(&RunnableRef, Moment),
}

static HOST: OnceLock<&'static Host> = OnceLock::new();

/// Sets the table of the process. Later calls do nothing.
pub(super) fn set_host(host: &'static Host) {
    let _ = HOST.set(host);
}

/// Reports a failure. Does not unwind.
#[cold]
pub(super) fn report(failure: Failure<'_>) {
    if let Some(host) = HOST.get() {
        (host.report)(failure);
    }
}

/// See [`Host::notice_panic`].
#[cold]
pub(super) fn notice_panic(task: &RunnableRef, payload: &Payload) {
    if let Some(host) = HOST.get() {
        (host.notice_panic)(task, payload);
    }
}

/// Reports the panic of a callback, a destructor or a waker.
#[cold]
pub(crate) fn report_panic(name: &'static str, payload: Payload) {
    report(Failure::Callback { name, payload });
}

/// See [`Host::check_await`].
#[cold]
pub(super) fn check_await(task: &RunnableRef, waiter: Option<&RunnableRef>) {
    if let Some(host) = HOST.get() {
        (host.check_await)(task, waiter);
    }
}

/// See [`Host::polled`].
#[cold]
pub(super) fn polled() -> Option<RunnableRef> {
    HOST.get().and_then(|host| (host.polled)())
}

/// See [`Host::traced`].
#[cold]
pub(super) fn traced(task: &RunnableRef, moment: Moment) {
    if let Some(host) = HOST.get() {
        (host.traced)(task, moment);
    }
}

/// Calls code of a user, and reports its panic as the failure of `name`.
pub fn caught(name: &'static str, f: impl FnOnce()) {
    if let Err(payload) = catch(f) {
        report_panic(name, payload);
    }
}
