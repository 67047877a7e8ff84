//! Tasks, promises, cancellation, timeouts, groups and runners of `asyncio`.
//!
//! Most programs use the facade crate `asyncio`. This crate is built on the loop ([`asyncio_loop`])
//! and knows nothing of sockets.
//!
//! ```
//! use std::time::Duration;
//! use asyncio_task::{create_task, run, sleep};
//!
//! let total = run(async {
//!     let slow = create_task(async {
//!         sleep(Duration::from_millis(1)).await;
//!         40
//!     });
//!     let quick = create_task(async { 2 });
//!     slow.await.unwrap() + quick.await.unwrap()
//! });
//! assert_eq!(total, 42);
//! ```
//!
//! Where to look next: [`run`] and [`Runner`] to start, [`create_task`] and [`Task`],
//! [`sleep`](fn@sleep) and [`yield_now`], [`create_future`] and [`Promise`] to bridge from
//! callbacks. Several tasks at once: [`task_group`], [`scope`](fn@scope), [`gather`](fn@gather),
//! [`race`](fn@race), [`wait`](fn@wait). Endings: [`timeout`](fn@timeout), [`Task::cancel`],
//! [`finally`](fn@finally), [`catch_cancel`](fn@catch_cancel). Threads: [`to_thread`],
//! [`LoopThread`], [`LoopPool`], [`run_coroutine_threadsafe`].
//!
//! # Features
//!
//! * `futures-core`: [`AsCompleted`] and [`Interval`] are streams. Off by default.
//! * `send`: `local` makes a future `Send` for libraries that ask for it. Off by default.

#![forbid(unsafe_code)]

mod call_graph;
mod cancel;
mod combinators;
mod error;
mod group;
mod interrupt;
mod interval;
#[cfg(feature = "send")]
mod kept;
#[cfg(feature = "send")]
mod local;
mod loop_hook;
mod promise;
mod retry;
mod runner;
mod shutdown;
mod sleep;
mod task;
mod threads;
mod timeout;

pub use asyncio_loop::{
    CancelReason, Panic, RunError, TaskName, TaskOptions, TaskRef, running_loop, try_running_loop,
};
pub use call_graph::{
    AwaitEdge, Awaitable, CallGraph, Subject, await_edge, capture_call_graph, format_call_graph,
    print_call_graph,
};
pub use cancel::{
    Cancelled, CatchCancel, Critical, Outcome, Shield, catch_cancel, critical, finally, shield,
};
pub use combinators::{
    AsCompleted, Gather, Loss, Race, ReturnWhen, Staggered, TryGather, WaitTasks, as_completed,
    gather, race, staggered_race, try_gather, wait,
};
pub use error::{Exception, InvalidState, JoinError, PromiseError};
pub use group::{
    Child, ChildError, ChildOutput, ExceptionGroup, Scope, TaskGroup, scope, task_group,
};
pub use interval::{Interval, MissedTicks, Tick, interval, interval_at};
#[cfg(feature = "send")]
pub use local::{Local, local};
pub use promise::{Promise, create_future};
pub use retry::{Backoff, Retry, retry};
pub use runner::{Runner, RunnerBuilder, run};
pub use shutdown::{ShutdownLoop, shutdown_loop};
pub use sleep::{Sleep, YieldNow, sleep, sleep_until, yield_now};
pub use task::{
    Task, TaskLoopExt, TaskRefExt, all_tasks, create_task, create_task_with, current_task,
    eager_task_factory,
};
pub use threads::{
    LoopPool, LoopPoolBuilder, LoopThread, LoopThreadBuilder, SyncToAsync, TaskHandleExt,
    async_to_sync, from_thread, run_coroutine_threadsafe, single_thread_scope, sync_to_async,
    thread_sensitive_scope, to_thread,
};
/// Parts for the other crates of this project. Users need none of them, and they may change in any
/// version.
#[doc(hidden)]
pub mod machinery {
    pub use crate::cancel::cancel_all;
    #[cfg(feature = "send")]
    pub use crate::kept::Kept;
    pub use crate::loop_hook::set_loop_hook;
}

pub use timeout::{
    RescheduleError, Timeout, TimeoutError, TimeoutFuture, timeout, timeout_at, wait_for,
};
