//! What the kernel asks of the loop above it: one small table of functions.

use std::sync::OnceLock;

use super::header::RunnableRef;
use super::panics::{Payload, catch};

/// A failure that has no other place to go than the exception handler.
pub(crate) enum Failure<'a> {
    /// A callback, a destructor or a waker panicked. `name` is its Rust type, or says what it is.
    Callback { name: &'static str, payload: Payload },
    /// A task panicked and has no handle.
    Task { task: &'a RunnableRef, payload: Payload },
    /// A task returned an error, and nobody looked at it.
    Error { task: &'a RunnableRef, text: String },
    /// The loop was closed before the task had ended.
    Destroyed { task: &'a RunnableRef },
}

/// What happens to a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    Created,
    /// It was made ready.
    Woken,
    /// A poll begins. `Pends` or `Ends` is its end.
    Begins,
    Pends,
    Ends,
}

/// The functions of the loop that the kernel calls. There is nothing else above the kernel that it
/// knows.
pub(crate) struct Host {
    /// Reports a failure. It must not unwind (promise 7).
    pub(crate) report: fn(Failure<'_>),
    /// Is told of each panic of a task, whoever gets it in the end. It must not unwind (promise 7).
    pub(crate) notice_panic: fn(&RunnableRef, &Payload),
    /// Panics if a task must not be awaited by this waiter (`None` for a waiter that is none of
    /// ours), because another loop runs than the task's.
    pub(crate) check_await: fn(&RunnableRef, waiter: Option<&RunnableRef>),
    /// The task that is being polled on this thread, one of the machinery too.
    pub(crate) polled: fn() -> Option<RunnableRef>,
    /// Is told what happens to a task, if the loop has asked for it. It must not unwind
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
