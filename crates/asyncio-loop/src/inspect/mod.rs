//! Inspection of a running loop: its tasks, where each waits and for what, and which task awaits
//! which.
//!
//! All of this is always available, in release builds too. It costs a task 16 bytes, and a few
//! instructions when it is polled and when it waits.
//!
//! ```
//! use asyncio_loop::inspect::TaskState;
//! use asyncio_loop::{EventLoop, TaskOptions, WaitsFor, running_loop};
//! use std::future::poll_fn;
//! use std::task::Poll;
//!
//! let event_loop = EventLoop::new()?;
//! let stuck = async {
//!     // A future of one's own says what it waits for.
//!     poll_fn(|cx| {
//!         WaitsFor::Resource.note(cx);
//!         Poll::<()>::Pending
//!     })
//!     .await
//! };
//! let _stuck = event_loop.spawn(stuck, TaskOptions::new().name("stuck"))?;
//! event_loop.run_until_complete(async {})?;
//! let tasks = event_loop.all_tasks();
//! let task = tasks[0].info();
//! assert_eq!((task.name.as_str(), task.state), ("stuck", TaskState::Waiting));
//! let wait = task.wait.unwrap();
//! assert_eq!(wait.what, WaitsFor::Resource);
//! assert_eq!(wait.at.unwrap().file(), file!());
//! # drop(_stuck);
//! # event_loop.set_exception_handler(Some(std::rc::Rc::new(|_, _| ())));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod async_calls;
mod chrome;
mod cycles;
mod prometheus;
mod recorder;
mod resources;
mod sockets;
#[cfg(feature = "tracing")]
mod spans;
mod stack;
mod statistics;
mod stuck;
#[cfg(all(
    feature = "stacks",
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]
mod symbols;
mod task_info;
mod trace;
mod wait_info;

pub use cycles::find_cycles;
pub use recorder::{Event, Happened, Recorder, Recording, WokenBy};
#[doc(hidden)]
pub use resources::{Describe, Resources};
pub use resources::{Holder, ResourceInfo};
pub use sockets::SocketNames;
#[doc(hidden)]
pub use sockets::name_sockets_by;
#[cfg(feature = "tracing")]
pub use spans::TaskSpans;
pub use stack::Frame;
pub use statistics::{Lag, RunningStep, Statistics};
pub use stuck::{StackFrame, Stuck, StuckStep};
pub use task_info::{TaskInfo, TaskState};
pub use trace::{Branch, FullStack, Trace, TraceTask};
pub(crate) use wait_info::is_of_user;
pub use wait_info::{WaitDetail, WaitInfo};
