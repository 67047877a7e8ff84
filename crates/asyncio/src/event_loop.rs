//! The event loop, the level below tasks: callbacks, timers, context variables, executors, signals.
//!
//! The names that most programs use are at the root as well.
//!
//! ```
//! use asyncio::event_loop::EventLoop;
//!
//! let event_loop = EventLoop::new()?;
//! event_loop.call_soon(|| asyncio::running_loop().stop());
//! event_loop.run_forever()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use asyncio_loop::{
    Binding, CallbackRef, CancelReason, Context, ContextEntered, ContextVar, ErrorContext,
    EventLoop, ExceptionHandler, Executor, Handle, Job, JobError, LoopBuilder, LoopClosed,
    LoopHandle, LoopRef, LoopRunning, LoopTime, NoRunningLoop, Panic, Pollable, ResetError,
    RunError, RunningJob, SendContext, Signal, Signals, StuckJobs, TaskFactory, TaskName,
    TaskOptions, TaskRef, ThreadFuture, ThreadPoolBuilder, ThreadPoolExecutor, ThreadPromise,
    TimerHandle, TimerPrecision, Token, TokenGuard, WrapFuture, calling_loop, context_var,
    copy_context, ctrl_c, raise_signal, running_loop, signal, try_running_loop, wrap_future,
};
