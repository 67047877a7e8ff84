//! The event loop under `asyncio`.

#[allow(dead_code)]
mod context;
#[allow(dead_code)]
mod driver;
mod executor;
mod kernel;
mod thread_future;
#[allow(dead_code)]
mod timers;

pub use context::{
    Binding, Context, ContextEntered, ContextVar, ResetError, SendContext, Token, TokenGuard,
    copy_context,
};
pub use driver::{Direction, Pollable, Source};
pub use executor::{
    Executor, Job, JobError, JobPanic, RunningJob, StuckJobs, ThreadPoolBuilder, ThreadPoolExecutor,
};
pub use kernel::LocalWaker;
pub use thread_future::{ThreadFuture, ThreadPromise};
