//! A look inside a running program: its tasks, where each waits and for what, and which task awaits
//! which.
//!
//! Inspection is always on, in release builds too, and costs nearly nothing. The guide is
//! `docs/DEBUGGING.md` of the repository.
//!
//! ```
//! use asyncio::inspect::WaitsFor;
//! use asyncio::{Lock, create_task, yield_now};
//! use std::rc::Rc;
//!
//! asyncio::run(async {
//!     let lock = Rc::new(Lock::new(()));
//!     let _guard = lock.acquire().await;
//!     let waiter = Rc::clone(&lock);
//!     let task = create_task(async move { drop(waiter.acquire().await) });
//!     yield_now().await;
//!
//!     let info = task.task_ref().info();
//!     let wait = info.wait.unwrap();
//!     assert_eq!(wait.what, WaitsFor::Lock);
//!     println!("{} waits for {wait} at {}", info.name, wait.at.unwrap());
//!     // Task-2 waits for a lock created at src/main.rs:6:24,
//!     // held by task 1 since src/main.rs:7:23 at src/main.rs:9:58
//! });
//! ```

#[cfg(feature = "tracing")]
pub use asyncio_loop::inspect::TaskSpans;
pub use asyncio_loop::inspect::{
    Branch, Event, Frame, FullStack, Happened, Holder, Lag, Recorder, Recording, ResourceInfo,
    RunningStep, SocketNames, StackFrame, Statistics, Stuck, StuckStep, TaskInfo, TaskState, Trace,
    TraceTask, WaitDetail, WaitInfo, WokenBy, find_cycles,
};
pub use asyncio_loop::{TaskHooks, WaitsFor};
pub use asyncio_task::{
    AwaitEdge, Awaitable, CallGraph, Subject, await_edge, capture_call_graph, format_call_graph,
    print_call_graph,
};
