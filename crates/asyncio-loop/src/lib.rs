//! The event loop under `asyncio`.
//!
//! Most programs use the facade crate `asyncio`. This crate is the lowest layer: callbacks, timers,
//! readiness of descriptors, calls from other threads, context variables, and the polling of tasks.
//! A task is woken and polled on one thread, without atomic operations.
//!
//! The loop works in *turns*. A turn takes the callbacks and tasks that other threads have
//! scheduled; polls for readiness, and waits until the next deadline if nothing is ready; moves due
//! timers to the ready queue; and runs exactly the callbacks and tasks that are ready now. Those
//! that they schedule wait for the next turn.
//!
//! ```
//! use std::cell::Cell;
//! use std::rc::Rc;
//! use std::time::Duration;
//! use asyncio_loop::EventLoop;
//!
//! let event_loop = EventLoop::new()?;
//! let ticks = Rc::new(Cell::new(0));
//! event_loop.call_soon({
//!     let ticks = Rc::clone(&ticks);
//!     move || ticks.set(ticks.get() + 1)
//! });
//! let this = event_loop.loop_ref();
//! event_loop.call_later(Duration::from_millis(1), move || this.stop());
//! event_loop.run_forever()?;
//! assert_eq!(ticks.get(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Where to look next: [`EventLoop`] to make and run a loop, [`running_loop`] to find it,
//! [`LoopWaker`] to write futures that wake without atomics, [`Source`] to watch a descriptor.

mod at_await;
mod budget;
mod builder;
mod cancel_reason;
mod clock;
mod context;
mod driver;
mod error;
mod event_loop;
mod executor;
mod fd_callbacks;
mod gauges;
pub mod inspect;
mod kernel;
mod loop_handle;
mod pace;
mod panic;
mod primitives;
mod report;
mod signals;
mod spawn;
mod thread_future;
mod thread_wait;
mod timers;
mod wait_list;
mod watchdog;

pub use builder::{LoopBuilder, TimerPrecision};
pub use cancel_reason::CancelReason;
pub use clock::LoopTime;
pub use context::{
    Binding, Context, ContextEntered, ContextVar, ResetError, SendContext, Token, TokenGuard,
    copy_context,
};
pub use driver::{Direction, Pollable, Source};
pub use error::{LoopClosed, LoopRunning, NoRunningLoop, RunError};
pub use event_loop::running::{running_loop, try_running_loop};
pub use event_loop::{
    Burst, Deadline, EventLoop, ExceptionHandler, Guest, Handle, Host, LoopRef, TaskFactory,
    TaskHooks, TimerHandle,
};
pub use executor::{
    Executor, Job, JobError, RunningJob, StuckJobs, ThreadPoolBuilder, ThreadPoolExecutor,
    calling_loop,
};
pub use kernel::{
    CallbackRef, LoopWaker, Outcome, RawTask, TaskName, TaskRef, WaitsFor, is_cancelling,
};
pub use loop_handle::LoopHandle;
pub use panic::Panic;
pub use report::ErrorContext;
pub use signals::{Signal, Signals, ctrl_c, raise_signal, signal};
pub use spawn::TaskOptions;
pub use thread_future::{ThreadFuture, ThreadPromise, WrapFuture, wrap_future};

/// Parts for the other crates of this project. Users need none of them, and they may change in any
/// version.
#[doc(hidden)]
pub mod machinery {
    pub use crate::at_await::{AroundUser, AtAwait, around_user, at_await};
    pub use crate::budget::Share;
    pub use crate::driver::ReadyList;
    pub use crate::event_loop::running::with_running;
    pub use crate::event_loop::{Children, Director, Rest, Step, random, report_unclosed};
    pub use crate::kernel::{
        Candidates, ChildSet, Join, NumbersFromOne, Supervisor, TaskControl, Verdict, Wait, caught,
        move_wait, move_wait_out_of, poll_noted, visit_frames, while_cancelling, with_boundary,
        with_frame,
    };
    pub use crate::signals::{Interrupt, is_default_signal};
    pub use crate::thread_wait::{announce_wait, observe_waits};
    pub use crate::wait_list::{WaitKey, WaitList};
}
