//! Tasks and promises, cancellation, groups, limits of time, combinators, runners, and threads.
//!
//! The names that most programs use are at the root as well.
//!
//! ```
//! use asyncio::task::{Sleep, sleep};
//! use std::time::Duration;
//!
//! /// A future with a name can be stored.
//! struct Pause {
//!     sleep: Sleep,
//! }
//!
//! asyncio::run(async {
//!     let pause = Pause { sleep: sleep(Duration::from_millis(1)) };
//!     pause.sleep.await;
//! });
//! ```

pub use asyncio_task::{
    AsCompleted, Backoff, CancelReason, Cancelled, CatchCancel, Child, ChildError, ChildOutput,
    Critical, Exception, ExceptionGroup, Gather, Interval, InvalidState, JoinError, LoopPool,
    LoopPoolBuilder, LoopThread, LoopThreadBuilder, Loss, MissedTicks, Outcome, Panic, Promise,
    PromiseError, Race, RescheduleError, Retry, ReturnWhen, Runner, RunnerBuilder, Scope, Shield,
    Sleep, Staggered, SyncToAsync, Task, TaskGroup, TaskName, TaskOptions, TaskRef, Tick, Timeout,
    TimeoutError, TimeoutFuture, TryGather, WaitTasks, YieldNow, all_tasks, as_completed,
    async_to_sync, catch_cancel, create_future, create_task, create_task_with, critical,
    current_task, eager_task_factory, finally, from_thread, gather, interval, interval_at, race,
    retry, run, run_coroutine_threadsafe, scope, shield, single_thread_scope, sleep, sleep_until,
    staggered_race, sync_to_async, task_group, thread_sensitive_scope, timeout, timeout_at,
    to_thread, try_gather, wait, wait_for, yield_now,
};
#[cfg(feature = "send")]
pub use asyncio_task::{Local, local};
